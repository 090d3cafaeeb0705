"""A network in memory: hosts that can be dialled, trackers, and web servers. Nothing leaves the process."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ossdist.config import Transport
from ossdist.errors import SwarmError
from ossdist.transfer.metainfo import Address

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from ossdist.clock import Clock
    from ossdist.sim.session import MemorySession
    from ossdist.transfer.metainfo import InfoHashes
    from ossdist.transfer.torrent_events import Ending

_PORTS = {"http": 80, "https": 443}
_FIRST_FREE_PORT = 49152
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient the network's parties are; the defaults are those of `ossdist.swarm.settings`.

    Attributes:
        reconnect_s: Pause before a peer is dialled again; after n failures in a row n + 1 times as long.
        dial_s: For so long an answer to a dial, and to a handshake, is waited for.
        reconnects: After so many failures in a row a peer is not dialled any more.
        web_seed_retry_s: Pause before a web seed that refused the connection is asked again.
        announce_s: Pause between announces to a tracker that replies.
        announce_retry_s: Pause after one that failed.
    """

    reconnect_s: float = 2.0
    dial_s: float = 5.0
    reconnects: int = 20
    web_seed_retry_s: float = 5.0
    announce_s: float = 1800.0
    announce_retry_s: float = 5.0


class Pipe:
    """A link's capacity in one direction, shared in the order of asking.

    Args:
        clock: Its time.
        bytes_per_s: 0 for no limit.
    """

    def __init__(self, clock: Clock, bytes_per_s: int) -> None:
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._free_at_s = 0.0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Nothing new may go through."""
        return self._closed

    def limit(self, bytes_per_s: float) -> None:
        """Changes the capacity for what asks from now on; infinite for no limit, 0 for nothing."""
        self._closed = bytes_per_s <= 0
        self._bytes_per_s = 0 if self._closed or math.isinf(bytes_per_s) else max(1, int(bytes_per_s))

    def set_rate(self, bytes_per_s: int) -> None:
        """Changes the capacity for what asks from now on; 0 for no limit."""
        self._bytes_per_s = bytes_per_s

    def reserve(self, size: int) -> float:
        """Takes up room for ``size`` bytes; returns how long it takes until they are through, in seconds."""
        if not self._bytes_per_s:
            return 0.0
        now_s = self._clock.monotonic_s()
        self._free_at_s = max(now_s, self._free_at_s) + size / self._bytes_per_s
        return self._free_at_s - now_s


@dataclass(slots=True)
class Host:
    """A party's place in the network.

    Attributes:
        name: Its address without a port.
        port: Where it can be dialled; 0 if nowhere.
        user_agent: What it calls itself.
        uplink: Its capacity for sending.
        downlink: Its capacity for receiving.
        peer_id: By which peers know it.
        poisons: It sends wrong bytes.
        transport: How it dials.
        dials: How often it has tried to connect.
        incoming: How often somebody has connected to it.
        received_bytes: Payload, right or wrong.
        sent_bytes: Payload.
    """

    name: str
    port: int
    user_agent: str
    uplink: Pipe
    downlink: Pipe
    peer_id: bytes = bytes(20)
    poisons: bool = False
    transport: Transport = Transport.TCP
    dials: int = 0
    incoming: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0

    @property
    def address(self) -> Address | None:
        """Where it can be dialled; None if nowhere."""
        return Address(self.name, self.port) if self.port else None


@dataclass(slots=True)
class MemoryTracker:
    """A tracker.

    Attributes:
        url: Its announce address.
        failure: Why it refuses; empty if it does not.
    """

    url: str
    failure: str = ""
    _swarms: dict[str, dict[Address, None]] = field(default_factory=dict[str, dict[Address, None]], repr=False)

    def announce(self, hashes: InfoHashes, address: Address | None) -> tuple[Address, ...]:
        """Takes part in a torrent's swarms; returns who else does.

        Args:
            hashes: The torrent.
            address: Where the asker can be dialled; None if it listens nowhere.
        """
        found: dict[Address, None] = {}
        for info_hash in (hashes.v1, hashes.v2):
            if info_hash is not None:
                swarm = self._swarms.setdefault(info_hash, {})
                found |= swarm
                if address is not None:
                    swarm[address] = None
        return tuple(peer for peer in found if peer != address)

    def leave(self, hashes: InfoHashes, address: Address | None) -> None:
        """Takes part no more."""
        for info_hash in (hashes.v1, hashes.v2):
            if info_hash is not None and address is not None:
                self._swarms.get(info_hash, {}).pop(address, None)


@dataclass(slots=True)
class MemoryWebServer:
    """A web server that serves a folder, with switches for its faults.

    Attributes:
        url: The address of its root, with a slash at the end.
        folder: What it serves.
        uplink: Its capacity.
        refuses: It takes no connections.
        status: The HTTP status that it answers everything with, such as ``503 Service Unavailable``; empty for none.
        corrupt: Offsets in every file at which it serves a wrong byte.
        ranged: It gives parts of files; otherwise the whole of them alone.
        cut_after: Every answer ends after so many bytes; None if they do not.
        silent_after: After so many bytes of every answer nothing more comes; None if it does.
        served_bytes: What it has sent of files.
    """

    url: str
    folder: Path
    uplink: Pipe
    refuses: bool = False
    status: str = ""
    corrupt: frozenset[int] = frozenset()
    ranged: bool = True
    cut_after: int | None = None
    silent_after: int | None = None
    served_bytes: int = 0

    def length_of(self, url: str) -> int:
        """A file's length.

        Raises:
            ServerError: It answers with an error.
        """
        if self.status:
            raise ServerError(self.status)
        try:
            return self._path(url).stat().st_size
        except OSError:
            raise ServerError("404 Not Found") from None

    def read(self, url: str, offset: int, length: int) -> bytes:
        """Answers a range request.

        Raises:
            ServerError: It answers with an error.
        """
        if self.status:
            raise ServerError(self.status)
        try:
            with self._path(url).open("rb") as stream:
                stream.seek(offset)
                data = bytearray(stream.read(length))
        except OSError:
            raise ServerError("404 Not Found") from None
        if len(data) != length:
            raise ServerError("416 Range Not Satisfiable")
        for at in self.corrupt:
            if offset <= at < offset + length:
                data[at - offset] ^= 0xFF
        self.served_bytes += length
        return bytes(data)

    def _path(self, url: str) -> Path:
        return self.folder / unquote(url.removeprefix(self.url))


class ServerError(Exception):
    """A web server answers with an error, in its words."""


class MemoryNetwork:
    """Everybody who can be reached.

    Args:
        clock: Everybody's time.
        rng: Everybody's randomness; the same seed and the same calls give the same run.
        timing: How patient they are.

    Attributes:
        clock: See above.
        rng: See above.
        timing: See above.
        blocked: How a dial over some transports ends, whoever dials whom.
    """

    def __init__(self, *, clock: Clock, rng: Random, timing: Timing | None = None) -> None:
        self.clock = clock
        self.rng = rng
        self.timing = timing or Timing()
        self.blocked: dict[Transport, Ending] = {}
        self._hosts: dict[Address, MemorySession] = {}
        self._trackers: dict[str, MemoryTracker] = {}
        self._servers: dict[str, MemoryWebServer] = {}
        self._host_count = 0
        self._next_port: dict[str, int] = {}

    # --- what a test or a simulation puts there --------------------------------------------------------

    def add_tracker(self, url: str) -> MemoryTracker:
        """Puts a tracker there."""
        self._trackers[url] = tracker = MemoryTracker(url)
        return tracker

    def add_web_server(self, url: str, folder: Path, *, bytes_per_s: int = 0) -> MemoryWebServer:
        """Puts a web server there.

        Args:
            url: The address of its root, with a slash at the end.
            folder: What it serves.
            bytes_per_s: Its capacity, 0 for no limit.
        """
        if not url.endswith("/"):
            raise ValueError(f"{url!r} must end with a slash")
        self._servers[url] = server = MemoryWebServer(url, folder, Pipe(self.clock, bytes_per_s))
        return server

    # --- what its parties use --------------------------------------------------------------------------

    def new_host(self) -> str:
        """An address that nobody has yet, of 10.0.0.0/8."""
        self._host_count += 1
        number = self._host_count
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def free_port(self, host: str) -> int:
        """A port of ``host`` that was not used before, as far as there are any."""
        port = self._next_port.get(host, _FIRST_FREE_PORT)
        self._next_port[host] = port + 1 if port < _MAX_PORT else _FIRST_FREE_PORT
        return port

    def listen(self, session: MemorySession, address: Address) -> None:
        """Lets a session be dialled.

        Raises:
            SwarmError: Somebody else listens there.
        """
        if address in self._hosts:
            raise SwarmError(f"cannot listen on {address}: Address already in use")
        self._hosts[address] = session

    def leave(self, address: Address) -> None:
        """Lets nobody be dialled there any more."""
        self._hosts.pop(address, None)

    def session_at(self, address: Address) -> MemorySession | None:
        """Who listens there."""
        return self._hosts.get(address)

    def tracker(self, url: str) -> MemoryTracker | None:
        """The tracker of that address."""
        return self._trackers.get(url)

    def web_server(self, url: str) -> MemoryWebServer | None:
        """Who serves that address: the one with the longest root that fits."""
        roots = [root for root in self._servers if url.startswith(root)]
        return self._servers[max(roots, key=len)] if roots else None

    async def carry(self, size: int, *pipes: Pipe) -> None:
        """Returns when ``size`` bytes have gone through all these pipes at once; always lets others run."""
        duration_s = max(pipe.reserve(size) for pipe in pipes)
        if duration_s > 0:
            await self.clock.sleep(duration_s)
        else:
            await asyncio.sleep(0)


def address_of(url: str) -> Address:
    """Where a web seed stands."""
    parts = urlsplit(url)
    return Address(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0))
