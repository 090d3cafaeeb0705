"""One torrent of a libtorrent session, behind the `ossdist.transfer.session.Torrent` protocol."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import libtorrent as lt

from ossdist.errors import StorageError, SwarmError
from ossdist.swarm.alerts import (
    Answer,
    DialFailed,
    FileRenamed,
    FileRenameFailed,
    ProtocolBroken,
    ResumeDataFailed,
    ResumeDataReady,
    ResumeRejected,
    TorrentRemoved,
)
from ossdist.swarm.snapshots import StatusReader, file_path, peer_statuses, piece_demand
from ossdist.swarm.webseeds import WebSeedAddresses
from ossdist.transfer.session import PeerKind, TorrentState
from ossdist.transfer.subscription import Subscribers
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Ending,
    EventsLost,
    MetadataReceived,
    PeerDisconnected,
    StorageFailed,
    TorrentEvent,
    WebSeedFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ossdist.transfer.metainfo import Address, InfoHashes
    from ossdist.transfer.session import (
        AddTorrent,
        PeerStatus,
        PieceDemand,
        TorrentStatus,
    )
    from ossdist.transfer.subscription import Subscription

_T = TypeVar("_T")

_CLAIMED, _NORMAL, _PREFERRED = 1, 4, 5
"""libtorrent's priorities: what has 5 goes before what is up to a third rarer; what has 1 comes last, but it comes."""


class Runner(Protocol):
    """Runs a call that blocks (every question to libtorrent waits for its network thread) in a thread."""

    async def __call__(self, work: Callable[[], _T]) -> _T:
        """Runs ``work`` and gives its result."""
        ...


class LibtorrentTorrent:
    """See `ossdist.transfer.session.Torrent`. Made by `LibtorrentSession.add` alone."""

    def __init__(self, info_hashes: InfoHashes, save_path: Path, run: Runner, *, event_deadline_s: float) -> None:
        self._info_hashes = info_hashes
        self._save_path = save_path
        self._run = run
        self._event_deadline_s = event_deadline_s
        self._handle: lt.torrent_handle | None = None
        self._leave: Callable[[lt.torrent_handle], None] | None = None
        self._web_seeds = WebSeedAddresses()
        self._status = StatusReader(save_path)
        self._subscribers = Subscribers()
        self._answers: dict[object, asyncio.Future[Answer]] = {}
        self._checked = False
        self._resumed = False
        self._stopped = False
        self._lost = False
        self._looking: asyncio.Task[None] | None = None
        self._dial: tuple[Address, ...] = ()
        self._added_paused = False
        self._preferred: tuple[bool, ...] = ()
        self._claimed: frozenset[int] = frozenset()

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
        """Events from now on; a context manager."""
        if self._handle is None:
            raise self._gone()
        return self._subscribers.subscribe()

    async def status(self) -> TorrentStatus:
        """What it is like now."""
        return await self._call(self._status.read)

    async def peers(self) -> tuple[PeerStatus, ...]:
        """Connected peers and web seeds."""
        # `post_peer_info` would spare the thread, but its alert cannot be read from Python.
        found = await self._call(lambda handle: peer_statuses(handle.get_peer_info(), self._web_seeds.at))
        unknown = [
            peer.address for peer in found if peer.kind is PeerKind.WEB_SEED and not self._web_seeds.at(peer.address)
        ]
        if not unknown:
            return found
        await self._web_seeds.until_known(unknown[0])
        return await self._call(lambda handle: peer_statuses(handle.get_peer_info(), self._web_seeds.at))

    async def pieces(self) -> tuple[bool, ...]:
        """Which pieces are here and verified."""
        return await self._call(lambda handle: tuple(handle.status(lt.status_flags_t.query_pieces).pieces))

    async def connect(self, peer: Address) -> None:
        """Dials a peer."""
        await self._call(lambda handle: handle.connect_peer((peer.host, peer.port)))

    async def add_web_seed(self, url: str) -> None:
        """Adds a BEP 19 web seed."""
        await self._call(lambda handle: handle.add_url_seed(url))
        self._web_seeds.add(url)

    async def remove_web_seed(self, url: str) -> None:
        """Stops using a web seed."""
        await self._call(lambda handle: handle.remove_url_seed(url))
        self._web_seeds.remove(url)

    @property
    def checks_v2(self) -> bool:
        """libtorrent does."""
        return True

    async def add_pieces(self, first: int, data: bytes | bytearray | memoryview) -> tuple[bool, ...]:
        """Hands in pieces from elsewhere."""
        return await self._call(lambda handle: _add_pieces(handle, first, memoryview(data)))

    async def demand(self) -> PieceDemand:
        """What peers are doing about pieces that are missing."""
        return await self._call(piece_demand)

    async def claim(self, pieces: Collection[int]) -> None:
        """Tells which pieces somebody else is fetching."""
        claimed = frozenset(pieces)
        if claimed != self._claimed:
            self._claimed = claimed
            await self._call(self._prioritize)

    async def set_sequential(self, *, enabled: bool) -> None:
        """Asks for pieces in order, or rarest first."""
        flag = lt.torrent_flags.sequential_download
        await self._call(lambda handle: handle.set_flags(flag if enabled else 0, flag))

    async def prefer(self, pieces: Sequence[bool]) -> None:
        """Asks for some pieces before others that are about as rare."""
        self._preferred = tuple(pieces)
        await self._call(self._prioritize)

    async def pause(self) -> None:
        """Disconnects everybody and stays so."""
        self._stopped = True
        await self._call(lambda handle: handle.pause())

    async def resume(self) -> None:
        """Goes on after `pause` or a storage error."""

        def go_on(handle: lt.torrent_handle) -> None:
            handle.clear_error()
            if self._status.writes:
                handle.unset_flags(lt.torrent_flags.upload_mode)  # libtorrent's own answer to a full disk
            self._status.around(handle, handle.resume)

        self._stopped, self._status.failure = False, None
        await self._call(go_on)

    async def recheck(self) -> None:
        """Checks every piece on disk again."""
        await self._call(lambda handle: self._status.around(handle, handle.force_recheck))

    async def rename(self, index: int, path: Path) -> None:
        """Moves a file while it stays connected and served; see the protocol.

        libtorrent alone refuses to replace an existing file, but follows one that has moved already. A peer that
        asks for a block in the milliseconds between sees an error at most, which is cleared.
        """
        old = await self._call(lambda handle: file_path(handle, index, self._save_path))
        if old == str(path):
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            await self._run(lambda: Path(old).replace(path))
        except OSError as error:
            raise StorageError(f"cannot move {old} to {path}: {error.strerror}", path=path) from error
        # Under its final name a file is never written to again, whatever becomes of its bytes.
        self._status.writes = False
        await self._call(lambda handle: handle.set_flags(lt.torrent_flags.upload_mode))
        answer = await self._ask((FileRenamed, index), lambda handle: handle.rename_file(index, str(path)))
        if isinstance(answer, FileRenameFailed):
            raise StorageError(f"cannot move {old} to {path}: {answer.reason}", path=path)
        status = await self.status()
        if status.error or (status.paused and not self._stopped):
            await self.resume()

    async def resume_data(self) -> bytes:
        """Opaque state for `AddTorrent.resume_data`."""
        flush = lt.save_resume_flags_t.flush_disk_cache
        answer = await self._ask(ResumeDataReady, lambda handle: handle.save_resume_data(flush))
        if isinstance(answer, ResumeDataReady):
            return answer.data
        reason = answer.reason if isinstance(answer, ResumeDataFailed) else "no answer"
        raise SwarmError(f"torrent {self._info_hashes}: no resume data: {reason}")

    async def remove(self) -> None:
        """Leaves the swarm; the files stay."""
        leave = self._leave
        if leave is None:
            raise self._gone()
        await self._ask(TorrentRemoved, leave)
        self.detach("the torrent was removed")

    # --- for the session -------------------------------------------------------------------------------

    def prepare(self, request: AddTorrent, params: lt.add_torrent_params) -> None:
        """Says what is about to be added: which web seeds it has, and which peers to dial after the check.

        libtorrent dials at its next tick, except when a paused torrent is resumed: that dials at once (first byte
        after 2 ms instead of 500, measured). But a torrent whose files have to be checked never is while it is
        paused; there the peers are dialled afterwards.
        """
        self._added_paused = bool(params.flags & lt.torrent_flags.paused)
        self._resumed = bool(params.have_pieces)
        self._status.writes = not params.flags & lt.torrent_flags.upload_mode
        self._dial = () if self._added_paused else request.peers
        for url in request.web_seeds:
            self._web_seeds.add(url)

    def attach(self, handle: lt.torrent_handle, leave: Callable[[lt.torrent_handle], None]) -> None:
        """Gives it its handle, once libtorrent has one."""
        self._handle, self._leave = handle, leave
        if self._checked:  # the alert was faster
            self._start(handle)
        elif self._lost:
            self._look_for_what_was_lost()

    def detach(self, reason: str) -> None:
        """Lets go of libtorrent; every later call raises, and so does every one that still waits."""
        self._handle = self._leave = None
        self._web_seeds.close()
        if self._looking is not None:
            self._looking.cancel()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(SwarmError(f"torrent {self._info_hashes}: {reason}"))

    def feed(self, event: TorrentEvent | Answer) -> None:
        """Takes an event from the session's pump."""
        match event:
            case ResumeDataReady() | ResumeDataFailed():
                self._resolve(ResumeDataReady, event)
            case FileRenamed(index) | FileRenameFailed(index):
                self._resolve((FileRenamed, index), event)
            case TorrentRemoved():
                self._resolve(TorrentRemoved, event)
            case ResumeRejected():
                self._resumed = False
            case StorageFailed():
                self._status.failure = event
                self._subscribers.publish(event)
            case MetadataReceived(metainfo):
                self._info_hashes = metainfo.info_hashes
                self._subscribers.publish(event)
            case DialFailed(address, reason) | ProtocolBroken(address, reason):
                ending = event.ending if isinstance(event, DialFailed) else Ending.OTHER
                self._subscribers.publish(PeerDisconnected(address, reason, ending))
                if (url := self._web_seeds.at(address)) is not None:
                    self._subscribers.publish(WebSeedFailed(url, reason))
            case CheckingDone():
                self._note_checked()
                self._subscribers.publish(event)
            case EventsLost():
                self._lost = True
                self._look_for_what_was_lost()
                self._subscribers.publish(event)
            case _:
                if isinstance(event, TorrentEvent):
                    self._subscribers.publish(event)

    # --- inside ----------------------------------------------------------------------------------------

    def _prioritize(self, handle: lt.torrent_handle) -> None:
        preferred, claimed = self._preferred, self._claimed
        count = len(preferred) or (info.num_pieces() if (info := handle.torrent_file()) is not None else 0)
        priorities = [_PREFERRED if preferred and preferred[index] else _NORMAL for index in range(count)]
        for index in claimed:
            priorities[index] = _CLAIMED
        handle.prioritize_pieces(priorities)

    def _note_checked(self) -> None:
        self._checked = True
        if self._handle is not None:
            self._start(self._handle)

    def _look_for_what_was_lost(self) -> None:
        """Without the news that it has been checked it would never start."""
        if self._handle is not None and not self._checked:
            self._looking = asyncio.create_task(self._look_whether_checked())

    async def _look_whether_checked(self) -> None:
        with contextlib.suppress(SwarmError):
            if (await self.status()).state is not TorrentState.CHECKING:
                self._note_checked()

    def _start(self, handle: lt.torrent_handle) -> None:
        if self._added_paused:
            handle.resume()
        for peer in self._dial:
            handle.connect_peer((peer.host, peer.port))
        self._added_paused, self._dial = False, ()

    async def _call(self, work: Callable[[lt.torrent_handle], _T]) -> _T:
        handle = self._handle
        if handle is None:
            raise self._gone()
        try:
            return await self._run(lambda: work(handle))
        except RuntimeError as error:
            raise SwarmError(f"torrent {self._info_hashes}: {error}") from error

    async def _ask(self, key: object, question: Callable[[lt.torrent_handle], None]) -> Answer:
        """Asks something that an alert answers; two that ask the same share the answer."""
        future = self._answers.get(key)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._answers[key] = future
            try:
                await self._call(question)
            except BaseException as error:  # a cancelled question may never be asked: nobody may wait for its answer
                self._answers.pop(key, None)
                reason = error if isinstance(error, SwarmError) else SwarmError("the question was cancelled")
                if not future.done():  # the answer may have been faster
                    future.set_exception(reason)
                    future.exception()  # whoever else waits for it sees it; if nobody does, that is fine
                raise
        try:
            async with asyncio.timeout(self._event_deadline_s):
                return await asyncio.shield(future)
        except TimeoutError:
            self._answers.pop(key, None)
            raise SwarmError(f"torrent {self._info_hashes}: libtorrent gave no answer") from None

    def _resolve(self, key: object, answer: Answer) -> None:
        future = self._answers.pop(key, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def _gone(self) -> SwarmError:
        return SwarmError(f"torrent {self._info_hashes}: it was removed, or its session was closed")


def _add_pieces(handle: lt.torrent_handle, first: int, data: memoryview) -> tuple[bool, ...]:
    # libtorrent itself says nothing about a bad index or length.
    info = handle.torrent_file()
    pieces: list[bytes] = []
    while True:
        index = first + len(pieces)
        if info is None or not 0 <= index < info.num_pieces():
            raise ValueError(f"there is no piece {index}")
        size = info.piece_size(index)
        if len(data) < size:
            raise ValueError(f"piece {index} has {size} bytes, not {len(data)}")
        pieces.append(bytes(data[:size]))
        data = data[size:]
        if not data:
            return tuple(_add_piece(handle, info, first + number, piece) for number, piece in enumerate(pieces))


def _add_piece(handle: lt.torrent_handle, info: lt.torrent_info, index: int, data: bytes) -> bool:
    if handle.have_piece(index):
        return True
    # A wrong piece never gets to libtorrent: it would blame peers who sent some of its blocks.
    if hashlib.sha1(data, usedforsecurity=False).digest() != info.hash_for_piece(index):
        return False
    handle.add_piece(index, data, 0)
    return True
