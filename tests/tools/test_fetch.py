"""tools/fetch.py, with tools/seed.py as the peer and nginx as the mirror."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import signal
import subprocess
import termios
from typing import TYPE_CHECKING, cast

import pytest

from ossdist.release import layout
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, make_channel, noise, publish
from tests.programs.nginx import Nginx
from tests.tools.scripts import DEADLINE_S, LOCAL, Done, Json, Running, command, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys

CONTENT = noise(300_000)
DEAD = "http://127.0.0.1:9/"


async def prepared(tmp_path: Path, keys: Keys, *, trackers: tuple[str, ...] = ()) -> TestChannel:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT}, trackers=trackers)
    return channel


def fetch(channel: TestChannel, tmp_path: Path, *args: object, source: object = None, name: str = "tool") -> Done:
    where = (source or channel.folder, name, "--root", channel.root, "--to", tmp_path / "to")
    return run("fetch", *where, *LOCAL, *args, "--json")


def seed(channel: TestChannel) -> Running:
    where = (channel.folder, "--root", channel.root, "--store", channel.folder)
    return Running("seed", *where, *LOCAL, "--interval", "0.2")


def bytes_from(answer: Json) -> dict[str, int]:
    files = cast("list[Json]", answer["files"])
    return cast("dict[str, int]", files[0]["bytes_from"])


# --- what works ------------------------------------------------------------------------------------------


@asynchronous
async def test_from_a_peer(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    with seed(channel) as peer:
        port = peer.until("ready", value=True)["port"]
        done = fetch(channel, tmp_path, "--peer", f"localhost:{port}", "--no-http")
    assert done.code == 0, done
    answer = done.answer
    target = tmp_path / "to" / "tool.bin"
    assert target.read_bytes() == CONTENT
    assert answer["ok"] is True
    assert answer["release"] == {"name": "tool", "version": "1.0"}
    assert answer["files"] == [
        {
            "path": str(target),
            "bytes": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "verified": True,
            "bytes_from": {"swarm": len(CONTENT), "mirror": 0, "delta": 0, "reuse": 0},
        }
    ]
    sources = cast("list[Json]", answer["sources"])
    assert [source["url"] for source in sources] == ["swarm"]
    assert sources[0].keys() == {"url", "bytes", "failures"}
    report = cast("list[Json]", answer["report"])[0]
    assert report["verdict"] == "pass"
    assert {check["name"] for check in cast("list[Json]", report["checks"])} >= {"release signature", "sha256"}
    assert cast("float", answer["seconds"]) > 0


@asynchronous
async def test_from_a_mirror_alone_and_then_from_the_disk(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror:
        first = fetch(channel, tmp_path, "--no-p2p", source=mirror.url)
        again = fetch(channel, tmp_path, "--no-p2p", source=mirror.url)
    assert first.code == again.code == 0, first
    assert bytes_from(first.answer) == {"swarm": 0, "mirror": len(CONTENT), "delta": 0, "reuse": 0}
    assert bytes_from(again.answer) == {"swarm": 0, "mirror": 0, "delta": 0, "reuse": len(CONTENT)}


@asynchronous
async def test_from_a_folder_that_holds_everything(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    done = fetch(channel, tmp_path, "--no-p2p")
    assert done.code == 0, done
    assert bytes_from(done.answer) == {"swarm": 0, "mirror": len(CONTENT), "delta": 0, "reuse": 0}
    assert f"{len(CONTENT)} bytes were copied from the channel's folder" in done.err
    assert (tmp_path / "to" / "tool.bin").read_bytes() == CONTENT


@asynchronous
async def test_a_version_is_chosen_and_otherwise_the_newest(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    await publish(channel, {"tool.bin": noise(1000, 2)}, version="0.9-later")
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror:
        newest = fetch(channel, tmp_path, "--no-p2p", source=mirror.url)
        chosen = fetch(channel, tmp_path, "--no-p2p", "--version", "1.0", source=mirror.url)
    assert newest.answer["release"] == {"name": "tool", "version": "0.9-later"}
    assert chosen.answer["release"] == {"name": "tool", "version": "1.0"}
    assert (tmp_path / "to" / "tool.bin").read_bytes() == CONTENT


@asynchronous
async def test_for_people_it_says_where_the_bytes_came_from(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror:
        where = (mirror.url, "tool", "--root", channel.root, "--to", tmp_path / "to", "--no-p2p")
        done = run("fetch", *where)
    assert done.code == 0, done
    assert done.out.startswith("tool 1.0: 1 file(s) verified")
    assert f"{len(CONTENT)} bytes" in done.out
    assert done.err.splitlines() == [
        f"tool 1.0: {len(CONTENT)} bytes",
        "mirrors are asked: there are no peers to ask",
        f"asking {mirror.url.rstrip('/')}",
        f"{tmp_path / 'to' / 'tool.bin'} is complete and verified",
    ]


@asynchronous
async def test_on_a_terminal_there_is_a_bar(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    with seed(channel) as peer:
        port = peer.until("ready", value=True)["port"]
        where = (channel.folder, "tool", "--root", channel.root, "--to", tmp_path / "to", "--peer", f"127.0.0.1:{port}")
        done, seen = _on_a_terminal(command("fetch", *where, *LOCAL, "--no-http"))
    assert done.returncode == 0, seen
    assert "100%|" in seen
    assert "peer(s), 0 mirror(s)" in seen
    assert "\x1b[" in seen or "\r" in seen


def _on_a_terminal(words: list[str]) -> tuple[subprocess.CompletedProcess[bytes], str]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 120))
    done = subprocess.run(words, stderr=theirs, stdout=subprocess.PIPE, check=False, timeout=DEADLINE_S)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 65536):
            seen += part
    os.close(ours)
    return done, seen.decode()


# --- what is refused -------------------------------------------------------------------------------------


@asynchronous
async def test_a_tampered_channel(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    document = channel.folder / layout.CHANNEL
    document.write_bytes(document.read_bytes().replace(b'"serial": 2', b'"serial": 3'))
    reason = fetch(channel, tmp_path).refused("SignatureError")
    assert "channel.json" in reason
    assert not (tmp_path / "to").exists()


@asynchronous
async def test_a_release_that_does_not_exist(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    assert "tool 2.0" in fetch(channel, tmp_path, "--version", "2.0").refused("NotFoundError")
    assert "it has tool" in fetch(channel, tmp_path, name="tol").refused("NotFoundError")


@asynchronous
async def test_when_everybody_is_dead(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys, trackers=(f"{DEAD}announce",))
    reason = fetch(channel, tmp_path, "--no-http", "--exhausted-after", "1", "--peer", "127.0.0.1:9").refused(
        "SourcesExhaustedError"
    )
    assert "127.0.0.1:9" in reason
    fetch(channel, tmp_path, source=DEAD).refused("MirrorError")


@asynchronous
async def test_for_people_a_refusal_is_one_line(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    done = run("fetch", channel.folder, "nothing", "--root", channel.root, "--to", tmp_path / "to", *LOCAL)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("NotFoundError: release nothing does not exist")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, keys: Keys, number: signal.Signals) -> None:
    @asynchronous
    async def check() -> None:
        channel = await prepared(tmp_path, keys)
        where = (channel.folder, "tool", "--root", channel.root, "--to", tmp_path / "to", "--no-http", "--json")
        with Running("fetch", *where, *LOCAL) as fetching:
            fetching.says("tool 1.0")
            fetching.signal(number)
            done = fetching.ended()
        assert done.code == 128 + number
        assert done.answer["error"] == "Interrupted"
        assert "Traceback" not in done.err, done.err

    check()


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("--no-p2p", "--no-http"), "not allowed with"),
        (("--peer", "nowhere"), "HOST:PORT"),
        (("--peer", "127.0.0.1:70000"), "HOST:PORT"),
        (("--peer", "127.0.0.1:0"), "needs a port"),
        (("--peer", "no.such.host.invalid:1"), "has no address"),
        (("--listen", "localhost:0"), "no IP address"),
        (("--exhausted-after", "0"), "more than 0"),
        (("--exhausted-after", "soon"), "no number"),
        (("--root", "missing.json"), "is no file"),
        (("--version",), "expected one argument"),
    ],
)
def test_wrong_usage(tmp_path: Path, args: tuple[str, ...], reason: str) -> None:
    root = tmp_path / "root.json"
    root.write_text("{}")
    done = run("fetch", tmp_path, "tool", "--root", root, "--to", tmp_path, *args, "--json")
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


@pytest.mark.parametrize("channel", ["ftp://mirror.example/oss", "http://", "missing-folder"])
def test_a_channel_is_an_address_or_a_folder(tmp_path: Path, channel: str) -> None:
    root = tmp_path / "root.json"
    root.write_text("{}")
    done = run("fetch", channel, "tool", "--root", root, "--to", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert channel in done.err


def test_a_malformed_root(tmp_path: Path) -> None:
    root = tmp_path / "root.json"
    root.write_text("{}")
    done = run("fetch", tmp_path, "tool", "--root", root, "--to", tmp_path, "--json")
    assert "root.json" in done.refused("FormatError")
