"""A BitTorrent session whose network is in memory, and whose files are real."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Self

from ossdist.errors import SwarmError
from ossdist.sim.magnet import info_hashes_in
from ossdist.sim.network import Host, Pipe
from ossdist.sim.torrent import MemoryTorrent
from ossdist.store import resume
from ossdist.transfer.metainfo import Address, Metainfo
from ossdist.transfer.session import NetworkCounters, require_transport

if TYPE_CHECKING:
    from types import TracebackType

    from ossdist.config import SwarmConfig, Transport
    from ossdist.sim.network import MemoryNetwork
    from ossdist.transfer.metainfo import InfoHashes
    from ossdist.transfer.session import AddTorrent

log = logging.getLogger(__name__)

_ANYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not listened on


class MemorySession:
    """See `ossdist.transfer.session.Session`. Made by `open`; an asynchronous context manager.

    It passes the contract tests of the real one. Pieces move whole, over one connection each, as fast as both ends'
    limits allow (at once without limits, letting others run in between). Of the configuration it heeds ``listen``,
    ``trackers``, ``user_agent`` and both rate limits; it has no DHT, LSD or PEX, and chokes nobody.

    Attributes:
        host: Its place in the network, with a switch that makes it send wrong bytes.
    """

    def __init__(self, config: SwarmConfig, host: Host, network: MemoryNetwork) -> None:
        self.host = host
        self._config = config
        self._network = network
        self._torrents: dict[str, MemoryTorrent] = {}
        self._closed = False

    @classmethod
    async def open(cls, config: SwarmConfig, *, network: MemoryNetwork, host: str = "") -> Self:
        """Starts a session.

        Args:
            config: Its settings.
            network: Where it takes part.
            host: Its address; one that nobody has if empty.

        Raises:
            SwarmError: It can listen on none of the interfaces.
        """
        await asyncio.sleep(0)
        interfaces = [_interface(text) for text in config.listen]
        name = host or next((each.host for each in interfaces if each.host not in _ANYWHERE), "") or network.new_host()
        place = Host(
            name=name,
            port=0,
            user_agent=config.user_agent,
            uplink=Pipe(network.clock, config.upload_bytes_per_s),
            downlink=Pipe(network.clock, config.download_bytes_per_s),
            peer_id=network.rng.randbytes(20),
            transport=config.transport,
        )
        session = cls(config, place, network)
        session._listen(interfaces)
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def listen_port(self) -> int:
        """The port on which peers may connect; 0 if it listens nowhere."""
        return self.host.port

    @property
    def peer_id(self) -> bytes:
        """By which peers know it."""
        return self.host.peer_id

    @property
    def public_address(self) -> str | None:
        """Its address in the network, if somebody can reach it there."""
        return self.host.name if self.host.port else None

    async def add(self, request: AddTorrent) -> MemoryTorrent:
        """Starts on a torrent.

        Raises:
            SwarmError: It is there already, or it cannot be used.
        """
        await asyncio.sleep(0)
        if self._closed:
            raise SwarmError("the session is closed")
        source, state = request.source, None
        if isinstance(source, Metainfo):
            hashes = source.info_hashes
            if len(source.piece_hashes) != source.num_pieces:
                raise SwarmError(f"torrent {hashes} has no v1 piece hashes")
            if request.resume_data is not None:
                try:
                    state = resume.decode(request.resume_data, hashes)
                except SwarmError as error:
                    log.warning("%s; the files are checked instead", error)
        else:
            hashes = info_hashes_in(source)
        if self.torrent_of(hashes) is not None:
            raise SwarmError(f"torrent {hashes} is in the session already")
        torrent = MemoryTorrent(
            request,
            hashes,
            state,
            host=self.host,
            network=self._network,
            trackers=request.trackers if self._config.trackers else (),
            on_identity=self._identify,
        )
        self._identify(torrent, hashes)
        torrent.start()
        return torrent

    async def counters(self) -> NetworkCounters:
        """What it has seen of its network; wrong and doubled bytes of the torrents that it has now.

        Raises:
            SwarmError: It is closed.
        """
        await asyncio.sleep(0)
        if self._closed:
            raise SwarmError("the session is closed")
        exchanges = [torrent.exchange for torrent in dict.fromkeys(self._torrents.values())]
        return NetworkCounters(
            dials=self.host.dials,
            incoming=self.host.incoming,
            tcp_peers=sum(len(exchange.links) for exchange in exchanges),
            received_bytes=self.host.received_bytes,
            sent_bytes=self.host.sent_bytes,
            failed_bytes=sum(exchange.failed_bytes for exchange in exchanges),
            redundant_bytes=sum(exchange.redundant_bytes for exchange in exchanges),
            banned_peers=sum(exchange.bans for exchange in exchanges),
        )

    async def set_limits(self, *, upload_bytes_per_s: float, download_bytes_per_s: float) -> None:
        """Limits all torrents together from now on."""
        await asyncio.sleep(0)
        if self._closed:
            raise SwarmError("the session is closed")
        limits = ((self.host.uplink, upload_bytes_per_s, self._config.upload_bytes_per_s),)
        limits += ((self.host.downlink, download_bytes_per_s, self._config.download_bytes_per_s),)
        for pipe, wanted, configured in limits:
            pipe.limit(min(wanted, configured or math.inf))
        for torrent in dict.fromkeys(self._torrents.values()):
            torrent.exchange.wake()

    @property
    def transports(self) -> tuple[Transport, ...]:
        """By which it can dial, the one that it begins with first."""
        return self._config.transports

    async def set_transport(self, transport: Transport) -> None:
        """Dials peers so from now on; connections that stand stay."""
        await asyncio.sleep(0)
        if self._closed:
            raise SwarmError("the session is closed")
        require_transport(transport, self.transports)
        self.host.transport = transport

    async def close(self) -> None:
        """Leaves all swarms. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        if (address := self.host.address) is not None:
            self._network.leave(address)
        torrents, self._torrents = dict.fromkeys(self._torrents.values()), {}
        for torrent in torrents:
            await torrent.detach("the session was closed")

    # --- for the network -------------------------------------------------------------------------------

    def torrent_of(self, hashes: InfoHashes) -> MemoryTorrent | None:
        """Its torrent with one of these info-hashes."""
        known = (self._torrents.get(info_hash) for info_hash in (hashes.v1, hashes.v2) if info_hash is not None)
        return next((torrent for torrent in known if torrent is not None), None)

    # --- inside ----------------------------------------------------------------------------------------

    def _identify(self, torrent: MemoryTorrent, hashes: InfoHashes | None) -> None:
        self._torrents = {key: other for key, other in self._torrents.items() if other is not torrent}
        if hashes is not None:
            self._torrents |= {key: torrent for key in (hashes.v1, hashes.v2) if key is not None}

    def _listen(self, interfaces: list[Address]) -> None:
        failures: list[str] = []
        for interface in interfaces:
            port = interface.port or self._network.free_port(self.host.name)
            try:
                self._network.listen(self, Address(self.host.name, port))
            except SwarmError as error:
                failures.append(str(error))
            else:
                self.host.port = port
                return
        if failures:
            raise SwarmError(f"{'; '.join(failures)}. Choose other ports or interfaces.")


def _interface(text: str) -> Address:
    """``ADDRESS:PORT`` or ``[ADDRESS]:PORT``."""
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))
