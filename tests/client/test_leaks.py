"""Opening and closing leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from ossdist.client import Client
from ossdist.errors import SwarmError
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, TestChannel, make_channel, noise, port_of, publish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ossdist.config import SwarmConfig
    from ossdist.transfer.session import Session
    from tests.keys import Keys

CYCLES = 50


def resources() -> dict[str, int]:
    """What this process holds."""
    me = psutil.Process()
    return {
        "descriptors": me.num_fds(),
        "Python threads": threading.active_count(),
        "threads": me.num_threads(),
        "processes": len(me.children(recursive=True)),
        "temporary folders": len(list(Path(tempfile.gettempdir()).glob("ossdist*"))),
    }


def grown(before: dict[str, int]) -> dict[str, int]:
    """What there is more of than before."""
    return {what: count for what, count in resources().items() if count > before[what]}


async def fill_thread_pool() -> None:
    """The loop's own thread pool grows to its full size once, and stays."""
    workers = min(32, (os.cpu_count() or 1) + 4)
    barrier = threading.Barrier(workers)
    await asyncio.gather(*(asyncio.to_thread(barrier.wait, 10) for _ in range(workers)))


async def settled(before: dict[str, int]) -> dict[str, int]:
    """What has grown, after up to five seconds: a thread lives on a little after its join."""
    for _ in range(500):
        if not grown(before):
            break
        await asyncio.sleep(0.01)
    return grown(before)


@pytest.fixture(autouse=True)
def own_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Temporary folders of other processes are no concern of ours. Its path is short: gpg's sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="leak") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


async def cycle(channel: TestChannel, tmp_path: Path, number: int) -> None:
    """A seed and a client meet, the client downloads, and both close."""
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        await client.download("tool", to=tmp_path / f"out{number}", peers=[port_of(seed)])


@asynchronous
async def test_fifty_cycles(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": noise(300_000)})
    await fill_thread_pool()
    await cycle(channel, tmp_path, -1)
    before = resources()
    for number in range(CYCLES):
        await cycle(channel, tmp_path, number)
    assert await settled(before) == {}


@asynchronous
async def test_client_that_cannot_open_leaves_nothing(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)

    async def refuse(config: SwarmConfig) -> Session:
        raise SwarmError(f"no session for {config.user_agent}")

    async def attempt() -> None:
        with pytest.raises(SwarmError, match="no session"):
            async with Client(channel.folder, root=channel.root, config=CONFIG, open_session=refuse):
                raise AssertionError("it opened")

    await fill_thread_pool()
    await attempt()
    before = resources()
    await attempt()
    assert await settled(before) == {}
