"""Runs one transfer to its end over a session: joins, watches, switches, reports. Knows the protocol alone."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ossdist import events
from ossdist.errors import DiskFullError, SourcesExhaustedError, StorageError, SwarmError
from ossdist.tasks import run_to_end
from ossdist.transfer.progress import RateMeter
from ossdist.transfer.session import (
    AddTorrent,
    CheckingDone,
    EventsLost,
    Finished,
    PeerBanned,
    PeerDisconnected,
    PeerKind,
    PieceFailed,
    PieceVerified,
    StorageFailed,
    TorrentState,
    TrackerFailed,
    WebSeedFailed,
)
from ossdist.transfer.tally import Tally
from ossdist.transfer.verified import VerifiedPieces
from ossdist.transfer.watch import (
    GiveUp,
    Observation,
    Swarm,
    Switch,
    WatchState,
    prefer_sequential,
    retry_pause_s,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ossdist.clock import Clock
    from ossdist.config import TransferConfig
    from ossdist.events import OnEvent
    from ossdist.transfer.metainfo import Address, Metainfo
    from ossdist.transfer.session import Session, Torrent, TorrentEvent, TorrentStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferJob:
    """What to transfer, and from whom.

    Attributes:
        title: For messages.
        torrents: The torrent of each swarm; their info-hashes were compared with the signed ones.
        save_path: Where the files are written.
        peers: Peers that are known already.
        trackers: Announce addresses.
        web_seeds: BEP 19 addresses.
        find_peers: Use DHT, LSD and PEX as far as the session has them.
        has_data: There may be data of an earlier try on disk.
        resume_data: What that try left of the hybrid swarm's torrent.
        resume_trusted: It describes the files as they are; otherwise they are checked.
    """

    title: str
    torrents: Mapping[Swarm, Metainfo]
    save_path: Path
    peers: tuple[Address, ...] = ()
    trackers: tuple[str, ...] = ()
    web_seeds: tuple[str, ...] = ()
    find_peers: bool = True
    has_data: bool = False
    resume_data: bytes | None = None
    resume_trusted: bool = False


@dataclass(frozen=True, slots=True)
class _Failures:
    """Failures of a web seed in a row, the last one after so many bytes of it."""

    count: int
    after_bytes: int


@dataclass(slots=True)
class Transfer:
    """One running transfer.

    Attributes:
        session: Where it runs.
        job: What it does.
        config: When it acts.
        clock: Its time.
        on_event: Who is told.
        save_resume: Keeps the state for resuming; called every few seconds.
        tally: What came from where so far.
        swarm: The swarm that it is in, or was in last.
        status: The last look at it.
        failures: How often each tracker and web seed failed.
        state_kept: The state for resuming describes the files as they were when the swarm was left.
        more: Notified whenever more bytes are verified.
    """

    session: Session
    job: TransferJob
    config: TransferConfig
    clock: Clock
    on_event: OnEvent
    save_resume: Callable[[bytes], Awaitable[None]]
    tally: Tally = field(default_factory=Tally)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)
    swarm: Swarm = Swarm.HYBRID
    status: TorrentStatus | None = None
    failures: dict[str, int] = field(default_factory=dict[str, int])
    state_kept: bool = False
    _torrent: Torrent | None = None
    _left_a_swarm: bool = False
    _verified: VerifiedPieces | None = None
    _notes: dict[str, str] = field(default_factory=dict[str, str])
    _web_seed_failures: dict[str, _Failures] = field(default_factory=dict[str, "_Failures"])
    _web_seed_rests_until_s: dict[str, float] = field(default_factory=dict[str, float])
    _sequential: bool = True
    _initial_bytes: int | None = None

    # --- the story -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Transfers everything; afterwards `torrent` is complete and still in its swarm.

        Whatever else ends it, `leave` ends the torrent.

        Raises:
            SourcesExhaustedError: Nobody has given anything for `TransferConfig.exhausted_after_s`.
            StorageError: The disk refused.
        """
        now_s = self.clock.monotonic_s()
        watch = WatchState(self.swarm, best_bytes=0, news_at_s=now_s, joined_at_s=now_s)
        rate = RateMeter(self.config.rate_window_s)
        while True:
            torrent = await self._join(watch.swarm)
            next_swarm = await self._stay(torrent, watch, rate)
            if next_swarm is None:
                return
            await self.leave()
            watch = next_swarm

    async def leave(self, *, keep_state: bool = True) -> None:
        """Leaves the swarm, if it is in one, to the end even if it is cancelled; what is there stays on disk.

        Args:
            keep_state: Save the state for resuming first; `state_kept` tells whether it was.
        """
        if self._torrent is not None:
            await run_to_end(self._leave(self._torrent, keep_state=keep_state))

    async def _leave(self, torrent: Torrent, *, keep_state: bool) -> None:
        self._left_a_swarm = True
        self.state_kept = False
        try:
            # The v1 swarm's state would not fit the hybrid's torrent; the next try checks the files instead.
            if keep_state and self.swarm is Swarm.HYBRID:
                await self._save_resume(torrent)
                self.state_kept = True
        except (StorageError, SwarmError) as error:
            log.warning("%s: the state for resuming is not kept: %s", self.job.title, error)
        try:
            await torrent.remove()
        finally:
            self._torrent = None

    @property
    def torrent(self) -> Torrent:
        """The torrent in the present swarm.

        Raises:
            SwarmError: It is in none.
        """
        if self._torrent is None:
            raise SwarmError(f"{self.job.title}: the transfer is in no swarm")
        return self._torrent

    @property
    def metainfo(self) -> Metainfo:
        """The present swarm's torrent as a value."""
        return self.job.torrents[self.swarm]

    def verified_until(self, path: str, position: int) -> int:
        """How far a file is verified from ``position`` on.

        Args:
            path: `TorrentFile.path` in the hybrid torrent.
            position: In bytes.
        """
        if self._verified is None:
            return position
        file = next(file for file in self.job.torrents[self.swarm].files if file.path == path)
        return self._verified.verified_until(file, position)

    @property
    def reused_bytes(self) -> int:
        """What was on disk when the transfer began."""
        return self._initial_bytes or 0

    # --- joining and leaving ---------------------------------------------------------------------------

    async def _join(self, swarm: Swarm) -> Torrent:
        self.swarm = swarm
        metainfo = self.job.torrents[swarm]
        self._verified = VerifiedPieces(metainfo)
        self._sequential = True
        torrent = await self.session.add(
            AddTorrent(
                source=metainfo,
                save_path=self.job.save_path,
                peers=self.job.peers,
                trackers=self.job.trackers,
                web_seeds=tuple(url for url in self.job.web_seeds if url not in self._web_seed_rests_until_s),
                sequential=True,
                dht=self.job.find_peers,
                lsd=self.job.find_peers,
                pex=self.job.find_peers,
                resume_data=self.job.resume_data if swarm is Swarm.HYBRID else None,
                resume_trusted=self.job.resume_trusted and not self._left_a_swarm,
            )
        )
        self._torrent = torrent
        return torrent

    async def _save_resume(self, torrent: Torrent) -> None:
        if self.swarm is Swarm.HYBRID:
            await self.save_resume(await torrent.resume_data())

    # --- staying ---------------------------------------------------------------------------------------

    async def _stay(self, torrent: Torrent, watch: WatchState, rate: RateMeter) -> WatchState | None:
        """Stays in a swarm until everything is here (None) or another one is to be tried (what to remember)."""
        next_save_s = self.clock.monotonic_s() + self.config.resume_save_s
        with torrent.subscribe() as subscription:
            # What happened between joining and subscribing shows in the status.
            await self._catch_up(torrent)
            while True:
                status = await self._look(torrent, rate)
                if status.bytes_done >= status.bytes_total and status.state is TorrentState.SEEDING:
                    await self._note_all_verified()
                    return None
                now_s = self.clock.monotonic_s()
                checking = status.state is TorrentState.CHECKING
                watch, decision = step(
                    watch,
                    Observation(now_s, status.bytes_done, self._verified_bytes, checking=checking),
                    self.config,
                    can_switch=len(self.job.torrents) > 1,
                )
                if isinstance(decision, Switch):
                    self.on_event(events.SwarmSwitched(decision.swarm.value, decision.reason))
                    return watch
                if isinstance(decision, GiveUp):
                    raise self._exhausted(status, decision.waited_s)
                if now_s >= next_save_s:
                    await self._save_resume(torrent)
                    next_save_s = now_s + self.config.resume_save_s
                await self._retry_web_seeds(torrent, now_s)
                await self._follow_events(torrent, subscription.next, until_s=now_s + self.config.poll_s)

    async def _follow_events(
        self, torrent: Torrent, next_event: Callable[[], Awaitable[TorrentEvent]], *, until_s: float
    ) -> None:
        """Handles events until it is time for the next look, or until everything is here."""
        while (left_s := until_s - self.clock.monotonic_s()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    event = await next_event()
            except TimeoutError:
                return
            await self._handle(torrent, event)
            if isinstance(event, Finished | CheckingDone):
                return

    async def _handle(self, torrent: Torrent, event: TorrentEvent) -> None:
        match event:
            case PieceVerified(index) if self._verified is not None:
                self._verified.add(index)
                await self._notify()
            case CheckingDone() | EventsLost():
                await self._catch_up(torrent)
            case PieceFailed(index):
                self.on_event(events.PieceRefused(index))
            case PeerBanned(address):
                self._notes[str(address)] = "banned for wrong data"
                self.on_event(events.PeerBanned(str(address)))
            case TrackerFailed(url, reason):
                self._note_failure(url, reason)
            case PeerDisconnected(address, reason) if address in self.job.peers:
                self._notes.setdefault(str(address), reason)
            case WebSeedFailed(url, reason, banned):
                self._note_failure(url, reason)
                self._let_rest(url, for_good=banned)
                await torrent.remove_web_seed(url)
            case StorageFailed() as failure:
                raise _storage_error(failure, self.job.save_path)
            case _:
                pass

    async def _look(self, torrent: Torrent, rate: RateMeter) -> TorrentStatus:
        status, peers = await torrent.status(), await torrent.peers()
        self.status = status
        self.tally.note(peers)
        if self._initial_bytes is None and status.state is not TorrentState.CHECKING:
            self._initial_bytes = max(0, status.bytes_done - status.payload_download) if self.job.has_data else 0
            if self._initial_bytes:
                self.on_event(events.Resumed(self._initial_bytes, rechecked=not self.job.resume_trusted))
        for url, failed in tuple(self._web_seed_failures.items()):
            if self.tally.by_source.get(url, 0) > failed.after_bytes:
                del self._web_seed_failures[url]
        wanted = prefer_sequential(peers)
        if wanted != self._sequential:
            await torrent.set_sequential(enabled=wanted)
            self._sequential = wanted
        rate.note(self.clock.monotonic_s(), status.payload_download)
        mirrors = sum(1 for peer in peers if peer.kind is PeerKind.WEB_SEED)
        self.on_event(
            events.Progress(
                bytes_done=status.bytes_done,
                bytes_total=status.bytes_total,
                bytes_per_s=rate.bytes_per_s,
                eta_s=rate.eta_s(status.bytes_total - status.bytes_done),
                peers=len(peers) - mirrors,
                mirrors=mirrors,
                bytes_from_peers=self.tally.total(PeerKind.PEER),
                bytes_from_mirrors=self.tally.total(PeerKind.WEB_SEED),
            )
        )
        return status

    # --- web seeds -------------------------------------------------------------------------------------

    def _let_rest(self, url: str, *, for_good: bool) -> None:
        """libtorrent never asks a web seed again that refused once, so we take it out and put it back later."""
        failures = self._web_seed_failures[url].count + 1 if url in self._web_seed_failures else 1
        self._web_seed_failures[url] = _Failures(failures, self.tally.by_source.get(url, 0))
        pause_s = math.inf if for_good else retry_pause_s(failures, self.config)
        self._web_seed_rests_until_s[url] = self.clock.monotonic_s() + pause_s

    def _note_failure(self, source: str, reason: str) -> None:
        self._notes[source] = reason
        self.failures[source] = self.failures.get(source, 0) + 1
        self.on_event(events.SourceFailed(source, reason))

    async def _retry_web_seeds(self, torrent: Torrent, now_s: float) -> None:
        for url in [url for url, until_s in self._web_seed_rests_until_s.items() if until_s <= now_s]:
            del self._web_seed_rests_until_s[url]
            await torrent.add_web_seed(url)

    # --- verified bytes --------------------------------------------------------------------------------

    @property
    def _verified_bytes(self) -> int:
        return self._verified.total if self._verified is not None else 0

    async def _catch_up(self, torrent: Torrent) -> None:
        if self._verified is not None:
            self._verified.replace(await torrent.pieces())
            await self._notify()

    async def _note_all_verified(self) -> None:
        if self._verified is not None:
            self._verified.add_all()
            await self._notify()

    async def _notify(self) -> None:
        async with self.more:
            self.more.notify_all()

    def _exhausted(self, status: TorrentStatus, waited_s: float) -> SourcesExhaustedError:
        attempts = {f"{status.peers} connected peer(s)": "gave nothing"} if status.peers else {}
        for url in (*self.job.trackers, *self.job.web_seeds):
            attempts[url] = self._notes.get(url, "no answer that helped")
        for address in self.job.peers:
            attempts[str(address)] = self._notes.get(str(address), "no connection, or nothing came")
        return SourcesExhaustedError(
            self.job.title,
            bytes_done=status.bytes_done,
            bytes_total=status.bytes_total,
            waited_s=waited_s,
            attempts=attempts | self._notes,
        )


def _storage_error(failure: StorageFailed, save_path: Path) -> StorageError:
    path = Path(failure.path) if failure.path else save_path
    if failure.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(path)
    return StorageError(
        f"the disk refused {path}: {failure.reason}. What was fetched is kept; mend it and run it again.", path=path
    )
