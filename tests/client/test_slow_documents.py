"""Documents that come too slowly (TUF's slow retrieval attack): given up, and another copy of the channel is asked."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist.catalog import Catalog
from ossdist.clock import SystemClock
from ossdist.config import FetchConfig
from ossdist.errors import MirrorError
from ossdist.mirrors import failures
from ossdist.mirrors.documents import HttpDocuments
from ossdist.release import layout
from tests.asynchronous import asynchronous
from tests.channels import make_channel, publish
from tests.scripted_server import ScriptedServer, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys

BODY = b"signed bytes\n"
IMPATIENT = FetchConfig(read_timeout_s=60, total_timeout_s=60, min_bytes_per_s=1e12, min_rate_grace_s=0.1)
"""No server is fast enough, so nothing depends on how fast this one is."""
HELD = {
    "/nothing": b"",
    "/head": b"HTTP/1.1 200 OK\r\nX: begun",
    "/body": b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + BODY,
    "/chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + BODY,
}


@pytest.mark.parametrize(
    ("received_bytes", "elapsed_s", "slow"),
    [(0, 9.9, False), (0, 10, True), (9_999, 10, True), (10_000, 10, False), (50_000, 51, True), (50_000, 50, False)],
)
def test_the_average_counts_once_the_grace_is_over(received_bytes: int, elapsed_s: float, slow: bool) -> None:  # noqa: FBT001
    said = failures.too_slow(received_bytes, elapsed_s, min_bytes_per_s=1000, grace_s=10)
    assert (said is not None) is slow


@pytest.mark.parametrize("path", HELD)
@asynchronous
async def test_what_comes_too_slowly_is_given_up_wherever_it_stops(path: str) -> None:
    async with serving(ScriptedServer(HELD, hold=frozenset(HELD))) as server:
        documents = HttpDocuments(server.url, IMPATIENT)
        with pytest.raises(MirrorError, match=r"bytes within .* s are less than 1e\+12 a second"):
            await documents.fetch(path.lstrip("/"), limit_bytes=1_000_000)
        await asyncio.wait_for(server.left.wait(), 30)  # nobody waits for it any more
        await documents.close()


@asynchronous
async def test_how_much_has_come_is_told() -> None:
    async with serving(ScriptedServer(HELD, hold=frozenset(HELD))) as server:
        for path in ("body", "chunk"):
            documents = HttpDocuments(server.url, IMPATIENT)
            with pytest.raises(MirrorError, match=rf"{len(BODY)} bytes within"):
                await documents.fetch(path, limit_bytes=1_000_000)
            await documents.close()


@asynchronous
async def test_t11_slow_retrieval(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first copy answers and never goes on; the second one is asked. Without the defence the first one holds us."""
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"content"})
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"
    paths = [f"/{path}" for path in (layout.CHANNEL, layout.numbered_root(2))]
    slow = ScriptedServer(dict.fromkeys(paths, head), hold=frozenset(paths))

    async def serial(state: Path) -> int:
        places = [slow.url, channel.folder]
        async with Catalog(
            places, root=channel.root, config=IMPATIENT, clock=SystemClock(), state_folder=state
        ) as catalog:
            return (await catalog.channel()).channel.serial

    async with serving(slow):
        assert await serial(tmp_path / "state") == 2
        monkeypatch.setattr(failures, "too_slow", _never)
        slow.left.clear()
        held = asyncio.create_task(serial(tmp_path / "other-state"))
        done, _ = await asyncio.wait([held], timeout=1)
        assert not done
        assert not slow.left.is_set()
        held.cancel()
        await asyncio.wait([held])


def _never(*_: object, **__: object) -> None:
    pass


@asynchronous
async def test_waiting_for_a_thread_is_not_the_servers_fault() -> None:
    may_end = threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + BODY
    async with serving(ScriptedServer({"/good": good})) as server:
        documents = HttpDocuments(server.url, replace(IMPATIENT, min_bytes_per_s=1, min_rate_grace_s=0.05))
        busy = loop.run_in_executor(None, may_end.wait, 30)
        fetching = asyncio.create_task(documents.fetch("good", limit_bytes=100))
        done, _ = await asyncio.wait([fetching], timeout=0.2)  # four times the grace
        assert not done
        may_end.set()
        assert await fetching == BODY
        await busy
        await documents.close()
