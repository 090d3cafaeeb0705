"""A network in memory with a release in it, in virtual time: minutes of waiting take milliseconds."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from ossdist import events
from ossdist.config import SwarmConfig, TransferConfig
from ossdist.sim import LoopClock, MemoryNetwork, MemorySession, MemoryTorrent, run_virtual
from ossdist.transfer import watch
from ossdist.transfer.job import TransferJob
from ossdist.transfer.metainfo import Address
from ossdist.transfer.run import Transfer
from ossdist.transfer.session import AddTorrent
from ossdist.transfer.watch import Swarm
from tests.torrents import single

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from ossdist.transfer.metainfo import Metainfo
    from tests.torrents import Payload

T = TypeVar("T")

CONFIG = TransferConfig(
    poll_s=0.5, resume_save_s=5.0, swarm_patience_s=10.0, exhausted_after_s=60.0, web_seed_retry_s=2.0
)
DEAD = Address("192.0.2.1", 6881)
RATE = 20_000
"""At this rate the payload takes ten seconds."""


@dataclass
class Lab:
    """A network, a release in it, and whoever downloads it."""

    folder: Path
    payload: Payload
    network: MemoryNetwork
    events: list[events.TransferEvent] = field(default_factory=list[events.TransferEvent])
    saved: list[bytes] = field(default_factory=list[bytes])
    seeds: list[MemoryTorrent] = field(default_factory=list[MemoryTorrent])

    async def session(self, *, up: int = 0, listens: bool = True) -> MemorySession:
        """Somebody in the network."""
        config = SwarmConfig(upload_bytes_per_s=up)
        return await MemorySession.open(config if listens else replace(config, listen=()), network=self.network)

    async def seed(self, metainfo: Metainfo, *, up: int = 0) -> tuple[Address, MemoryTorrent]:
        """Somebody who has everything."""
        session = await self.session(up=up)
        torrent = await session.add(AddTorrent(source=metainfo, save_path=self.payload.folder, seed=True))
        self.seeds.append(torrent)
        return Address(session.host.name, session.listen_port), torrent

    @property
    def target(self) -> Path:
        """Where the files are to be."""
        return self.folder / "target"

    async def transfer(
        self,
        *,
        peers: tuple[Address, ...] = (),
        trackers: tuple[str, ...] = (),
        web_seeds: tuple[str, ...] = (),
        swarms: tuple[Swarm, ...] = (Swarm.HYBRID, Swarm.V1),
        resume_data: bytes | None = None,
        has_data: bool = False,
        config: TransferConfig = CONFIG,
        find_peers: bool = True,
        listens: bool = True,
    ) -> Transfer:
        """A download that has not begun."""

        async def save(data: bytes) -> None:
            self.saved.append(data)

        torrents = {Swarm.HYBRID: self.payload.hybrid, Swarm.V1: self.payload.v1}
        job = TransferJob(
            title="tool 1.0",
            torrents={swarm: torrents[swarm] for swarm in swarms},
            save_path=self.target,
            peers=peers,
            trackers=trackers,
            web_seeds=web_seeds,
            find_peers=find_peers,
            has_data=has_data,
            resume_data=resume_data,
            resume_trusted=resume_data is not None,
        )
        return Transfer(
            session=await self.session(listens=listens),
            job=job,
            config=config,
            clock=self.network.clock,
            on_event=self.events.append,
            save_resume=save,
        )

    def seen(self, kind: type[T]) -> list[T]:
        """What was told of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def now_s(self) -> float:
        """The network's time."""
        return self.network.clock.monotonic_s()


def in_lab(test: Callable[[Lab], Coroutine[None, None, None]]) -> Callable[[Path], None]:
    """Makes an asynchronous test of a lab one that pytest can call, in virtual time."""

    async def prepare(folder: Path) -> None:
        network = MemoryNetwork(clock=LoopClock(), rng=random.Random(1))
        await test(Lab(folder, single(folder / "seed"), network))

    @functools.wraps(prepare)
    def run(tmp_path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(watch, "_SMALL_BYTES", 0)  # the lab's files stand for large ones
            run_virtual(prepare(tmp_path))

    del run.__wrapped__  # pytest would ask for the inner argument
    return run
