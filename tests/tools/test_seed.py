"""tools/seed.py: what it shares, what it says, how it ends."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, cast

import pytest
import requests

from ossdist.release import layout
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, make_channel, noise, publish
from tests.programs.nginx import Nginx
from tests.tools.scripts import LOCAL, Json, Running, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys

UNLISTED = "release nosuch does not exist in the channel (it has tool). Check the name, the version and the address."
CONTENT = noise(200_000)


def seed(channel: TestChannel, *args: object, source: object = None, store: Path | None = None) -> Running:
    where = (source or channel.folder, "--root", channel.root, "--store", store or channel.folder)
    return Running("seed", *where, *LOCAL, "--interval", "0.2", "--exhausted-after", "1", *args)


def fetch(channel: TestChannel, tmp_path: Path, port: object, *args: object) -> Json:
    where = (channel.folder, "tool", "--root", channel.root, "--to", tmp_path / "to", "--peer", f"127.0.0.1:{port}")
    done = run("fetch", *where, *LOCAL, "--no-http", *args, "--json")
    assert done.code == 0, done
    return done.answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_shares_until_a_signal_and_then_ends_with_the_sum(
    tmp_path: Path, keys: Keys, number: signal.Signals
) -> None:
    @asynchronous
    async def check() -> None:
        channel = await make_channel(tmp_path, keys)
        await publish(channel, {"tool.bin": CONTENT})
        with seed(channel, "--json") as seeding:
            ready = seeding.until("ready", value=True)
            assert ready.keys() == {"ready", "port", "releases", "peers", "upload_bytes", "problems"}
            assert ready["releases"] == 1
            fetch(channel, tmp_path, ready["port"])
            seeding.until("upload_bytes", len(CONTENT))
            seeding.signal(number)
            done = seeding.ended()
        assert done.code == 0, done
        assert "Traceback" not in done.err
        assert done.answer["ok"] is True
        assert done.answer["upload_bytes"] == len(CONTENT)

    check()


@asynchronous
async def test_prometheus_is_answered(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    with seed(channel, "--metrics-port", "0") as seeding:
        url = seeding.says("metrics are at ").rpartition(" ")[2]
        seeding.until("ready", value=True)
        answer = await asyncio.to_thread(requests.get, url, timeout=20)
    assert f'ossdist_shared_bytes{{name="tool",version="1.0"}} {float(len(CONTENT))}' in answer.text


@asynchronous
async def test_new_releases_are_found_and_those_of_other_names_left(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    await publish(channel, {"other.bin": b"other"}, name="other")
    with seed(channel, "--only", "tool") as seeding:
        assert seeding.until("ready", value=True)["releases"] == 1
        new = noise(100_000, 1)
        await publish(channel, {"tool.bin": new}, version="2.0")
        port = seeding.until("releases", 2)["port"]
        answer = fetch(channel, tmp_path, port)
    assert answer["release"] == {"name": "tool", "version": "2.0"}
    assert (tmp_path / "to" / "tool.bin").read_bytes() == new


@asynchronous
async def test_what_is_missing_in_the_store_is_downloaded_first(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"a/tool.bin": CONTENT, "b": b"b"}, version="1:1.0")
    store = tmp_path / "store"
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror:
        with seed(channel, source=mirror.url, store=store) as seeding:
            port = seeding.until("ready", value=True)["port"]
            seeding.signal(signal.SIGTERM)
            assert seeding.ended().code == 0
    assert port != 0
    assert (store / "files" / "tool-1%3a1.0" / "a" / "tool.bin").read_bytes() == CONTENT
    assert (store / "files" / "tool-1%3a1.0" / "b").read_bytes() == b"b"


@asynchronous
async def test_a_release_that_nobody_gives_does_not_keep_the_others_from_being_shared(
    tmp_path: Path, keys: Keys
) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    await publish(channel, {"tool.bin": noise(10)}, version="2.0")
    (channel.payload("tool", "1.0") / "tool.bin").unlink()
    with seed(channel) as seeding:
        line = seeding.until("releases", 1)
        while not line["problems"]:
            line = seeding.until("releases", 1)
        assert line["ready"] is False
        assert "sources exhausted" in cast("dict[str, str]", line["problems"])["tool 1.0"]
        (channel.payload("tool", "1.0") / "tool.bin").write_bytes(CONTENT)
        line = seeding.until("ready", value=True)
    assert (line["releases"], line["problems"]) == (2, {})


@asynchronous
async def test_a_channel_that_goes_bad_stays_shared(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    document = channel.folder / layout.CHANNEL
    good = document.read_bytes()
    with seed(channel) as seeding:
        port = seeding.until("ready", value=True)["port"]
        document.write_bytes(good + b" ")
        while not (line := seeding.until("releases", 1))["problems"]:
            pass
        assert "channel.json" in cast("dict[str, str]", line["problems"])["channel"]
        document.write_bytes(good)
        seeding.until("problems", {})
        fetch(channel, tmp_path, port)


@asynchronous
async def test_a_channel_that_is_bad_from_the_start_is_refused(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    document = channel.folder / layout.CHANNEL
    document.write_bytes(document.read_bytes() + b" ")
    where = (channel.folder, "--root", channel.root, "--store", tmp_path / "store", *LOCAL)
    assert "channel.json" in run("seed", *where, "--json").refused("SignatureError")
    assert not (tmp_path / "store").exists()


@asynchronous
async def test_a_store_that_cannot_be_written_to_is_refused(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    (tmp_path / "file").touch()
    where = (channel.folder, "--root", channel.root, "--store", tmp_path / "file" / "store", *LOCAL)
    assert "store" in run("seed", *where, "--json").refused("TargetNotWritableError")


@asynchronous
async def test_a_name_that_is_not_listed_is_a_problem(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    with seed(channel, "--only", "nosuch") as seeding:
        line = seeding.until("problems", {"nosuch": UNLISTED})
        assert (line["ready"], line["releases"]) == (False, 0)
        seeding.line()
        seeding.signal(signal.SIGTERM)
        assert seeding.ended().err.count("is not shared") == 1


@asynchronous
async def test_what_is_tried_again_and_again_is_said_once(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    (channel.payload("tool", "1.0") / "tool.bin").unlink()
    with seed(channel) as seeding:
        seeding.says("sources exhausted")
        for _ in range(15):  # three seconds, and a try takes one
            seeding.line()
        seeding.signal(signal.SIGTERM)
        said = seeding.ended().err
    assert "tool 1.0" not in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--upload-limit=-5",), "no whole number of bytes"),
        (("--proxy", "ftp://user:secret@nowhere:1"), "argument --proxy: a proxy is socks5://"),
        (("--dht-node", "router"), "is not HOST:PORT"),
        (("--dht-node", "router:0"), "needs a port"),
    ],
)
def test_wrong_values(tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    (tmp_path / "root.json").touch()
    done = run("seed", tmp_path, "--root", tmp_path / "root.json", "--store", tmp_path, *words)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


def test_wrong_usage(tmp_path: Path) -> None:
    done = run("seed", tmp_path, "--store", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "--root" in done.err


@asynchronous
async def test_a_months_upload_is_remembered_and_not_exceeded(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    state = ("--state", tmp_path / "state")
    with seed(channel, "--monthly-upload", 10 * len(CONTENT), *state, "--background") as seeding:
        fetch(channel, tmp_path, seeding.until("ready", value=True)["port"])
        seeding.until("upload_bytes", len(CONTENT))
        seeding.signal(signal.SIGTERM)
        seeding.ended()
    where = (channel.folder, "tool", "--root", channel.root, "--to", tmp_path / "other")
    with seed(channel, "--monthly-upload", len(CONTENT) // 2, *state) as seeding:
        peer = ("--peer", f"127.0.0.1:{seeding.until('ready', value=True)['port']}")
        done = run("fetch", *where, *LOCAL, *peer, "--no-http", "--background", "--exhausted-after", "2", "--json")
        assert done.answer["ok"] is False
        seeding.until("upload_bytes", 0)
