"""What all scripts have in common: how they end, and what they say without their dependencies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ossdist.release import layout
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, make_channel, noise, publish
from tests.tools.scripts import DEADLINE_S, LOCAL, TOOLS, Running, command, run

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.keys import Keys

SCRIPTS = ("publish", "fetch", "seed", "verify", "quickstart")


async def prepared(tmp_path: Path, keys: Keys) -> TestChannel:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": noise(100_000)})
    return channel


@contextlib.contextmanager
def sigint_ignored() -> Generator[None]:
    """Children start as a shell starts `script &`."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@asynchronous
async def test_sigterm_ends_a_script_that_was_started_in_the_background(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    where = (channel.folder, "tool", "--root", channel.root, "--to", tmp_path / "to", "--json")
    with sigint_ignored():
        running = Running("fetch", *where, *LOCAL)
    with running as fetching:
        fetching.says("tool 1.0")
        fetching.signal(signal.SIGTERM)
        done = fetching.ended()
    assert done.code == 128 + signal.SIGTERM, done
    assert done.answer["error"] == "Interrupted"
    assert "Traceback" not in done.err


@asynchronous
async def test_sigterm_ends_a_seed_that_was_started_in_the_background(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    with sigint_ignored():
        running = Running("seed", channel.folder, "--root", channel.root, "--store", channel.folder, *LOCAL)
    with running as seeding:
        seeding.line()
        seeding.signal(signal.SIGTERM)
        assert seeding.ended().code == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_its_dependencies_a_script_says_what_to_do(script: str) -> None:
    words = [sys.executable, "-S", str(TOOLS / f"{script}.py"), "--help"]  # -S: nothing that was installed
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "`python3 tools/dev.py setup`" in done.stderr
    assert f"`.venv/bin/python tools/{script}.py`" in done.stderr


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("fetch", "the one published last"),
        ("fetch", "a file of the same name is replaced in one step"),
        ("fetch", ".ossdist-* in it is a download that was not finished"),
        ("publish", "the one published last"),
        ("publish", "the 40 digits of a primary key's fingerprint"),
    ],
)
def test_help_tells_what_users_ask(script: str, text: str) -> None:
    done = run(script, "--help")
    assert done.code == 0
    assert text in " ".join(done.out.split())


def _unread(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a script whose standard output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    env = os.environ | {"PYTHONUNBUFFERED": ""}  # with a buffer, that Python flushes at its end
    try:
        return subprocess.run(
            words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=DEADLINE_S, env=env
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_when_nobody_reads_its_output_a_script_ends_quietly(tmp_path: Path, keys: Keys, words: tuple[str, ...]) -> None:
    @asynchronous
    async def check() -> None:
        channel = await prepared(tmp_path, keys)
        root = ("--root", channel.root)
        file = channel.payload("tool", "1.0") / "tool.bin"
        release = channel.folder / layout.release_path("tool", "1.0")
        done = _unread(command("verify", file, "--release", release, *root, *words))
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
        done = _unread(command("seed", channel.folder, *root, "--store", channel.folder, *LOCAL, *words))
        assert done.returncode == 128 + signal.SIGPIPE
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr
        done = _unread(command("verify", root[1], "--release", release, *root, *words))
        assert done.returncode in {1, 128 + signal.SIGPIPE}
        assert "BrokenPipe" not in done.stderr

    check()
