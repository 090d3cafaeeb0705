"""One torrent of a session without a network, behind the `ossdist.transfer.session.Torrent` protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ossdist.errors import StorageError, SwarmError
from ossdist.stoppable import in_thread
from ossdist.store import resume
from ossdist.store.piece_store import PieceStore
from ossdist.tasks import run_to_end
from ossdist.transfer.session import PieceDemand, TorrentState, TorrentStatus
from ossdist.transfer.spans import split_pieces
from ossdist.transfer.subscription import Subscribers
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Finished,
    PieceVerified,
    StorageFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from ossdist.store.resume import ResumeState
    from ossdist.transfer.metainfo import Address, InfoHashes, Metainfo
    from ossdist.transfer.session import AddTorrent, PeerStatus
    from ossdist.transfer.subscription import Subscription
    from ossdist.transfer.torrent_events import TorrentEvent

_NO_PEERS = "the session has no network: only pieces that are handed in come"


class DiskTorrent:
    """See `ossdist.transfer.session.Torrent`. Made by `DiskSession.add` alone.

    Args:
        metainfo: The torrent.
        request: What is asked for.
        state: What an earlier start left.
        on_remove: Called when it leaves its session.
    """

    def __init__(
        self,
        metainfo: Metainfo,
        request: AddTorrent,
        state: ResumeState | None,
        *,
        on_remove: Callable[[DiskTorrent], None],
    ) -> None:
        self._metainfo = metainfo
        self._request = request
        self._resume = state
        self._on_remove = on_remove
        self._store = PieceStore(metainfo, request.save_path, request.rename)
        self._subscribers = Subscribers()
        self._writes = not request.seed
        self._checked = False
        self._checking: asyncio.Task[None] | None = None
        self._keeping: set[asyncio.Task[tuple[bool, ...]]] = set()
        self._paused = False
        self._failure: StorageFailed | None = None
        self._resumed = False
        self._gone = False

    # --- the protocol ----------------------------------------------------------------------------------

    @property
    def info_hashes(self) -> InfoHashes:
        """Its identity."""
        return self._metainfo.info_hashes

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
        failure = self._failure
        return TorrentStatus(
            state=self._state(),
            paused=self._paused,
            error=failure.reason if failure is not None else "",
            errno=failure.errno if failure is not None else 0,
            error_path=failure.path if failure is not None else "",
            bytes_done=self._store.bytes_done,
            bytes_total=self._store.bytes_total,
            payload_download=0,
            payload_upload=0,
            download_bytes_per_s=0,
            upload_bytes_per_s=0,
            peers=0,
            seeds=0,
            failed_bytes=0,
            redundant_bytes=0,
            distributed_copies=0.0,
        )

    async def peers(self) -> tuple[PeerStatus, ...]:
        """Nobody."""
        await self._turn()
        return ()

    async def pieces(self) -> tuple[bool, ...]:
        """Which pieces are here and verified."""
        await self._turn()
        return tuple(self._store.have)

    async def connect(self, peer: Address) -> None:
        """Refuses.

        Raises:
            SwarmError: There is no network.
        """
        await self._turn()
        raise SwarmError(f"{peer}: {_NO_PEERS}")

    async def add_web_seed(self, url: str) -> None:
        """Refuses.

        Raises:
            SwarmError: There is no network.
        """
        await self._turn()
        raise SwarmError(f"{url}: {_NO_PEERS}")

    async def remove_web_seed(self, url: str) -> None:  # noqa: ARG002  # the protocol's
        """Does nothing: it has none."""
        await self._turn()

    @property
    def checks_v2(self) -> bool:
        """No: SHA-1 here, and SHA-256 of the whole file elsewhere."""
        return False

    async def add_pieces(self, first: int, data: bytes | bytearray | memoryview) -> tuple[bool, ...]:
        """Hands in pieces; see the protocol."""
        await self._turn()
        pieces = split_pieces(self._metainfo, first, data)
        keeping = asyncio.ensure_future(self._keep(first, pieces))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        return await run_to_end(_result(keeping))

    async def demand(self) -> PieceDemand:
        """Nobody is sending anything."""
        await self._turn()
        return PieceDemand()

    async def claim(self, pieces: Collection[int]) -> None:  # noqa: ARG002  # the protocol's
        """Does nothing: nobody else is asked."""
        await self._turn()

    async def set_sequential(self, *, enabled: bool) -> None:  # noqa: ARG002  # the protocol's
        """Does nothing: it asks nobody."""
        await self._turn()

    async def prefer(self, pieces: Sequence[bool]) -> None:  # noqa: ARG002  # the protocol's
        """Does nothing: it asks nobody."""
        await self._turn()

    async def pause(self) -> None:
        """Stands still."""
        await self._turn()
        self._paused = True

    async def resume(self) -> None:
        """Goes on after `pause`, or after the cause of `StorageFailed` was mended."""
        await self._turn()
        self._paused, self._failure = False, None
        if not self._checked and self._checking is None:
            self._begin_check()

    async def recheck(self) -> None:
        """Checks every piece on disk again; `CheckingDone` tells when."""
        await self._turn()
        await self._end_check()
        for index in range(len(self._store.have)):
            self._store.set_have(index, here=False)
        self._checked = False
        self._begin_check()

    async def rename(self, index: int, path: Path) -> None:
        """Moves a file; replaces what stands there. From then on nothing is written any more."""
        await self._turn()
        old = self._store.path(index)
        if old == path:
            return
        self._writes = False
        try:
            await asyncio.to_thread(self._store.move, index, path)
        except OSError as error:
            raise StorageError(f"cannot move {old} to {path}: {error.strerror}", path=path) from error

    async def resume_data(self) -> bytes:
        """Opaque state for `AddTorrent.resume_data`."""
        await self._turn()
        return resume.encode(self.info_hashes, self._store.have, ())

    async def remove(self) -> None:
        """Leaves the session; the files stay, complete up to the last verified piece."""
        await self._turn()
        self._on_remove(self)
        await self.detach()

    # --- for its session -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins with what is on disk; called once."""
        store = self._store
        have = self._resume.have if self._resume is not None and self._request.resume_trusted else ()
        if self._request.seed:
            self._find(range(len(store.have)), tell=False)
        elif len(have) == len(store.have) and store.has_files_of(have):
            self._resumed = True
            self._find([index for index, here in enumerate(have) if here])
        else:
            self._begin_check()
            return
        self._note_checked()

    async def detach(self) -> None:
        """Ends everything; every later call raises."""
        self._gone = True
        await self._end_check()
        if self._keeping:
            await asyncio.wait(self._keeping)

    # --- inside ----------------------------------------------------------------------------------------

    def _require_alive(self) -> None:
        if self._gone:
            raise SwarmError(f"torrent {self.info_hashes}: it was removed, or its session was closed")

    async def _turn(self) -> None:
        """Begins every call: others run first, as with a real engine."""
        self._require_alive()
        await asyncio.sleep(0)
        self._require_alive()

    def _state(self) -> TorrentState:
        if not self._checked:
            return TorrentState.CHECKING
        return TorrentState.SEEDING if self._store.complete else TorrentState.DOWNLOADING

    async def _keep(self, first: int, pieces: list[memoryview]) -> tuple[bool, ...]:
        """Checks pieces, and writes those that are right and missing."""
        store = self._store
        wanted = [not store.have[first + number] for number in range(len(pieces))]
        kept: list[int] = []

        def work() -> tuple[bool, ...]:
            right: list[bool] = []
            for number, data in enumerate(pieces):
                right.append(not wanted[number] or store.is_right(first + number, data))
                if wanted[number] and right[-1] and self._writes and self._failure is None:
                    store.write(first + number, data)
                    kept.append(first + number)
            return tuple(right)

        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            self._fail(error)
            return (True,) * len(pieces)  # as far as anybody knows; it stands still now
        finally:
            self._find(kept)
            if kept and store.complete and self._checked:
                self._subscribers.publish(Finished())

    def _find(self, indices: Sequence[int], *, tell: bool = True) -> None:
        for index in indices:
            if not self._store.have[index]:
                self._store.set_have(index, here=True)
                if tell:
                    self._subscribers.publish(PieceVerified(index))

    def _begin_check(self) -> None:
        self._checking = asyncio.create_task(self._check())

    async def _end_check(self) -> None:
        checking, self._checking = self._checking, None
        if checking is not None:
            checking.cancel()
            await asyncio.wait([checking])

    async def _check(self) -> None:
        store = self._store
        loop = asyncio.get_running_loop()

        def look(check: Callable[[], None]) -> None:
            store.make_empty_files()
            for index in range(len(store.have)):
                check()
                if store.check(index):
                    loop.call_soon_threadsafe(self._find, (index,))

        try:
            await in_thread(look)
        except OSError as error:
            self._checking = None
            self._fail(error)
            return
        await asyncio.sleep(0)  # behind the last piece's news
        self._checking = None
        self._note_checked()

    def _note_checked(self) -> None:
        self._checked = True
        events: tuple[TorrentEvent, ...] = (Finished(), CheckingDone()) if self._store.complete else (CheckingDone(),)
        for event in events:
            self._subscribers.publish(event)

    def _fail(self, error: OSError) -> None:
        """Stops, since the disk refuses."""
        reason = error.strerror or str(error)
        self._failure = StorageFailed(path=str(error.filename or ""), errno=error.errno or 0, reason=reason)
        self._paused = True
        self._subscribers.publish(self._failure)


async def _result(task: asyncio.Future[tuple[bool, ...]]) -> tuple[bool, ...]:
    return await task
