"""How servers are asked: credentials, fields, proxies, limits."""

from __future__ import annotations

import asyncio
import base64
import math
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist.config import FetchConfig
from ossdist.errors import MirrorError, MirrorFault
from ossdist.mirrors.documents import HttpDocuments
from ossdist.mirrors.failures import retry_after_s
from ossdist.mirrors.fetching import RangeRequest
from ossdist.mirrors.limits import TokenBucket
from ossdist.mirrors.ranges import HttpPool, HttpRanges
from tests.asynchronous import asynchronous
from tests.mirrors.ranged_server import RangedServer, ranged, whole
from tests.scripted_server import ScriptedServer, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

CONTENT = bytes(range(256)) * 400


@asynccontextmanager
async def pool(config: FetchConfig | None = None) -> AsyncGenerator[HttpPool]:
    made = HttpPool(config or FetchConfig(connect_timeout_s=2.0, read_timeout_s=2.0))
    try:
        yield made
    finally:
        await made.close()


async def fetch(ranges: HttpRanges, url: str, first: int = 0, length: int = len(CONTENT)) -> bytes:
    stream = ranges.request(RangeRequest(mirror=url, url=f"{url}file", first=first, length=length, total=len(CONTENT)))
    data = bytearray(length)
    try:
        await stream.open()
        await stream.read_into(memoryview(data))
    finally:
        await stream.close()
    return bytes(data)


def fields(head: str) -> dict[str, str]:
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:] if line)}


def page(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


# --- who is asked, and how -------------------------------------------------------------------------------


@asynchronous
async def test_credentials_and_fields_go_to_their_address_alone() -> None:
    async with ranged(RangedServer(CONTENT, whole)) as mine, ranged(RangedServer(CONTENT, whole)) as other:
        config = FetchConfig(
            credentials={f"{mine.url}file": ("user", "päss")}, headers={mine.url: {"X-Token": "t"}}, user_agent="me/1"
        )
        async with pool(config) as made:
            ranges = HttpRanges(made)
            assert await fetch(ranges, mine.url, 100, 50) == CONTENT[100:150]
            await fetch(ranges, other.url)
        sent, elsewhere = fields(mine.heads[0]), fields(other.heads[0])
        assert base64.b64decode(sent["authorization"].removeprefix("Basic ")).decode() == "user:päss"
        assert (sent["x-token"], sent["user-agent"], sent["accept-encoding"]) == ("t", "me/1", "identity")
        assert not {"authorization", "x-token"} & elsewhere.keys()


@asynchronous
async def test_credentials_do_not_follow_a_redirect_to_another_host() -> None:
    async with ranged(RangedServer(CONTENT, whole)) as other:
        moved = {"/file": page(b"", "302 Found", f"Location: {other.url}file")}
        async with serving(ScriptedServer(moved)) as mine:
            async with pool(FetchConfig(credentials={mine.url: ("user", "pass")})) as made:
                assert await fetch(HttpRanges(made), f"{mine.url}/") == CONTENT
            assert "authorization" in fields(mine.asked[0])
            assert "authorization" not in fields(other.heads[0])


@asynchronous
async def test_a_netrc_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    async with ranged(RangedServer(CONTENT, whole)) as server, pool() as made:
        await fetch(HttpRanges(made), server.url)
        assert "authorization" not in fields(server.heads[0])


@asynchronous
async def test_a_proxy_is_asked_unless_the_host_is_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ranged(RangedServer(CONTENT, whole)) as proxy, ranged(RangedServer(CONTENT, whole)) as server:
        async with pool(FetchConfig(proxies={"http": proxy.url})) as made:
            await fetch(HttpRanges(made), "http://mirror.example/")
        assert proxy.heads[0].startswith("GET http://mirror.example/file HTTP/1.1")
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with pool() as made:
            await fetch(HttpRanges(made), "http://mirror.example/")
            await fetch(HttpRanges(made), server.url)
        assert len(proxy.heads) == 2
        assert len(server.heads) == 1


@asynchronous
async def test_a_connection_is_used_again() -> None:
    async with ranged(RangedServer(CONTENT, whole)) as server, pool() as made:
        ranges = HttpRanges(made)
        for first in range(0, 1000, 100):
            assert await fetch(ranges, server.url, first, 100) == CONTENT[first : first + 100]
        assert len(server.heads) == 10
        assert len(server.handlers) == 1


@asynchronous
async def test_documents_are_asked_for_conditionally() -> None:
    answer = page(b"same", "200 OK", 'ETag: "1"', "Last-Modified: Mon, 23 Nov 2026 00:00:00 GMT")
    async with serving(ScriptedServer({"/a.json": answer})) as server:
        documents = HttpDocuments(server.url, FetchConfig())
        assert await documents.fetch("a.json", limit_bytes=100) == b"same"
        server.answers["/a.json"] = b"HTTP/1.1 304 Not Modified\r\n\r\n"
        assert await documents.fetch("a.json", limit_bytes=100) == b"same"
        asked = fields(server.asked[1])
        assert (asked["if-none-match"], asked["if-modified-since"]) == ('"1"', "Mon, 23 Nov 2026 00:00:00 GMT")
        server.answers["/a.json"] = page(b"new")
        assert await documents.fetch("a.json", limit_bytes=3) == b"new"  # what is known is longer than it may be now
        assert "if-none-match" not in fields(server.asked[2])
        await documents.close()


@asynchronous
async def test_304_to_a_question_without_a_condition_is_an_error() -> None:
    async with serving(ScriptedServer({"/a.json": b"HTTP/1.1 304 Not Modified\r\n\r\n"})) as server:
        documents = HttpDocuments(server.url, FetchConfig())
        with pytest.raises(MirrorError, match="304"):
            await documents.fetch("a.json", limit_bytes=100)
        await documents.close()


# --- ending ----------------------------------------------------------------------------------------------


@asynchronous
async def test_a_stream_ends_when_it_is_stopped() -> None:
    reached = asyncio.Event()

    async def silent(writer: asyncio.StreamWriter, first: int, part: bytes) -> None:
        reached.set()
        await asyncio.Event().wait()

    async with ranged(RangedServer(CONTENT, silent)) as server, pool(FetchConfig(read_timeout_s=60.0)) as made:
        fetching = asyncio.create_task(fetch(HttpRanges(made), server.url))
        await reached.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(fetching, 5.0)
        stopped = HttpRanges(made).request(
            RangeRequest(mirror="m", url=f"{server.url}file", first=0, length=1, total=len(CONTENT))
        )
        stopped.stop()
        with pytest.raises(MirrorError, match="stopped"):
            await stopped.open()
        await stopped.close()


@asynchronous
async def test_a_name_that_is_no_name_is_the_mirrors_fault() -> None:
    async with pool() as made:
        for url in ("http://[::1/", "http://a b/", "http://\x00/"):
            with pytest.raises(MirrorError) as caught:
                await fetch(HttpRanges(made), url)
            assert caught.value.fault in {MirrorFault.REDIRECT, MirrorFault.UNREACHABLE}


# --- limits ----------------------------------------------------------------------------------------------


def test_a_bucket_keeps_the_rate() -> None:
    now = 100.0
    bucket = TokenBucket(1000.0, now=lambda: now)
    waited = 0.0
    for _ in range(50):
        pause = bucket.take(100)
        waited += pause
        now += pause
    assert waited == pytest.approx(5000 / 1000.0 - 0.1, abs=0.01)
    assert bucket.limited


def test_a_bucket_without_a_rate_never_waits() -> None:
    bucket = TokenBucket(math.inf, now=lambda: 0.0)
    assert bucket.take(1 << 40) == 0.0
    assert not bucket.limited
    bucket.set_rate(10.0)
    assert bucket.take(10) == pytest.approx(0.9)


@asynchronous
async def test_a_mirrors_rate_is_limited_over_all_its_streams() -> None:
    async with ranged(RangedServer(CONTENT, whole)) as server, pool() as made:
        ranges = HttpRanges(made, mirror_bytes_per_s=200_000)
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        await asyncio.gather(*(fetch(ranges, server.url) for _ in range(2)))
        assert loop.time() - begin_s >= 2 * len(CONTENT) / 200_000 - 0.3
        ranges.limit(1e9)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("120", None, 120.0),
        (" 7 ", None, 7.0),
        (None, None, None),
        ("soon", None, None),
        ("-5", None, None),
        ("1e3", None, None),
        ("Mon, 23 Nov 2026 00:01:00 GMT", "Mon, 23 Nov 2026 00:00:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 00:00:00 GMT", "Mon, 23 Nov 2026 00:01:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 00:01:00 GMT", None, None),
        ("Mon, 23 Nov 2026 00:01:00 -0000", "Mon, 23 Nov 2026 00:00:00 GMT", None),
        ("9" * 40, None, None),
    ],
)
def test_retry_after(value: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, date) == seconds


def test_the_configuration_shows_no_secrets() -> None:
    config = replace(FetchConfig(), credentials={"http://a/": ("u", "secret")}, headers={"http://a/": {"X": "secret"}})
    assert "secret" not in repr(config)
