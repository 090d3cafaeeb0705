"""Transfers beside mirrors over a network in memory: who has the files, and how they behave."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.config import MirrorConfig
from ossdist.errors import SourcesExhaustedError
from ossdist.mirrors.feed import MirrorFeed
from ossdist.mirrors.fetching import SignedFile
from ossdist.mirrors.health import HealthBook
from ossdist.mirrors.sites import NOWHERE, Site
from ossdist.sim import LoopClock, MemoryNetwork, MemoryRanges
from ossdist.sim.network import Pipe
from tests.transfer_lab import Lab

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.sim import MemoryWebServer
    from ossdist.transfer.metainfo import Address
    from ossdist.transfer.run import Transfer
    from tests.torrents import Payload

FAST = 50_000
"""Bytes a second; so much takes a few virtual seconds."""

BOUND_S = 600.0


@dataclass(frozen=True)
class Mirror:
    """A mirror's ways.

    Attributes:
        bytes_per_s: Its capacity.
        status: See `MemoryWebServer`, like those below.
        corrupt: See there.
        ranged: See there.
        cut_after: See there.
        silent_after: See there.
        away: From when to when it takes no connections.
    """

    bytes_per_s: int = FAST
    status: str = ""
    corrupt: tuple[int, ...] = ()
    ranged: bool = True
    cut_after: int | None = None
    silent_after: int | None = None
    away: tuple[float, float] = (0.0, 0.0)

    @property
    def good(self) -> bool:
        """Nothing is wrong with it."""
        return self == Mirror(self.bytes_per_s)


@dataclass(frozen=True)
class World:
    """Who has the files.

    Attributes:
        mirrors: Mirrors.
        seeds: Capacities of peers that have everything.
        config: How mirrors are asked.
        seed: Of chance.
        large: Several files instead of one.
        health: What is known of the mirrors.
    """

    mirrors: tuple[Mirror, ...]
    seeds: tuple[int, ...] = ()
    config: MirrorConfig = field(default_factory=MirrorConfig)
    seed: int = 1
    large: bool = False
    health: HealthBook = field(default_factory=HealthBook)

    @property
    def enough(self) -> bool:
        """Somebody has everything and gives it."""
        return bool(self.seeds) or any(mirror.good for mirror in self.mirrors)


async def begin(world: World, payload: Payload, folder: Path) -> tuple[Lab, Transfer, MirrorFeed]:
    """A network with everybody in it, and a transfer that has not begun."""
    network = MemoryNetwork(clock=LoopClock(), rng=random.Random(world.seed))
    lab = Lab(folder, payload, network)
    urls: list[str] = []
    for number, mirror in enumerate(world.mirrors):
        urls.append(f"http://mirror-{number}.example/")
        server = network.add_web_server(urls[-1], payload.folder, bytes_per_s=mirror.bytes_per_s)
        server.status, server.ranged, server.corrupt = mirror.status, mirror.ranged, frozenset(mirror.corrupt)
        server.cut_after, server.silent_after = mirror.cut_after, mirror.silent_after
    peers: list[Address] = [(await lab.seed(payload.hybrid, up=rate))[0] for rate in world.seeds]
    has_data = lab.target.exists()
    transfer = await lab.transfer(peers=tuple(peers), find_peers=False, listens=False, has_data=has_data)
    transfer.feed = MirrorFeed(
        [Site(url=url) for url in urls],
        files={file.path: SignedFile(path=file.path, sha256="") for file in payload.hybrid.files},
        fetcher=MemoryRanges(network, downlink=Pipe(network.clock, 10 * FAST)),
        config=world.config,
        health=world.health,
        here=NOWHERE,
        clock=network.clock,
        rng=network.rng,
        on_event=lab.events.append,
    )
    return lab, transfer, transfer.feed


def server_of(lab: Lab, number: int) -> MemoryWebServer:
    server = lab.network.web_server(f"http://mirror-{number}.example/")
    assert server is not None
    return server


async def come_and_go(lab: Lab, world: World) -> None:
    """Lets mirrors be away at their times."""
    turns = sorted(
        (at, number, away)
        for number, mirror in enumerate(world.mirrors)
        if mirror.away != (0.0, 0.0)
        for at, away in zip(mirror.away, (True, False), strict=True)
    )
    for at, number, away in turns:
        await lab.network.clock.sleep(max(0.0, at - lab.now_s))
        server_of(lab, number).refuses = away


async def download(world: World, payload: Payload, folder: Path) -> tuple[Lab, MirrorFeed, str]:
    """Runs the transfer to its end; why it failed, if it did."""
    lab, transfer, feed = await begin(world, payload, folder)
    changing = asyncio.create_task(come_and_go(lab, world))
    failure = ""
    try:
        async with asyncio.timeout(BOUND_S):
            await transfer.run()
    except SourcesExhaustedError as error:
        failure = str(error)
    changing.cancel()
    await transfer.leave()
    await transfer.session.close()
    assert feed.active == 0
    for _ in range(20):  # closed sessions of seeds let their tasks go at the next turns of the loop
        await asyncio.sleep(0)
    names = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    assert not {name for name in names if name.startswith(("MirrorFeed", "MemoryStream", "Reader"))}
    return lab, feed, failure
