"""One torrent of a session in memory, behind the `ossdist.transfer.session.Torrent` protocol."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from typing import TYPE_CHECKING

from ossdist.errors import StorageError, SwarmError
from ossdist.sim import resume
from ossdist.sim.contacts import Contacts
from ossdist.sim.links import Counter, Link, PeerLink, SourceFailedError, WebSeedLink
from ossdist.sim.picker import PiecePicker
from ossdist.sim.pieces import PieceStore
from ossdist.transfer.metainfo import Address, Metainfo
from ossdist.transfer.session import (
    CheckingDone,
    Finished,
    MetadataReceived,
    PeerBanned,
    PeerDisconnected,
    PieceFailed,
    PieceVerified,
    StorageFailed,
    TorrentState,
    TorrentStatus,
    WebSeedFailed,
)
from ossdist.transfer.subscription import Subscribers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ossdist.sim.network import MemoryNetwork, Pipe
    from ossdist.sim.resume import ResumeState
    from ossdist.sim.session import MemorySession
    from ossdist.transfer.metainfo import InfoHashes
    from ossdist.transfer.session import AddTorrent, PeerStatus, TorrentEvent
    from ossdist.transfer.subscription import Subscription


class MemoryTorrent:
    """See `ossdist.transfer.session.Torrent`. Made by `MemorySession.add` alone.

    Args:
        session: Whose.
        network: Where it takes part.
        request: What is asked for.
        info_hashes: Its identity, as far as it is known.
        state: What an earlier start left.
    """

    def __init__(
        self,
        session: MemorySession,
        network: MemoryNetwork,
        request: AddTorrent,
        info_hashes: InfoHashes,
        state: ResumeState | None,
    ) -> None:
        self._session = session
        self._network = network
        self._request = request
        self._info_hashes = info_hashes
        self._resume = state
        self._subscribers = Subscribers()
        self._down, self._up = Counter(network.clock), Counter(network.clock)
        self._failed_bytes = self._redundant_bytes = 0
        self._sequential = request.sequential
        self._store: PieceStore | None = None
        self._picker = PiecePicker((), network.rng)
        self._unproven: set[int] = set()
        self._checked = False
        self._paused = False
        self._error = ""
        self._gone = ""
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._banned: set[Address] = set()
        self._check: asyncio.Task[None] | None = None
        self._contacts = Contacts(
            self,
            network,
            peers=(*request.peers, *(state.peers if state is not None else ())),
            trackers=request.trackers if session.uses_trackers else (),
            web_seeds=request.web_seeds,
        )

    def start(self) -> None:
        """Begins; called once."""
        source = self._request.source
        if isinstance(source, Metainfo):
            self._open(source)
        else:
            self._contacts.start()

    # --- the protocol ----------------------------------------------------------------------------------

    @property
    def info_hashes(self) -> InfoHashes:
        """Its identity, as far as it is known."""
        return self._info_hashes

    def subscribe(self) -> Subscription:
        """Events from now on; a context manager. The first one also has those since the torrent was added."""
        self._require_alive()
        return self._subscribers.subscribe()

    async def status(self) -> TorrentStatus:
        """What it is like now."""
        await self._turn()
        store, peers = self._store, [link for link in self._links if not link.ended.is_set()]
        return TorrentStatus(
            state=self._state(),
            paused=self._paused,
            error=self._error,
            bytes_done=store.bytes_done if store is not None else 0,
            bytes_total=store.bytes_total if store is not None else 0,
            payload_download=self._down.total,
            payload_upload=self._up.total,
            download_bytes_per_s=self._down.bytes_per_s,
            upload_bytes_per_s=self._up.bytes_per_s,
            peers=len(peers),
            seeds=sum(link.complete for link in peers),
            failed_bytes=self._failed_bytes,
            redundant_bytes=self._redundant_bytes,
            distributed_copies=-1.0 if self.complete else self._picker.distributed_copies(),
        )

    async def peers(self) -> tuple[PeerStatus, ...]:
        """Connected peers and web seeds."""
        await self._turn()
        return tuple(link.status() for link in self._links if not link.ended.is_set())

    async def pieces(self) -> tuple[bool, ...]:
        """Which pieces are here and verified."""
        await self._turn()
        return tuple(self._store.have) if self._store is not None else ()

    async def connect(self, peer: Address) -> None:
        """Dials a peer."""
        await self._turn()
        if not self.has_banned(peer):
            self._contacts.dial(peer)

    async def add_web_seed(self, url: str) -> None:
        """Adds a BEP 19 web seed; one that is there already stays as it is."""
        await self._turn()
        self._contacts.add_web_seed(url)

    async def remove_web_seed(self, url: str) -> None:
        """Stops using a web seed."""
        await self._turn()
        self._contacts.remove_web_seed(url)
        for link in tuple(self._links):
            if isinstance(link, WebSeedLink) and link.url == url:
                self.end(link, "Operation canceled")

    async def add_piece(self, index: int, data: bytes) -> None:
        """Hands in a piece from elsewhere."""
        await self._turn()
        store = self._store
        if store is None or not 0 <= index < len(store.have):
            raise ValueError(f"there is no piece {index}")
        if len(data) != store.metainfo.piece_size(index):
            raise ValueError(f"piece {index} has {store.metainfo.piece_size(index)} bytes, not {len(data)}")
        if not store.have[index] and not self._keep(store, index, data):
            self.publish(PieceFailed(index))

    async def set_sequential(self, *, enabled: bool) -> None:
        """Asks for pieces in order, or rarest first."""
        await self._turn()
        self._sequential = self._picker.sequential = enabled

    async def pause(self) -> None:
        """Disconnects everybody and stays so."""
        await self._turn()
        self._paused = True
        self._stop("torrent paused")

    async def resume(self) -> None:
        """Goes on after `pause`, or after the cause of `StorageFailed` was mended."""
        await self._turn()
        self._paused, self._error = False, ""
        self._go_on()

    async def recheck(self) -> None:
        """Checks every piece on disk again."""
        await self._turn()
        if self._store is not None:
            self._stop("stopping torrent")
            self._forget_pieces(self._store)
            self._go_on()

    async def rename(self, index: int, path: Path) -> None:
        """Moves a file while it stays connected and served; replaces what stands there."""
        await self._turn()
        if self._store is None:
            raise ValueError(f"there is no file {index}")
        old = self._store.path(index)
        if old == path:
            return
        try:
            self._store.move(index, path)
        except OSError as error:
            raise StorageError(f"cannot move {old} to {path}: {error.strerror}", path=path) from error

    async def resume_data(self) -> bytes:
        """Opaque state for `AddTorrent.resume_data`."""
        await self._turn()
        have: Sequence[bool] = self._store.have if self._store is not None else ()
        return resume.encode(self._info_hashes, have, self._contacts.peers)

    async def remove(self) -> None:
        """Leaves the swarm; the files stay."""
        await self._turn()
        self._session.forget(self)
        await self.detach("torrent aborted")

    # --- for the session -------------------------------------------------------------------------------

    async def detach(self, reason: str) -> None:
        """Ends everything; every later call raises."""
        ending = self._stop(reason)
        self._gone = reason
        await asyncio.gather(*ending, return_exceptions=True)

    # --- for its contacts and links --------------------------------------------------------------------

    @property
    def address(self) -> Address | None:
        """Where it can be dialled; None if nowhere."""
        return self._session.address if self._session.listen_port else None

    @property
    def user_agent(self) -> str:
        """What it calls itself."""
        return self._session.user_agent

    @property
    def uplink(self) -> Pipe:
        """Its host's capacity for sending."""
        return self._session.uplink

    @property
    def downlink(self) -> Pipe:
        """Its host's capacity for receiving."""
        return self._session.downlink

    @property
    def metainfo(self) -> Metainfo:
        """The torrent; there must be one by now."""
        return self._stored().metainfo

    @property
    def complete(self) -> bool:
        """It has everything."""
        return self._store is not None and self._store.complete

    @property
    def running(self) -> bool:
        """It speaks to others."""
        return not self._paused and not self._gone and (self._store is None or self._checked)

    @property
    def takes_peers(self) -> bool:
        """It can be dialled."""
        return self.running

    @property
    def wants_more(self) -> bool:
        """It would fetch a piece."""
        return self.running and self._store is not None and not self._store.complete

    def dials_from(self) -> Address:
        """Where a connection that it begins comes from."""
        return Address(self._session.address.host, self._network.free_port(self._session.address.host))

    def has(self, index: int) -> bool:
        """It has a piece, and gives it."""
        return self._checked and self._store is not None and self._store.have[index]

    def has_banned(self, address: Address) -> bool:
        """It does not speak to that peer any more."""
        return address in self._banned

    def piece_size(self, index: int) -> int:
        """Bytes of a piece."""
        return self.metainfo.piece_size(index)

    def link_to(self, address: Address) -> Link | None:
        """The connection to the peer that listens there, whoever dialled."""
        peers = [link for link in self._links if isinstance(link, PeerLink)]
        return next((link for link in peers if address in {link.address, link.far.address}), None)

    def is_linked_with(self, other: MemoryTorrent) -> bool:
        """It is connected to that torrent."""
        return any(isinstance(link, PeerLink) and link.far is other for link in self._links)

    def publish(self, event: TorrentEvent) -> None:
        """Tells the subscribers."""
        if not self._gone:
            self._subscribers.publish(event)

    def begin(self, link: Link) -> None:
        """Uses a new connection."""
        if isinstance(link, PeerLink):
            if self._store is not None and link.far.knows_pieces:
                self._picker.peer_came(link.far.have)
            if self._store is not None:
                link.far.learn(self.metainfo)
        self._links[link] = asyncio.create_task(self._pull(link))

    def end(self, link: Link, reason: str) -> None:
        """Ends a connection, at both ends."""
        task = self._links.pop(link, None)
        if task is None:
            return
        link.ended.set()
        if task is not asyncio.current_task():
            task.cancel()
        self.publish(PeerDisconnected(link.address, reason))
        if isinstance(link, PeerLink):
            if self._store is not None and link.far.knows_pieces:
                self._picker.peer_left(link.far.have)
            link.far.end(link.far_end, "End of file")

    def serve(self, index: int) -> bytes:
        """A piece for a peer.

        Raises:
            SourceFailedError: It is not to be had.
        """
        store = self._stored()
        try:
            data = store.read(index)
        except OSError as error:
            self._fail(error)
            raise SourceFailedError(error.strerror or str(error)) from error
        if index in self._unproven:
            if not store.is_right(index, data):
                self.publish(PieceFailed(index))
                self._stop("stopping torrent")
                self._forget_pieces(store)
                self._go_on()
                raise SourceFailedError("the piece is wrong")
            self._unproven.discard(index)
        self._up.add(len(data))
        return bytes([data[0] ^ 0xFF]) + data[1:] if self._session.poisons else data
