"""One torrent of a session in memory, behind the `ossdist.transfer.session.Torrent` protocol."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ossdist.errors import StorageError, SwarmError
from ossdist.sim.contacts import Contacts
from ossdist.sim.exchange import Exchange
from ossdist.sim.links import PeerLink, WebSeedLink
from ossdist.store import resume
from ossdist.store.piece_store import PieceStore
from ossdist.transfer.metainfo import Metainfo
from ossdist.transfer.session import TorrentState, TorrentStatus
from ossdist.transfer.spans import split_pieces
from ossdist.transfer.subscription import Subscribers
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Finished,
    MetadataReceived,
    PieceVerified,
    StorageFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from ossdist.sim.links import Link
    from ossdist.sim.network import Host, MemoryNetwork
    from ossdist.store.resume import ResumeState
    from ossdist.transfer.metainfo import Address, InfoHashes
    from ossdist.transfer.session import AddTorrent, PeerStatus, PieceDemand
    from ossdist.transfer.subscription import Subscription
    from ossdist.transfer.torrent_events import TorrentEvent


class MemoryTorrent:
    """See `ossdist.transfer.session.Torrent`. Made by `MemorySession.add` alone.

    Args:
        request: What is asked for.
        info_hashes: Its identity, as far as it is known.
        state: What an earlier start left.
        host: Where it is.
        network: Where all are.
        trackers: Those of the request that it may ask.
        on_identity: Called with its identity when that has become known, and with None when it was removed.

    Attributes:
        exchange: Its connections.
    """

    def __init__(
        self,
        request: AddTorrent,
        info_hashes: InfoHashes,
        state: ResumeState | None,
        *,
        host: Host,
        network: MemoryNetwork,
        trackers: tuple[str, ...],
        on_identity: Callable[[MemoryTorrent, InfoHashes | None], None],
    ) -> None:
        self._request = request
        self._info_hashes = info_hashes
        self._resume = state
        self._on_identity = on_identity
        self._subscribers = Subscribers()
        self._store: PieceStore | None = None
        self._sequential = request.sequential
        self._checked = False
        self._checking: asyncio.Task[None] | None = None
        self._paused = False
        self._failure: StorageFailed | None = None
        self._resumed = False
        self._gone = False
        self.exchange = Exchange(self, host, network)
        self._contacts = Contacts(
            self,
            network,
            peers=(*request.peers, *(state.peers if state is not None and request.resume_peers else ())),
            trackers=trackers,
            web_seeds=request.web_seeds,
        )

    # --- the protocol ----------------------------------------------------------------------------------

    @property
    def info_hashes(self) -> InfoHashes:
        """Its identity, as far as it is known."""
        return self._info_hashes

    @property
    def resumed(self) -> bool:
        """The resume data spared it the check of what is on disk."""
        return self._resumed

    def subscribe(self) -> Subscription:
        """Events from now on; a context manager. The first one also has those since the torrent was added."""
        self._require_alive()
        return self._subscribers.subscribe()

    async def status(self) -> TorrentStatus:
        """What it is like now."""
        await self._turn()
        store, exchange, failure = self._store, self.exchange, self._failure
        return TorrentStatus(
            state=self._state(),
            paused=self._paused,
            error=failure.reason if failure is not None else "",
            errno=failure.errno if failure is not None else 0,
            error_path=failure.path if failure is not None else "",
            bytes_done=store.bytes_done if store is not None else 0,
            bytes_total=store.bytes_total if store is not None else 0,
            payload_download=exchange.down.total,
            payload_upload=exchange.up.total,
            download_bytes_per_s=exchange.down.bytes_per_s,
            upload_bytes_per_s=exchange.up.bytes_per_s,
            peers=len(exchange.links),
            seeds=sum(link.complete for link in exchange.links),
            failed_bytes=exchange.failed_bytes,
            redundant_bytes=exchange.redundant_bytes,
            distributed_copies=exchange.distributed_copies,
        )

    async def peers(self) -> tuple[PeerStatus, ...]:
        """Connected peers and web seeds."""
        await self._turn()
        return tuple(link.status() for link in self.exchange.links)

    async def pieces(self) -> tuple[bool, ...]:
        """Which pieces are here and verified; empty while a magnet link's metadata are not there."""
        await self._turn()
        return self.exchange.have

    async def connect(self, peer: Address) -> None:
        """Dials a peer."""
        await self._turn()
        if not self.exchange.has_banned(peer):
            self._contacts.dial(peer)

    async def add_web_seed(self, url: str) -> None:
        """Adds a BEP 19 web seed; one that is there already stays as it is."""
        await self._turn()
        self._contacts.add_web_seed(url)

    async def remove_web_seed(self, url: str) -> None:
        """Stops using a web seed."""
        await self._turn()
        self._contacts.remove_web_seed(url)
        for link in self.exchange.links:
            if isinstance(link, WebSeedLink) and link.url == url:
                self.exchange.end(link, "Operation canceled")

    @property
    def checks_v2(self) -> bool:
        """SHA-1 alone."""
        return False

    async def add_pieces(self, first: int, data: bytes | bytearray | memoryview) -> tuple[bool, ...]:
        """Hands in pieces from elsewhere; see the protocol.

        Raises:
            ValueError: There is no such piece, or the last one has another length.
        """
        await self._turn()
        if (store := self._store) is None:
            raise ValueError(f"there is no piece {first}")
        pieces = split_pieces(store.metainfo, first, data)
        return tuple(
            store.have[index] or self.keep(index, bytes(piece)) for index, piece in enumerate(pieces, start=first)
        )

    async def demand(self) -> PieceDemand:
        """What peers are doing about pieces that are missing."""
        await self._turn()
        return self.exchange.demand

    async def claim(self, pieces: Collection[int]) -> None:
        """Tells which pieces somebody else is fetching."""
        await self._turn()
        self.exchange.claim(pieces)

    async def set_sequential(self, *, enabled: bool) -> None:
        """Asks for pieces in order, or rarest first."""
        await self._turn()
        self._sequential = enabled
        self.exchange.set_sequential(enabled=enabled)

    @property
    def preferred(self) -> tuple[bool, ...]:
        """Which pieces it asks for first; empty if nobody has said so."""
        return tuple(self.exchange.preferred)

    async def prefer(self, pieces: Sequence[bool]) -> None:
        """Asks for some pieces before others that are about as rare."""
        await self._turn()
        self.exchange.prefer(pieces)

    async def pause(self) -> None:
        """Disconnects everybody and stays so."""
        await self._turn()
        self._paused = True
        self._stop("torrent paused")

    async def resume(self) -> None:
        """Goes on after `pause`, or after the cause of `StorageFailed` was mended."""
        await self._turn()
        self._paused, self._failure = False, None
        self._go_on()

    async def recheck(self) -> None:
        """Checks every piece on disk again; `CheckingDone` tells when."""
        await self._turn()
        if self._store is not None:
            self.distrust()

    async def rename(self, index: int, path: Path) -> None:
        """Moves a file while it stays connected and served; replaces what stands there.

        Raises:
            StorageError: The file could not be moved.
            ValueError: There is no such file.
        """
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
        self.exchange.serves_only = True

    async def resume_data(self) -> bytes:
        """Opaque state for `AddTorrent.resume_data`."""
        await self._turn()
        return resume.encode(self._info_hashes, self.exchange.have, self._contacts.peers)

    async def remove(self) -> None:
        """Leaves the swarm; the files stay, complete up to the last verified piece."""
        await self._turn()
        self._on_identity(self, None)
        await self.detach("torrent aborted")

    # --- for its session -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins; called once."""
        if isinstance(self._request.source, Metainfo):
            self._open(self._request.source)
        else:
            self._contacts.start()

    async def detach(self, reason: str) -> None:
        """Ends everything; every later call raises."""
        self._gone = True
        await asyncio.gather(*self._stop(reason), return_exceptions=True)

    # --- for its exchange and contacts -----------------------------------------------------------------

    @property
    def running(self) -> bool:
        """It speaks to others, and what is on disk was checked."""
        return self._checked and self.open_to_peers

    @property
    def open_to_peers(self) -> bool:
        """It dials and can be dialled."""
        return not self._paused and not self._gone and (self._checked or self._store is None)

    def publish(self, event: TorrentEvent) -> None:
        """Tells the subscribers."""
        self._subscribers.publish(event)

    def keep(self, index: int, data: bytes) -> bool:
        """Keeps a piece, unless its hash is wrong; returns whether it was right."""
        store = self.exchange.store
        if not store.is_right(index, data):
            return False
        try:
            store.write(index, data)
        except OSError as error:
            self.fail(error)
            return True
        self._found(index)
        if store.complete:
            self.publish(Finished())
            self._contacts.announce()
        return True

    def learn(self, metainfo: Metainfo) -> None:
        """Takes the metadata from a peer."""
        learned = replace(metainfo, data=b"", release=None, signatures=(), trackers=(), web_seeds=())
        self._info_hashes = learned.info_hashes
        self._on_identity(self, learned.info_hashes)
        self.publish(MetadataReceived(learned))
        self._open(learned)

    def fail(self, error: OSError) -> None:
        """Stops, since the disk refuses."""
        reason = error.strerror or str(error)
        self._failure = StorageFailed(path=str(error.filename or ""), errno=error.errno or 0, reason=reason)
        self._paused = True
        self.publish(self._failure)
        self._stop(reason)

    def distrust(self) -> None:
        """Checks every piece on disk again."""
        self._stop("stopping torrent")
        self.exchange.trust_nothing()
        self._checked = False
        self._go_on()

    def dropped(self, link: Link) -> None:
        """A source was banned."""
        match link:
            case WebSeedLink():
                self._contacts.remove_web_seed(link.url)
            case PeerLink():
                self._contacts.forget(link.address)
                if (address := link.far.host.address) is not None:
                    self._contacts.forget(address)
            case _:
                pass

    # --- inside ----------------------------------------------------------------------------------------

    def _require_alive(self) -> None:
        if self._gone:
            raise SwarmError(f"torrent {self._info_hashes}: it was removed, or its session was closed")

    async def _turn(self) -> None:
        """Begins every call: others run first, as with a real engine."""
        self._require_alive()
        await asyncio.sleep(0)
        self._require_alive()

    def _state(self) -> TorrentState:
        if self._store is None:
            return TorrentState.METADATA
        if not self._checked:
            return TorrentState.CHECKING
        return TorrentState.SEEDING if self._store.complete else TorrentState.DOWNLOADING

    def _open(self, metainfo: Metainfo) -> None:
        """Begins with what is on disk, now that there are metadata."""
        self._store = store = PieceStore(metainfo, self._request.save_path, self._request.rename)
        self.exchange.open(store, sequential=self._sequential, unproven=self._request.seed)
        have = self._resume.have if self._resume is not None and self._request.resume_trusted else ()
        if self._request.seed:
            self.exchange.serves_only = True
            for index in range(len(store.have)):
                self.exchange.note_piece(index)
            self._end_check()
        elif len(have) == len(store.have) and store.has_files_of(have):
            self._resumed = True
            for index in [index for index, here in enumerate(have) if here]:
                self._found(index)
            self._end_check()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Checks what has to be checked, then speaks to others."""
        if self._paused:
            return
        if self._store is not None and not self._checked:
            if self._checking is None:
                self._checking = asyncio.create_task(self._check(self._store))
            return
        self._contacts.start()
        self.exchange.wake()

    def _stop(self, reason: str) -> list[asyncio.Task[None]]:
        """Speaks to nobody any more; returns what is still ending."""
        ending = [*self._contacts.stop(), *self.exchange.end_all(reason)]
        if self._checking is not None:
            self._checking.cancel()
            ending.append(self._checking)
            self._checking = None
        return ending

    async def _check(self, store: PieceStore) -> None:
        try:
            store.make_empty_files()
            for index in range(len(store.have)):
                await asyncio.sleep(0)
                if store.check(index):
                    self._found(index)
        except OSError as error:
            self._checking = None
            self.fail(error)
            return
        self._checking = None
        self._end_check()

    def _found(self, index: int) -> None:
        self.exchange.note_piece(index)
        self.publish(PieceVerified(index))

    def _end_check(self) -> None:
        self._checked = True
        if self.exchange.complete:
            self.publish(Finished())
        self.publish(CheckingDone())
        self._go_on()
