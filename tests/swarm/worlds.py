"""Where sessions meet in tests: libtorrent over loopback with real servers, or everything in memory.

Both worlds offer the same, so that one suite runs in both.
"""

from __future__ import annotations

import asyncio
import functools
import random
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self

import pytest

from ossdist.config import SwarmConfig
from ossdist.sim import LoopClock, MemoryNetwork, MemorySession, run_virtual
from ossdist.swarm import LibtorrentSession
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import AddTorrent, TorrentState
from ossdist.transfer.torrent_events import CheckingDone, Finished, PieceVerified
from tests.programs.nginx import Nginx
from tests.programs.opentracker import Opentracker
from tests.programs.ports import free_port
from tests.programs.spawn import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from types import TracebackType

    from ossdist.transfer.metainfo import Metainfo
    from ossdist.transfer.session import Session, Torrent
    from ossdist.transfer.subscription import Subscription
    from ossdist.transfer.torrent_events import TorrentEvent
    from tests.torrents import Payload

_P = ParamSpec("_P")

DEADLINE_S = 20.0
"""For one event. Nothing here takes a tenth of it unless the machine is busy."""

_TEST_DEADLINE_S = 60.0

LOOPBACK = SwarmConfig(listen=("127.0.0.1:0",), dht=False, lsd=False, port_mapping=False)


class World(ABC):
    """A place for sessions, trackers and web seeds; an asynchronous context manager that ends them all.

    Args:
        folder: An empty folder for what is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ending = AsyncExitStack()
        self._made = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ending.aclose()

    async def session(self, *, upload_bytes_per_s: int = 0, trackers: bool = True) -> Session:
        """A session that listens."""
        session = await self._open(upload_bytes_per_s, trackers=trackers)
        self._ending.push_async_callback(session.close)
        return session

    def new_folder(self) -> Path:
        """A path at which nothing is."""
        self._made += 1
        return self.folder / f"folder-{self._made}"

    @abstractmethod
    def run(self, test: Coroutine[None, None, None]) -> None:
        """Runs a test in this world."""

    @abstractmethod
    async def _open(self, upload_bytes_per_s: int, *, trackers: bool) -> Session: ...

    @abstractmethod
    def address(self, session: Session) -> Address:
        """Where peers reach it."""

    @abstractmethod
    def nowhere(self) -> Address:
        """Where nobody listens."""

    @abstractmethod
    async def serve(self, folder: Path, *, bytes_per_s: int | None = None) -> str:
        """Serves a folder over HTTP; the address of its root, with a slash at the end."""

    @abstractmethod
    async def tracker(self, *metainfos: Metainfo) -> str:
        """A tracker for these torrents; its announce address."""


class RealWorld(World):
    """libtorrent, nginx and opentracker over loopback."""

    def run(self, test: Coroutine[None, None, None]) -> None:
        """Runs a test in real time."""
        asyncio.run(test)

    async def _open(self, upload_bytes_per_s: int, *, trackers: bool) -> Session:
        config = SwarmConfig(
            listen=LOOPBACK.listen,
            dht=False,
            lsd=False,
            port_mapping=False,
            upload_bytes_per_s=upload_bytes_per_s,
            trackers=trackers,
        )
        return await LibtorrentSession.open(config)

    def address(self, session: Session) -> Address:
        """Where peers reach it."""
        return Address("127.0.0.1", session.listen_port)

    def nowhere(self) -> Address:
        """Where nobody listens."""
        return Address("127.0.0.1", free_port())

    async def serve(self, folder: Path, *, bytes_per_s: int | None = None) -> str:
        """Serves a folder with nginx."""
        if not installed("nginx"):
            pytest.skip("nginx is not installed")
        server = Nginx(self.new_folder(), folder, rate_bytes_per_s=bytes_per_s)
        await self._ending.enter_async_context(server)
        return server.url

    async def tracker(self, *metainfos: Metainfo) -> str:
        """Starts opentracker."""
        if not installed("opentracker"):
            pytest.skip("opentracker is not installed")
        hashes = [each for metainfo in metainfos for each in (metainfo.info_hashes.v1, metainfo.info_hashes.v2)]
        # A v2 swarm announces the first 20 bytes of its hash (BEP 52).
        server = Opentracker(self.new_folder(), allow=[each[:40] for each in hashes if each])
        await self._ending.enter_async_context(server)
        return server.http_url


class MemoryWorld(World):
    """A network in memory, in virtual time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.network = MemoryNetwork(clock=LoopClock(), rng=random.Random(1))

    def run(self, test: Coroutine[None, None, None]) -> None:
        """Runs a test in virtual time."""
        run_virtual(test)

    async def _open(self, upload_bytes_per_s: int, *, trackers: bool) -> Session:
        config = SwarmConfig(upload_bytes_per_s=upload_bytes_per_s, trackers=trackers)
        return await MemorySession.open(config, network=self.network)

    def address(self, session: Session) -> Address:
        """Where peers reach it."""
        assert isinstance(session, MemorySession)
        return Address(session.host.name, session.listen_port)

    def nowhere(self) -> Address:
        """Where nobody listens."""
        return Address("192.0.2.1", 6881)

    async def serve(self, folder: Path, *, bytes_per_s: int | None = None) -> str:
        """Puts a web seed into the network."""
        self._made += 1
        url = f"http://mirror-{self._made}.example/"
        self.network.add_web_server(url, folder, bytes_per_s=bytes_per_s or 0)
        return url

    async def tracker(self, *metainfos: Metainfo) -> str:
        """Puts a tracker into the network."""
        self._made += 1
        url = f"http://tracker-{self._made}.example/announce"
        self.network.add_tracker(url)
        return url


WORLDS: tuple[type[World], ...] = (RealWorld, MemoryWorld)


def contract(
    test: Callable[Concatenate[World, _P], Coroutine[None, None, None]],
) -> Callable[Concatenate[World, _P], None]:
    """Makes an asynchronous test of a world one that pytest can call, with a deadline."""

    async def within(world: World, *args: _P.args, **kwargs: _P.kwargs) -> None:
        async with asyncio.timeout(_TEST_DEADLINE_S), world:
            await test(world, *args, **kwargs)

    @functools.wraps(test)
    def run(world: World, *args: _P.args, **kwargs: _P.kwargs) -> None:
        world.run(within(world, *args, **kwargs))

    return run


async def add_piece(torrent: Torrent, index: int, data: bytes | bytearray) -> bool:
    """Hands in one piece."""
    (right,) = await torrent.add_pieces(index, data)
    return right


async def until_checked(torrent: Torrent) -> None:
    """Waits until what is on disk has been checked."""
    with torrent.subscribe() as subscription:
        if (await torrent.status()).state is TorrentState.CHECKING:
            await subscription.until(CheckingDone, timeout_s=DEADLINE_S)


async def until_finished(torrent: Torrent) -> None:
    """Waits until everything is here."""
    with torrent.subscribe() as subscription:
        if (await torrent.status()).state is not TorrentState.SEEDING:
            await subscription.until(Finished, timeout_s=DEADLINE_S)


async def events_until(subscription: Subscription, *kinds: type[TorrentEvent]) -> list[TorrentEvent]:
    """Waits until an event of each kind has come; everything that came, in order."""
    missing = set(kinds)
    seen: list[TorrentEvent] = []
    async with asyncio.timeout(DEADLINE_S):
        while missing:
            seen.append(await subscription.next())
            missing.discard(type(seen[-1]))
    return seen


def pieces_in(seen: list[TorrentEvent]) -> list[int]:
    """The pieces that were verified, in order."""
    return [event.index for event in seen if isinstance(event, PieceVerified)]


async def partial(world: World, payload: Payload, pieces: range) -> tuple[Session, Torrent, Path]:
    """A torrent with these pieces alone, and its folder."""
    session, target = await world.session(), world.new_folder()
    torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=target))
    await until_checked(torrent)
    with torrent.subscribe() as subscription:
        for index in pieces:
            await add_piece(torrent, index, payload.piece(payload.hybrid, index))
            await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
    return session, torrent, target
