"""Peers that nobody told us of: through other peers (PEX), the local network (LSD) and the DHT, on loopback."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ossdist.swarm import LibtorrentSession
from ossdist.swarm.metainfo import make_torrents
from ossdist.transfer.metainfo import Address, Metainfo
from ossdist.transfer.session import AddTorrent, Torrent
from ossdist.transfer.torrent_events import Finished
from tests.asynchronous import asynchronous
from tests.channels import LOCAL, noise

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.config import SwarmConfig

CONTENT = noise(400_000)
PEX = replace(LOCAL, pex=True)
LSD = replace(LOCAL, lsd=True, pex=False)
DHT = replace(LOCAL, dht=True, private_network=True, pex=False)


def make(tmp_path: Path) -> Metainfo:
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "tool.bin").write_bytes(CONTENT)
    return make_torrents(tmp_path / "seed", [("tool.bin", len(CONTENT))], name="tool.bin").hybrid


async def opened(stack: AsyncExitStack, config: SwarmConfig) -> LibtorrentSession:
    return await stack.enter_async_context(await LibtorrentSession.open(config))


async def finish(torrent: Torrent, *, timeout_s: float) -> None:
    with torrent.subscribe() as events:
        status = await torrent.status()
        if status.bytes_done < status.bytes_total:
            await events.until(Finished, timeout_s=timeout_s)


def address(session: LibtorrentSession) -> Address:
    return Address("127.0.0.1", session.listen_port)


@asynchronous
async def test_exchange_between_peers(tmp_path: Path) -> None:
    """Two leechers meet only through the seed, which is then slow: they get the rest from each other."""
    metainfo = make(tmp_path)
    async with AsyncExitStack() as stack:
        seed = await opened(stack, replace(PEX, upload_bytes_per_s=100_000))
        await seed.add(AddTorrent(metainfo, tmp_path / "seed", seed=True))
        leechers = [await opened(stack, PEX) for _ in range(2)]
        torrents = [
            await leecher.add(AddTorrent(metainfo, tmp_path / f"leech{number}", peers=(address(seed),)))
            for number, leecher in enumerate(leechers)
        ]
        await met(torrents[0], address(leechers[1]), torrents[1], address(leechers[0]))
        for torrent in torrents:
            await finish(torrent, timeout_s=90)
    for number in range(2):
        assert (tmp_path / f"leech{number}" / "tool.bin").read_bytes() == CONTENT


async def met(one: Torrent, address_of_other: Address, other: Torrent, address_of_one: Address) -> None:
    """Waits until one of them has dialled the other."""
    while True:
        dialled = {peer.address for torrent in (one, other) for peer in await torrent.peers()}
        if dialled & {address_of_other, address_of_one}:
            return
        await asyncio.sleep(0.1)  # a connection by exchange posts the same alert as any other; the test has a deadline


@asynchronous
async def test_local_network(tmp_path: Path) -> None:
    metainfo = make(tmp_path)
    async with AsyncExitStack() as stack:
        seed, leech = [await opened(stack, LSD) for _ in range(2)]
        await seed.add(AddTorrent(metainfo, tmp_path / "seed", seed=True))
        await finish(await leech.add(AddTorrent(metainfo, tmp_path / "leech")), timeout_s=60)
    assert (tmp_path / "leech" / "tool.bin").read_bytes() == CONTENT


@asynchronous
async def test_distributed_hash_table(tmp_path: Path) -> None:
    metainfo = make(tmp_path)
    async with AsyncExitStack() as stack:
        router = await opened(stack, DHT)
        known = replace(DHT, dht_nodes=(f"127.0.0.1:{router.listen_port}",))
        seed, leech = [await opened(stack, known) for _ in range(2)]
        await seed.add(AddTorrent(metainfo, tmp_path / "seed", seed=True))
        await finish(await leech.add(AddTorrent(metainfo, tmp_path / "leech")), timeout_s=90)
    assert (tmp_path / "leech" / "tool.bin").read_bytes() == CONTENT
