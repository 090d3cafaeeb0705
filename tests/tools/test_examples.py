"""The examples run, and the README shows one of them as it is."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ossdist.release import layout
from ossdist.release.signing import stop_agent
from tests.asynchronous import asynchronous
from tests.channels import WITH_MIRRORS, make_channel, noise, publish
from tests.modules import ROOT, load
from tests.programs.nginx import Nginx
from tests.tools.scripts import DEADLINE_S

if TYPE_CHECKING:
    import pytest

    from tests.keys import Keys

README = (ROOT / "README.md").read_text("utf-8")


def example(name: str, *args: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, args)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=DEADLINE_S, env=env)


def test_publish_and_download() -> None:
    done = example("publish_and_download")
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert "hello.bin verified BytesFrom(swarm=1000000, mirror=0" in done.stdout


def test_without_an_event_loop() -> None:
    done = example("without_an_event_loop")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout == "the channel's serial is 3\nhello 1.0 verified\n"


def test_called_wrongly_it_says_how() -> None:
    for name in ("follow_progress", "verify_offline"):
        done = example(name)
        assert done.returncode == 2
        assert f"python examples/{name}.py" in done.stderr
        assert "Traceback" not in done.stderr


@asynchronous
async def test_follow_progress(tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    module = load("examples/follow_progress.py")
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": noise(100_000)})
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror:
        args = (str(channel.root), str(tmp_path / "to"))
        code = await asyncio.to_thread(module.main, mirror.url, "tool", *args, config=WITH_MIRRORS)
        good = capsys.readouterr().out
        refusal = await asyncio.to_thread(module.main, mirror.url, "other", *args, config=WITH_MIRRORS)
    assert (code, refusal) == (0, 1)
    assert "tool.bin has the signed hash" in good
    assert good.splitlines()[-1].startswith("tool 1.0 in ")
    assert "other does not exist" in capsys.readouterr().out


@asynchronous
async def test_verify_offline(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": noise(100_000)})
    file = channel.payload("tool", "1.0") / "tool.bin"
    args = (file, channel.folder / layout.release_path("tool", "1.0"), channel.root)
    good = example("verify_offline", *args)
    assert good.returncode == 0, good
    file.write_bytes(b"")
    assert example("verify_offline", *args).returncode == 1


def test_the_readme_shows_the_example_as_it_is() -> None:
    source = (ROOT / "examples" / "publish_and_download.py").read_text("utf-8")
    shown = source[source.index("async def publish") : source.index("async def main")].strip()
    assert shown in README


def test_the_readme_imports_what_its_program_needs() -> None:
    program = README.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(compile(program, "README.md", "exec", dont_inherit=True), names)  # noqa: S102 - our own text
    for function in ("publish", "download"):
        needed = [
            word.id
            for node in ast.walk(ast.parse(program))
            if isinstance(node, ast.AsyncFunctionDef) and node.name == function
            for word in ast.walk(node)
            if isinstance(word, ast.Name) and word.id[0].isupper()
        ]
        assert needed
        assert set(needed) <= names.keys()


@asynchronous
async def test_the_readme_tells_how_gpg_gets_the_keys(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    lines = [line.strip() for line in README.splitlines() if line.startswith("    ")]
    command = next(line for line in lines if "gpg --import" in line)
    verify = next(line for line in lines if line.startswith("gpg --verify")).replace("FPR", keys.alice)
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:  # short: a socket's address has 108 bytes
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command} && {verify}"],
            cwd=channel.folder,
            env=os.environ | {"GNUPGHOME": home, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )
        stop_agent(Path(home))
    assert done.returncode == 0, done
    assert "Good signature" in done.stderr
