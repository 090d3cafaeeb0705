"""Connections of a torrent in memory: to a peer, or to a web seed."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from ossdist.sim.network import ServerError, address_of
from ossdist.sim.pieces import spans
from ossdist.transfer.progress import RateMeter
from ossdist.transfer.session import PeerKind, PeerStatus

if TYPE_CHECKING:
    from ossdist.clock import Clock
    from ossdist.sim.network import MemoryNetwork, MemoryWebServer, Pipe
    from ossdist.sim.torrent import MemoryTorrent
    from ossdist.transfer.metainfo import Address, Metainfo, TorrentFile

_RATE_WINDOW_S = 5.0


class SourceFailedError(Exception):
    """A source gives nothing any more; the message says why."""


class Counter:
    """Payload in one direction, and its rate.

    Args:
        clock: Its time.

    Attributes:
        total: In bytes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rate = RateMeter(_RATE_WINDOW_S)
        self.total = 0
        self.add(0)

    def add(self, size: int) -> None:
        """Counts ``size`` bytes."""
        self.total += size
        self._rate.note(self._clock.monotonic_s(), self.total)

    @property
    def bytes_per_s(self) -> int:
        """The rate now."""
        self.add(0)
        return int(self._rate.bytes_per_s)


class Link(ABC):
    """A connection, seen from one end.

    Args:
        address: The other end.
        key: Tells connections apart.
        clock: Its time.

    Attributes:
        address: See above.
        down: Payload received over it.
        up: Payload sent over it.
        asked: How many pieces are under way over it.
        news: Set when there may be something to ask for.
        ended: Set when it is over.
    """

    kind: ClassVar[PeerKind]

    def __init__(self, address: Address, key: str, clock: Clock) -> None:
        self.address = address
        self._key = key
        self.down = Counter(clock)
        self.up = Counter(clock)
        self.asked = 0
        self.news = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    @abstractmethod
    def client(self) -> str:
        """What `PeerStatus.client` shall say."""

    @property
    @abstractmethod
    def complete(self) -> bool:
        """It has everything."""

    @abstractmethod
    def offers(self, index: int) -> bool:
        """It has this piece."""

    @abstractmethod
    async def fetch(self, index: int) -> bytes:
        """Brings a piece, right or wrong.

        Raises:
            SourceFailedError: It does not.
        """

    def status(self) -> PeerStatus:
        """What it is like now."""
        return PeerStatus(
            address=self.address,
            kind=self.kind,
            key=self._key,
            client=self.client,
            seed=self.complete,
            choking=self.kind is PeerKind.PEER and not self.asked,
            snubbed=False,
            payload_download=self.down.total,
            payload_upload=self.up.total,
            download_bytes_per_s=self.down.bytes_per_s,
            upload_bytes_per_s=self.up.bytes_per_s,
        )


class PeerLink(Link):
    """A connection to a peer.

    Args:
        near: The torrent at this end.
        far: The torrent at the other end.
        address: The other end.
        network: Where both are.
    """

    kind = PeerKind.PEER

    def __init__(self, near: MemoryTorrent, far: MemoryTorrent, address: Address, network: MemoryNetwork) -> None:
        super().__init__(address, f"{address} {network.rng.getrandbits(64):016x}", network.clock)
        self._network = network
        self.near = near
        self.far = far
        self.far_end = self

    @classmethod
    def pair(
        cls, dialler: MemoryTorrent, taker: MemoryTorrent, *, at: Address, since: Address, network: MemoryNetwork
    ) -> PeerLink:
        """Connects two torrents; returns the dialler's end.

        Args:
            dialler: Who dials.
            taker: Who is dialled.
            at: Where the taker listens.
            since: From where the dialler dials.
            network: Where both are.
        """
        link = cls(dialler, taker, at, network)
        link.far_end = cls(taker, dialler, since, network)
        link.far_end.far_end = link
        return link

    @property
    def client(self) -> str:
        """What the peer calls itself."""
        return self.far.user_agent

    @property
    def complete(self) -> bool:
        """The peer has everything."""
        return self.far.complete

    def offers(self, index: int) -> bool:
        """The peer has this piece."""
        return self.far.has(index)

    async def fetch(self, index: int) -> bytes:
        """Brings a piece from the peer."""
        await self._network.carry(self.near.piece_size(index), self.far.uplink, self.near.downlink)
        data = self.far.serve(index)
        self.far_end.up.add(len(data))
        return data


class WebSeedLink(Link):
    """A connection to a web seed (BEP 19).

    Args:
        url: The web seed's address.
        server: Who serves it.
        metainfo: What is fetched.
        network: Where it is.
        downlink: The torrent's capacity.
    """

    kind = PeerKind.WEB_SEED

    def __init__(
        self, url: str, server: MemoryWebServer, metainfo: Metainfo, network: MemoryNetwork, downlink: Pipe
    ) -> None:
        super().__init__(address_of(url), f"{url} {network.rng.getrandbits(64):016x}", network.clock)
        self.url = url
        self._server = server
        self._metainfo = metainfo
        self._network = network
        self._downlink = downlink

    @property
    def client(self) -> str:
        """The web seed's address."""
        return self.url

    @property
    def complete(self) -> bool:
        """A web seed is taken to have everything."""
        return True

    def offers(self, index: int) -> bool:  # noqa: ARG002 - the same for every piece
        """A web seed is taken to have everything."""
        return True

    async def fetch(self, index: int) -> bytes:
        """Brings a piece by range requests, one for each file in it."""
        size = self._metainfo.piece_size(index)
        await self._network.carry(size, self._server.uplink, self._downlink)
        piece = bytearray(size)
        for span in spans(self._metainfo, index):
            try:
                part = self._server.read(self._file_url(span.file), span.file_offset, span.length)
            except ServerError as error:
                raise SourceFailedError(str(error)) from error
            piece[span.piece_offset : span.piece_offset + span.length] = part
        return bytes(piece)

    def _file_url(self, file: TorrentFile) -> str:
        return f"{self.url}{quote(file.path)}" if self.url.endswith("/") else self.url
