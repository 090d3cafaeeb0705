"""tools/fuzz.py: no parser of hostile bytes raises anything but its refusals, and the harness would notice."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from tests.tools.scripts import run as run_script
from tools.fuzzing.harness import input_of, run
from tools.fuzzing.targets import Target, targets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INPUTS = 200
GOOD = Target("good", "json", lambda data: data, (ValueError,), (b'{"a": [1, "b"]}',))
NAMES = (
    *("root", "channel", "page", "release", "torrent", "signature", "key", "binary signature", "gpg's status"),
    *("memory", "file name", "path", "metalink", "mirror list", "link fields"),
)
_kept: list[bytes] = []


def target_of(folder: Path, name: str) -> Target:
    return next(target for target in targets(folder) if target.name == name)


def test_no_parser_is_forgotten(tmp_path: Path) -> None:
    assert tuple(target.name for target in targets(tmp_path)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_good_documents_are_read_and_bad_ones_refused(tmp_path: Path, name: str) -> None:
    target = target_of(tmp_path, name)
    assert target.corpus
    tally = run(target, range(INPUTS), seed=7, deadline_s=30)  # the machine may be slow; fuzz.py itself is stricter
    assert tally.findings == []
    assert tally.accepted + tally.refused.total() == tally.inputs == INPUTS
    assert tally.accepted
    assert tally.refused or not target.refusals


def test_the_same_seed_gives_the_same_inputs_and_another_one_others(tmp_path: Path) -> None:
    def digest(seed: int) -> str:
        found = hashlib.sha256()
        for target in targets(tmp_path):
            for number in range(20):
                found.update(input_of(target, seed, number))
        return found.hexdigest()

    assert digest(1) == digest(1) != digest(2)


def _raise_unexpected(data: bytes) -> object:
    raise KeyError(data[:1])


def _hang(_: bytes) -> object:
    while True:
        time.sleep(0.001)


def _eat(_: bytes) -> object:
    _kept.append(b"x" * (16 << 20))
    return b""


@pytest.mark.parametrize(
    ("read", "says"), [(_raise_unexpected, "KeyError"), (_hang, "took longer"), (_eat, "memory grew")]
)
def test_the_harness_notices(read: Callable[[bytes], object], says: str) -> None:
    tally = run(replace(GOOD, read=read), range(8), seed=1, deadline_s=0.05, max_growth_bytes=64 << 20)
    _kept.clear()
    assert any(says in finding.what for finding in tally.findings), tally


def _write_more(value: object) -> bytes:
    return cast("bytes", value) + b"!"


def test_the_harness_notices_what_does_not_survive_writing() -> None:
    tally = run(replace(GOOD, write=_write_more), range(3), seed=1)
    assert [finding.what for finding in tally.findings] == ["written and read again it is another"] * 3


def test_the_script_tells_and_replays() -> None:
    done = run_script("fuzz", "--inputs", 75, "--json")
    assert done.code == 0, done
    parsers = cast("list[dict[str, object]]", done.answer["parsers"])
    assert [parser["name"] for parser in parsers] == list(NAMES)
    assert all(parser["inputs"] == 5 for parser in parsers)
    again = [run_script("fuzz", "--parser", "path", "--replay", 1) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0].code == 0
    assert run_script("fuzz", "--parser", "none").code == 2
    assert run_script("fuzz", "--replay", 1).code == 2
    told = run_script("fuzz", "--parser", "key", "--inputs", 5)
    assert "5 inputs" in told.out
