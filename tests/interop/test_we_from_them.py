"""We download torrents that others made from clients that others wrote; every file is identical."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ossdist.swarm import LibtorrentSession, load_metainfo
from ossdist.transfer.session import AddTorrent
from ossdist.transfer.torrent_events import Finished, MetadataReceived
from tests.asynchronous import asynchronous
from tests.channels import LOCAL
from tests.programs.aria2 import Aria2
from tests.programs.mktorrent import mktorrent
from tests.programs.opentracker import Opentracker
from tests.programs.payload import make_tree, tree_digests
from tests.programs.qbittorrent import QBittorrent
from tests.programs.transmission import Transmission, transmission_create

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from ossdist.transfer.metainfo import Address
    from tests.programs.client import Client as Program

PROGRAMS: dict[str, Callable[[Path], Program]] = {
    # aria2 asks UDP trackers through its DHT's socket only.
    "aria2": lambda folder: Aria2(folder, options={"enable-dht": "true"}),
    "transmission": Transmission,
    "qbittorrent": QBittorrent,
}
MAKERS = {"mktorrent": mktorrent, "transmission-create": transmission_create}
SIZE = 2_000_000


@asynccontextmanager
async def seeded(
    tmp_path: Path, program: str, maker: str, protocol: str
) -> AsyncGenerator[tuple[bytes, Path, tuple[Address, ...]]]:
    """A torrent that ``maker`` made of a folder, and that ``program`` seeds through a tracker.

    Transmission announces some seconds after it has begun to seed, and never dials an address of the loopback
    interface; so there its address is told besides.
    """
    payload = make_tree(tmp_path / "theirs" / "tree", SIZE)
    async with Opentracker(tmp_path / "tracker") as tracker, PROGRAMS[program](tmp_path / program) as other:
        url = tracker.http_url if protocol == "http" else tracker.udp_url
        torrent = await MAKERS[maker](payload, tmp_path / "made.torrent", trackers=[url])
        info_hash = load_metainfo(torrent).info_hashes.v1
        assert info_hash is not None
        await tracker.allow(info_hash)
        key = await other.add_torrent(torrent, save_path=payload.parent, seed=True)
        await other.complete(key, timeout_s=60)
        yield torrent, payload, ((other.peer,) if program == "transmission" else ())


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("program", PROGRAMS)
@asynchronous
async def test_torrent_file(tmp_path: Path, program: str, maker: str) -> None:
    protocol = "udp" if maker == "mktorrent" else "http"
    async with (
        seeded(tmp_path, program, maker, protocol) as (torrent, payload, peers),
        await LibtorrentSession.open(LOCAL) as us,
    ):
        metainfo = load_metainfo(torrent)
        ours = await us.add(AddTorrent(metainfo, tmp_path / "ours", trackers=metainfo.trackers, peers=peers))
        with ours.subscribe() as events:
            if (await ours.status()).bytes_done < metainfo.total:
                await events.until(Finished, timeout_s=60)
        await ours.remove()
    found, expected = tree_digests(tmp_path / "ours" / "tree"), tree_digests(payload)
    if maker == "transmission-create":  # it leaves empty files out
        expected = {path: digest for path, digest in expected.items() if (payload / path).stat().st_size}
    assert found == expected


@pytest.mark.parametrize("program", PROGRAMS)
@asynchronous
async def test_magnet_link(tmp_path: Path, program: str) -> None:
    async with (
        seeded(tmp_path, program, "mktorrent", "http") as (torrent, payload, peers),
        await LibtorrentSession.open(LOCAL) as us,
    ):
        metainfo = load_metainfo(torrent)
        magnet = f"magnet:?xt=urn:btih:{metainfo.info_hashes.v1}"
        ours = await us.add(AddTorrent(magnet, tmp_path / "ours", trackers=metainfo.trackers, peers=peers))
        with ours.subscribe() as events:
            received = await events.until(MetadataReceived, timeout_s=60)
            assert received.metainfo.files == metainfo.files
            await events.until(Finished, timeout_s=60)
        await ours.remove()
    assert tree_digests(tmp_path / "ours" / "tree") == tree_digests(payload)
