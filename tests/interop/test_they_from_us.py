"""Other clients download our torrents from our seeds, found through a real tracker; every file is identical."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from ossdist.client import Client
from ossdist.release import layout
from ossdist.swarm import load_metainfo
from ossdist.transfer.watch import Swarm
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, TestChannel, make_channel, noise, publish
from tests.programs.aria2 import Aria2
from tests.programs.opentracker import Opentracker
from tests.programs.qbittorrent import QBittorrent
from tests.programs.transmission import Transmission

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path

    from ossdist.release.model import Release
    from ossdist.sharing import Seeding
    from tests.keys import Keys
    from tests.programs.client import Client as Program

PROGRAMS: dict[str, Callable[[Path], Program]] = {
    # aria2 asks UDP trackers through its DHT's socket only.
    "aria2": lambda folder: Aria2(folder, options={"enable-dht": "true"}),
    "transmission": Transmission,
    "qbittorrent": QBittorrent,
}
NEEDS_V1 = frozenset({"aria2", "transmission"})
ONE = {"tool.bin": noise(2_000_000)}
SEVERAL = {
    "tool.bin": noise(1_500_000),
    "docs/Lies mich.txt": "schön\n".encode(),
    "docs/empty": b"",
    "z": noise(70_001),
}


@dataclass(frozen=True)
class Seeded:
    """A release that our client seeds, and whose torrents name a running tracker."""

    channel: TestChannel
    release: Release
    seeding: Seeding

    def torrent_for(self, program: str) -> bytes:
        """The published torrent that the program can read. It carries the signed release, which they pass over."""
        path = layout.torrent_path("tool", "1.0", v1=program in NEEDS_V1)
        data = (self.channel.folder / path).read_bytes()
        carried = load_metainfo(data)
        assert carried.release is not None
        assert carried.signatures
        return data

    async def meet(self, program: str, other: Program) -> None:
        """Transmission never dials an address of the loopback interface, so there our side does."""
        if program == "transmission":
            await self.seeding.torrents[Swarm.V1].connect(other.peer)


@asynccontextmanager
async def seeded(tmp_path: Path, keys: Keys, files: Mapping[str, bytes], protocol: str) -> AsyncGenerator[Seeded]:
    """Runs the tracker and the seed."""
    channel = await make_channel(tmp_path, keys)
    async with Opentracker(tmp_path / "tracker") as tracker:
        url = tracker.http_url if protocol == "http" else tracker.udp_url
        release = (await publish(channel, files, trackers=(url,))).release
        for info_hash in (release.hybrid.info_hash_v1, release.hybrid.info_hash_v2[:40], release.v1.info_hash_v1):
            await tracker.allow(info_hash)
        async with Client(channel.folder, root=channel.root, config=CONFIG) as seed:
            yield Seeded(channel, release, await seed.seed("tool", folder=channel.payload("tool", "1.0")))


def require_identical(files: Mapping[str, bytes], folder: Path) -> None:
    """Compares what was downloaded with what was published."""
    for path, content in files.items():
        if content:  # some clients leave empty files out
            assert (folder / path).read_bytes() == content


@pytest.mark.parametrize("protocol", ["http", "udp"])
@pytest.mark.parametrize("program", PROGRAMS)
@asynchronous
async def test_single_file(tmp_path: Path, keys: Keys, program: str, protocol: str) -> None:
    out = tmp_path / "out"
    async with seeded(tmp_path, keys, ONE, protocol) as ours, PROGRAMS[program](tmp_path / program) as other:
        key = await other.add_torrent(ours.torrent_for(program), save_path=out)
        await ours.meet(program, other)
        await other.complete(key, timeout_s=60)
    require_identical(ONE, out)


@pytest.mark.parametrize("program", PROGRAMS)
@asynchronous
async def test_several_files(tmp_path: Path, keys: Keys, program: str) -> None:
    out = tmp_path / "out"
    async with seeded(tmp_path, keys, SEVERAL, "http") as ours, PROGRAMS[program](tmp_path / program) as other:
        key = await other.add_torrent(ours.torrent_for(program), save_path=out)
        await ours.meet(program, other)
        await other.complete(key, timeout_s=60)
    require_identical(SEVERAL, out / "tool-1.0")


@pytest.mark.parametrize("program", PROGRAMS)
@asynchronous
async def test_magnet_link(tmp_path: Path, keys: Keys, program: str) -> None:
    out = tmp_path / "out"
    async with seeded(tmp_path, keys, ONE, "http") as ours, PROGRAMS[program](tmp_path / program) as other:
        magnet = f"magnet:?xt=urn:btih:{ours.release.v1.info_hash_v1}&tr={ours.release.trackers[0]}"
        key = await other.add_magnet(magnet, save_path=out)
        await ours.meet(program, other)
        await other.complete(key, timeout_s=60)
    require_identical(ONE, out)


@pytest.mark.parametrize("program", PROGRAMS)
@asynchronous
async def test_over_ipv6(tmp_path: Path, keys: Keys, program: str) -> None:
    out = tmp_path / "out"
    channel = await make_channel(tmp_path, keys)
    await publish(channel, ONE)
    config = replace(CONFIG, swarm=replace(CONFIG.swarm, listen=("[::1]:0",)))
    start: dict[str, type[Program]] = {"aria2": Aria2, "transmission": Transmission, "qbittorrent": QBittorrent}
    async with (
        Client(channel.folder, root=channel.root, config=config) as seed,
        start[program](tmp_path / program, host="::1") as other,
    ):
        seeding = await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        path = layout.torrent_path("tool", "1.0", v1=program in NEEDS_V1)
        key = await other.add_torrent((channel.folder / path).read_bytes(), save_path=out)
        await seeding.torrents[Swarm.V1 if program in NEEDS_V1 else Swarm.HYBRID].connect(other.peer)
        await other.complete(key, timeout_s=60)
    require_identical(ONE, out)
