"""What a BitTorrent session must be able to do, and the values that it speaks in.

Three implementations pass the same contract tests: `ossdist.swarm.LibtorrentSession`, which talks to the world,
`ossdist.sim.MemorySession`, whose network is in memory, and `ossdist.store.disk_session.DiskSession`, which has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from ossdist.config import Transport
    from ossdist.transfer.metainfo import Address, InfoHashes, Metainfo
    from ossdist.transfer.subscription import Subscription

# --- what is asked for -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddTorrent:
    """Everything that a session needs to start on a torrent.

    Attributes:
        source: A parsed torrent, or a magnet link (BEP 9).
        save_path: Folder in which the torrent's files stand or will stand.
        peers: Peers that are known already; they are dialled at once.
        trackers: Announce addresses. Those inside the torrent are *not* used: nobody signed them.
        web_seeds: BEP 19 addresses; same remark.
        rename: New paths by file index, relative to ``save_path`` or absolute.
        seed: The files are complete and were verified; pieces are checked again when they are first read. The files
            are never written to: a piece that turns out to be wrong stays missing.
        sequential: Ask for pieces in order (see `ossdist.transfer.watch.prefer_sequential`).
        dht, lsd, pex: Which ways of finding peers this torrent may use, as far as the session has them.
        resume_data: From `Torrent.resume_data`. If they are damaged, or of another torrent, the files are checked.
        resume_trusted: The files have not changed since it was taken. Otherwise only its peers are used, and the
            files are checked.
        resume_peers: Dial the peers that the resume data remember.
    """

    source: Metainfo | str
    save_path: Path
    peers: tuple[Address, ...] = ()
    trackers: tuple[str, ...] = ()
    web_seeds: tuple[str, ...] = ()
    rename: tuple[tuple[int, Path], ...] = ()
    seed: bool = False
    sequential: bool = False
    dht: bool = True
    lsd: bool = True
    pex: bool = True
    resume_data: bytes | None = None
    resume_trusted: bool = False
    resume_peers: bool = True


# --- what it is like now ---------------------------------------------------------------------------------


class TorrentState(Enum):
    """What a torrent is busy with."""

    CHECKING = "checking"
    METADATA = "metadata"
    DOWNLOADING = "downloading"
    SEEDING = "seeding"


@dataclass(frozen=True, slots=True)
class TorrentStatus:
    """A torrent at one moment.

    Attributes:
        state: What it is busy with.
        paused: It neither sends nor asks.
        error: Why it stopped, or an empty string.
        bytes_done: Bytes on disk that are verified, or in pieces that are under way.
        bytes_total: Bytes of the payload.
        payload_download: Payload received since it was added, from peers and web seeds, wasted bytes counted.
        payload_upload: Payload sent since it was added.
        download_bytes_per_s: Payload rate now.
        upload_bytes_per_s: Payload rate now.
        peers: Connected peers, web seeds counted.
        seeds: Those of them that have everything.
        failed_bytes: Received and thrown away because a piece's hash was wrong.
        redundant_bytes: Received twice.
        distributed_copies: Full copies among connected peers; -1 if that is not known.
        errno: The operating system's number of ``error``, 0 if there is none.
        error_path: Which file ``error`` is about, or an empty string.
    """

    state: TorrentState
    paused: bool
    error: str
    bytes_done: int
    bytes_total: int
    payload_download: int
    payload_upload: int
    download_bytes_per_s: int
    upload_bytes_per_s: int
    peers: int
    seeds: int
    failed_bytes: int = 0
    redundant_bytes: int = 0
    distributed_copies: float = -1.0
    errno: int = 0
    error_path: str = ""


class PeerKind(Enum):
    """How a source of bytes is spoken to."""

    PEER = "peer"
    WEB_SEED = "web seed"


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A connected peer at one moment.

    Attributes:
        address: Where it is.
        kind: Peer or web seed.
        key: Tells connections apart; a peer that comes back has a new one.
        client: What a peer calls itself (a claim, not a fact), or a web seed's address.
        seed: It has everything.
        choking: It sends us nothing at the moment.
        snubbed: It owes us data for too long.
        payload_download: Payload received from it over this connection.
        payload_upload: Payload sent to it over this connection.
        download_bytes_per_s: Payload rate now.
        upload_bytes_per_s: Payload rate now.
        utp: Connected over uTP (BEP 29), not TCP.
        encrypted: Every byte is obfuscated on the wire.
        peer_id: By which it is known in the swarm (a claim, not a fact); empty for a web seed.
    """

    address: Address
    kind: PeerKind
    key: str
    client: str
    seed: bool
    choking: bool
    snubbed: bool
    payload_download: int
    payload_upload: int
    download_bytes_per_s: int
    upload_bytes_per_s: int
    utp: bool = False
    encrypted: bool = False
    peer_id: bytes = b""


# --- the protocols ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PieceDemand:
    """What peers are doing about pieces that are missing.

    Attributes:
        requested: Pieces of which blocks were asked for.
        lacking: Pieces that no connected peer has; empty if no peer is connected.
    """

    requested: frozenset[int] = frozenset()
    lacking: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCounters:
    """What a session has seen of its network, all torrents together. Counters begin at zero with the session.

    Attributes:
        dials: Attempts to connect to peers, web seeds counted.
        dial_timeouts: Those that nobody answered.
        incoming: Connections that peers made to us.
        tcp_peers: Connected over TCP now, web seeds counted.
        utp_peers: Connected over uTP (BEP 29) now.
        dht_nodes: Nodes of the DHT that are known now; -1 if the session takes no part in it.
        received_bytes: Payload, right or wrong.
        sent_bytes: Payload.
        failed_bytes: What of the payload was thrown away because a piece's hash was wrong.
        redundant_bytes: What of it came twice.
        banned_peers: Peers that were banned for wrong data.
    """

    dials: int = 0
    dial_timeouts: int = 0
    incoming: int = 0
    tcp_peers: int = 0
    utp_peers: int = 0
    dht_nodes: int = -1
    received_bytes: int = 0
    sent_bytes: int = 0
    failed_bytes: int = 0
    redundant_bytes: int = 0
    banned_peers: int = 0


class Torrent(Protocol):
    """One torrent in a session.

    After `remove`, or after the session was closed, every method raises `SwarmError`.
    """

    @property
    def info_hashes(self) -> InfoHashes:
        """Its identity."""
        ...

    @property
    def resumed(self) -> bool:
        """The resume data spared it the check of what is on disk; known as soon as that would be over."""
        ...

    def subscribe(self) -> Subscription:
        """Events from now on; a context manager. The first one also has those since the torrent was added."""
        ...

    async def status(self) -> TorrentStatus:
        """What it is like now."""
        ...

    async def peers(self) -> tuple[PeerStatus, ...]:
        """Connected peers and web seeds."""
        ...

    async def pieces(self) -> tuple[bool, ...]:
        """Which pieces are here and verified; empty while a magnet link's metadata are not there."""
        ...

    async def connect(self, peer: Address) -> None:
        """Dials a peer."""
        ...

    async def add_web_seed(self, url: str) -> None:
        """Adds a BEP 19 web seed; one that is there already stays as it is."""
        ...

    async def remove_web_seed(self, url: str) -> None:
        """Stops using a web seed."""
        ...

    @property
    def checks_v2(self) -> bool:
        """A hybrid's pieces are checked by their SHA-256 hashes too, not by their SHA-1 hashes alone."""
        ...

    async def add_pieces(self, first: int, data: bytes | bytearray | memoryview) -> tuple[bool, ...]:
        """Hands in pieces from elsewhere; `PieceVerified` tells of each when it is here.

        A wrong one, and one that is here already, is left alone, without an event.

        Args:
            first: The first one.
            data: Their bytes, one after the other; they must not change before this returns.

        Returns:
            Of each whether its bytes are right; of one that is here already nobody looks.

        Raises:
            ValueError: There is no such piece, or the last one has another length.
        """
        ...

    async def demand(self) -> PieceDemand:
        """What peers are doing about pieces that are missing."""
        ...

    async def claim(self, pieces: Collection[int]) -> None:
        """Tells which pieces somebody else is fetching: peers are asked for all others first.

        Args:
            pieces: All of them; those of the last call that are not among them are claimed no more.
        """
        ...

    async def set_sequential(self, *, enabled: bool) -> None:
        """Asks for pieces in order, or rarest first."""
        ...

    async def prefer(self, pieces: Sequence[bool]) -> None:
        """Asks for some pieces before others that are about as rare.

        Args:
            pieces: Whether each one is preferred.
        """
        ...

    async def pause(self) -> None:
        """Disconnects everybody and stays so."""
        ...

    async def resume(self) -> None:
        """Goes on after `pause`, or after the cause of `StorageFailed` was mended."""
        ...

    async def recheck(self) -> None:
        """Checks every piece on disk again; `CheckingDone` tells when."""
        ...

    async def rename(self, index: int, path: Path) -> None:
        """Moves a file while it stays connected and served; replaces what stands there.

        From then on the torrent only serves: under its final name a file is never written to again.

        Args:
            index: `TorrentFile.index`.
            path: Absolute, on the same file system.

        Raises:
            StorageError: The file could not be moved.
        """
        ...

    async def resume_data(self) -> bytes:
        """Opaque state for `AddTorrent.resume_data`, after what is in memory was written to the files."""
        ...

    async def remove(self) -> None:
        """Leaves the swarm; the files stay, complete up to the last verified piece."""
        ...


def require_transport(transport: Transport, possible: Sequence[Transport]) -> None:
    """Refuses one that a session has not.

    Raises:
        ValueError: It is none of them.
    """
    if transport not in possible:
        names = ", ".join(each.value for each in possible) or "none"
        raise ValueError(f"peers cannot be dialled over {transport.value} here; possible: {names}")


class Session(Protocol):
    """A party to swarms: listens, dials, keeps torrents."""

    @property
    def listen_port(self) -> int:
        """The port on which peers may connect; 0 if it listens nowhere."""
        ...

    @property
    def peer_id(self) -> bytes:
        """By which peers know it (BEP 3): 20 bytes, new for every session."""
        ...

    @property
    def public_address(self) -> str | None:
        """What others say that its address is; None as long as nobody has."""
        ...

    async def add(self, request: AddTorrent) -> Torrent:
        """Starts on a torrent.

        Raises:
            SwarmError: It is there already, or the engine refuses it.
        """
        ...

    async def counters(self) -> NetworkCounters:
        """What it has seen of its network.

        Raises:
            SwarmError: It is closed, or the engine gives no answer.
        """
        ...

    async def set_limits(self, *, upload_bytes_per_s: float, download_bytes_per_s: float) -> None:
        """Limits all torrents together, payload and protocol, from now on.

        Args:
            upload_bytes_per_s: Infinite for no limit, 0 for nothing at all.
            download_bytes_per_s: The same.

        Raises:
            SwarmError: It is closed.
        """
        ...

    @property
    def transports(self) -> tuple[Transport, ...]:
        """By which it can dial, the one that it begins with first; empty if it dials nobody."""
        ...

    async def set_transport(self, transport: Transport) -> None:
        """Dials peers so from now on; connections that stand stay.

        Raises:
            SwarmError: It is closed.
            ValueError: It is none of `transports`.
        """
        ...

    async def close(self) -> None:
        """Leaves all swarms and frees every thread, socket and file. Closing twice is fine."""
        ...
