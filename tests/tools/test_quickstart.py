"""tools/quickstart.py: the whole way, what it prints, and that nothing stays behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tests.channels import noise
from tests.tools.scripts import DEADLINE_S, TOOLS, Done, Json, Running, run

if TYPE_CHECKING:
    from collections.abc import Generator

OLD, NEW = noise(700_000), noise(700_000, 1)


@pytest.fixture
def home() -> Generator[dict[str, str]]:
    """Variables under which temporary files lie in a folder of their own; it must be empty afterwards."""
    with tempfile.TemporaryDirectory(prefix="quick-", dir="/tmp") as name:
        yield {"TMPDIR": name, "HOME": ""}
        assert not list(Path(name).iterdir())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two versions of a package."""
    old, new = tmp_path / "demo-1.0-py3-none-any.whl", tmp_path / "demo-1.1-py3-none-any.whl"
    old.write_bytes(OLD)
    new.write_bytes(NEW)
    return old, new


def of_release(part: Json, version: str, content: bytes, name: str = "demo") -> dict[str, int]:
    """Checks the keys of a fetched release and gives the sources of its one file."""
    assert part["release"] == {"name": name, "version": version}
    [file] = cast("list[Json]", part["files"])
    assert file.keys() == {"path", "bytes", "sha256", "verified", "bytes_from"}
    assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert file["verified"] is True
    sources = cast("dict[str, int]", file["bytes_from"])
    assert sources.keys() == {"swarm", "mirror", "delta", "reuse"}
    assert sum(sources.values()) == len(content)
    return sources


def test_two_versions_through_swarm_and_mirror(files: tuple[Path, Path], home: dict[str, str]) -> None:
    done = run("quickstart", *files, "--json", env=home)
    assert done.code == 0, done
    answer = done.answer
    assert answer["ok"] is True
    assert len(done.out.splitlines()) == 1
    assert cast("float", answer["seconds"]) > 0
    update = cast("Json", answer["update"])
    for sources in (of_release(answer, "1.0", OLD), of_release(update, "1.1", NEW)):
        assert sources["swarm"] > 0
        assert sources["mirror"] > 0
    assert update["saving"] == 0.0
    assert update["note"]
    assert cast("Json", answer["services"])["mirror"] == "nginx"
    assert [line.split()[0] for line in done.err.splitlines()] == [
        *("started", "published", "fetched", "verified"),
        *("published", "fetched", "verified", "update", "gpg", "seeds"),
    ]


def test_one_file_of_any_name_and_the_story_for_people(tmp_path: Path, home: dict[str, str]) -> None:
    file = tmp_path / "my installer (final).bin"
    file.write_bytes(OLD)
    done = run("quickstart", file, env=home)
    assert done.code == 0, done
    assert done.err == ""
    assert "my-installer--final- 1: my installer (final).bin" in done.out
    assert done.out.splitlines()[-1].startswith("done")


def test_without_nginx_and_opentracker(files: tuple[Path, Path], home: dict[str, str]) -> None:
    """What they would do is done by a mirror of our own and by addresses of peers that are told."""
    code = (
        "import sys, _script, _services, quickstart;"
        "_services.find_program = lambda name: None;"
        "sys.exit(quickstart.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, *map(str, files), "--json"]
    env = os.environ | home | {"PYTHONPATH": str(TOOLS)}
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=DEADLINE_S, env=env)
    done = Done(ended.returncode, ended.stdout, ended.stderr)
    assert done.code == 0, done
    assert done.answer["services"] == {"tracker": None, "mirror": "embedded"}
    sources = of_release(done.answer, "1.0", OLD)
    assert sources["swarm"] > 0
    assert sources["mirror"] > 0


@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("started", signal.SIGINT),
        ("published", signal.SIGINT),
        ("published", signal.SIGTERM),
        ("fetched", signal.SIGINT),
    ],
)
def test_interrupted(files: tuple[Path, Path], home: dict[str, str], at: str, number: signal.Signals) -> None:
    with Running("quickstart", *files, "--json", env=home) as quickstart:
        quickstart.says(at)
        quickstart.signal(number)
        done = quickstart.ended()
    assert done.code == 128 + number, done
    assert done.answer["error"] == "Interrupted"
    assert "Traceback" not in done.err


def test_a_file_that_cannot_be_published_ends_it_cleanly(tmp_path: Path, home: dict[str, str]) -> None:
    empty = tmp_path / "empty.bin"
    empty.write_bytes(b"")
    run("quickstart", empty, "--json", env=home).refused("FormatError")


@pytest.mark.parametrize("words", [("missing.bin",), (__file__, __file__, __file__), ("--unknown",)])
def test_wrong_usage(words: tuple[str, ...]) -> None:
    done = run("quickstart", *words, "--json")
    assert (done.code, done.out) == (2, "")
