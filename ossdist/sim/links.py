"""Connections of a torrent in memory: to a peer, or to a web seed."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from ossdist.config import Transport
from ossdist.sim.network import ServerError, address_of
from ossdist.transfer.progress import RateMeter
from ossdist.transfer.session import PeerKind, PeerStatus
from ossdist.transfer.spans import spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ossdist.clock import Clock
    from ossdist.sim.exchange import Exchange
    from ossdist.sim.network import MemoryNetwork, MemoryWebServer
    from ossdist.transfer.metainfo import Address, Metainfo, TorrentFile

_RATE_WINDOW_S = 5.0


class SourceFailedError(Exception):
    """A source does not give what it was asked for; the message says why."""


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
        name: What `PeerStatus.client` shall say.
        network: Where it is.
        peer_id: What `PeerStatus.peer_id` shall say.
        transport: How it was dialled.

    Attributes:
        address: See above.
        down: Payload received over it.
        up: Payload sent over it.
        busy: A piece is under way over it.
        news: Set when there may be something to ask for.
        ended: Set when it is over.
    """

    kind: ClassVar[PeerKind]

    def __init__(
        self,
        address: Address,
        name: str,
        network: MemoryNetwork,
        *,
        peer_id: bytes = b"",
        transport: Transport = Transport.TCP,
    ) -> None:
        self.address = address
        self._transport = transport
        self._peer_id = peer_id
        self.down, self.up = Counter(network.clock), Counter(network.clock)
        self.busy = False
        self.news, self.ended = asyncio.Event(), asyncio.Event()
        self._name = name
        self._key = f"{address} {network.rng.getrandbits(64):016x}"
        self._network = network

    @property
    @abstractmethod
    def complete(self) -> bool:
        """The other end has everything."""

    @property
    @abstractmethod
    def offer(self) -> Sequence[bool]:
        """Which pieces the other end gives; empty for none."""

    @abstractmethod
    async def fetch(self, index: int) -> bytes:
        """Brings a piece, right or wrong.

        Raises:
            SourceFailedError: It does not come.
        """

    def status(self) -> PeerStatus:
        """What it is like now."""
        return PeerStatus(
            address=self.address,
            kind=self.kind,
            key=self._key,
            client=self._name,
            seed=self.complete,
            choking=self.kind is PeerKind.PEER and not self.busy,
            snubbed=False,
            payload_download=self.down.total,
            payload_upload=self.up.total,
            download_bytes_per_s=self.down.bytes_per_s,
            upload_bytes_per_s=self.up.bytes_per_s,
            peer_id=self._peer_id,
            utp=self._transport in {Transport.UTP, Transport.UTP_ENCRYPTED},
            encrypted=self._transport in {Transport.TCP_ENCRYPTED, Transport.UTP_ENCRYPTED},
        )


class PeerLink(Link):
    """A connection to a peer; `pair` makes both ends.

    Attributes:
        near: At this end.
        far: At the other end.
        far_end: The same connection, seen from there.
    """

    kind = PeerKind.PEER

    def __init__(
        self, near: Exchange, far: Exchange, address: Address, network: MemoryNetwork, transport: Transport
    ) -> None:
        super().__init__(address, far.host.user_agent, network, peer_id=far.host.peer_id, transport=transport)
        self.near, self.far = near, far
        self.far_end = self

    @classmethod
    def pair(
        cls, dialler: Exchange, taker: Exchange, *, to: Address, since: Address, network: MemoryNetwork
    ) -> PeerLink:
        """Connects two; returns the dialler's end.

        Args:
            dialler: Who dials.
            taker: Who is dialled.
            to: Where the taker listens.
            since: From where the dialler dials.
            network: Where both are.
        """
        transport = dialler.host.transport
        link, far_end = cls(dialler, taker, to, network, transport), cls(taker, dialler, since, network, transport)
        link.far_end, far_end.far_end = far_end, link
        return link

    @property
    def complete(self) -> bool:
        """The peer has everything."""
        return self.far.complete

    @property
    def offer(self) -> Sequence[bool]:
        """Which pieces the peer gives."""
        return self.far.offer

    async def fetch(self, index: int) -> bytes:
        """Brings a piece from the peer."""
        size = self.near.store.metainfo.piece_size(index)
        await self._network.carry(size, self.far.host.uplink, self.near.host.downlink)
        data = self.far.serve(index)
        self.far_end.up.add(size)
        return data


class WebSeedLink(Link):
    """A connection to a web seed (BEP 19).

    Args:
        near: Who is connected.
        url: The web seed's address.
        server: Who serves it.
        network: Where both are.

    Attributes:
        url: See above.
    """

    kind = PeerKind.WEB_SEED

    def __init__(self, near: Exchange, url: str, server: MemoryWebServer, network: MemoryNetwork) -> None:
        super().__init__(address_of(url), url, network)
        self.url = url
        self._near = near
        self._server = server
        self._everything = [True] * near.store.metainfo.num_pieces

    @property
    def complete(self) -> bool:
        """A web seed is taken to have everything."""
        return True

    @property
    def offer(self) -> Sequence[bool]:
        """A web seed is taken to have everything."""
        return self._everything

    async def fetch(self, index: int) -> bytes:
        """Brings a piece by range requests, one for each file in it."""
        metainfo = self._near.store.metainfo
        size = metainfo.piece_size(index)
        await self._network.carry(size, self._server.uplink, self._near.host.downlink)
        piece = bytearray(size)
        for span in spans(metainfo, index):
            try:
                part = self._server.read(self._file_url(metainfo, span.file), span.file_offset, span.length)
            except ServerError as error:
                raise SourceFailedError(str(error)) from error
            piece[span.piece_offset : span.piece_offset + span.length] = part
        return bytes(piece)

    def _file_url(self, metainfo: Metainfo, file: TorrentFile) -> str:
        """A single file may be named whole; a folder's address ends with a slash, and names everything below it."""
        return self.url if file.path == metainfo.name and not self.url.endswith("/") else self.url + quote(file.path)
