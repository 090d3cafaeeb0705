"""Runs one transfer to its end over a session: joins, watches, switches, reports. Knows the protocol alone."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist import events
from ossdist.errors import StorageError, SwarmError
from ossdist.health.assess import Condition
from ossdist.health.monitor import SwarmMonitor
from ossdist.tasks import run_to_end
from ossdist.transfer.failures import exhausted, storage_error
from ossdist.transfer.notes import Notes
from ossdist.transfer.progress import RateMeter
from ossdist.transfer.resting import RestingWebSeeds
from ossdist.transfer.session import AddTorrent, PeerKind, TorrentState
from ossdist.transfer.shares import own_pieces
from ossdist.transfer.tally import Tally
from ossdist.transfer.torrent_events import (
    CheckingDone,
    EventsLost,
    Finished,
    PeerBanned,
    PeerDisconnected,
    PieceFailed,
    PieceVerified,
    StorageFailed,
    TrackerFailed,
    WebSeedFailed,
)
from ossdist.transfer.verified import VerifiedPieces
from ossdist.transfer.watch import GiveUp, Observation, Swarm, Switch, WatchState, prefer_sequential, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from ossdist.clock import Clock
    from ossdist.config import TransferConfig
    from ossdist.events import OnEvent
    from ossdist.health.dialling import Dialling
    from ossdist.mirrors.feed import MirrorFeed
    from ossdist.transfer.job import TransferJob
    from ossdist.transfer.metainfo import Metainfo
    from ossdist.transfer.session import (
        PeerStatus,
        Session,
        Torrent,
        TorrentStatus,
    )
    from ossdist.transfer.torrent_events import TorrentEvent

log = logging.getLogger(__name__)


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
        notes: What went wrong with which source.
        state_kept: The state for resuming describes the files as they were when the swarm was left.
        more: Notified whenever more bytes are verified.
        dialling: Changes how peers are dialled when the network is in the way.
        feed: The mirrors that are asked beside, or instead of, the swarm.
        checks_v2: A hybrid's pieces were checked by SHA-256 too.
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
    notes: Notes = field(default_factory=Notes)
    state_kept: bool = False
    dialling: Dialling | None = None
    feed: MirrorFeed | None = None
    checks_v2: bool = True
    _torrent: Torrent | None = None
    _monitor: SwarmMonitor | None = None
    _left_a_swarm: bool = False
    _verified: VerifiedPieces | None = None
    _resting: RestingWebSeeds = field(init=False)
    _sequential: bool = True
    _leechers: frozenset[bytes] = frozenset()
    _initial_bytes: int | None = None
    _had_stopped: bool = False
    _peers: int = 0

    def __post_init__(self) -> None:
        """Nothing rests yet."""
        self._resting = RestingWebSeeds(self.config)

    # --- the story -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Transfers everything; afterwards `torrent` is complete and still in its swarm.

        Whatever else ends it, `leave` ends the torrent.

        Raises:
            SourcesExhaustedError: Nobody has given anything for `TransferConfig.exhausted_after_s`, or nobody is left
                to ask.
            StorageError: The disk refused.
        """
        now_s = self.clock.monotonic_s()
        watch = WatchState(self.swarm, best_bytes=0, news_at_s=now_s, joined_at_s=now_s)
        rate = RateMeter(self.config.rate_window_s)
        try:
            while True:
                torrent = await self._join(watch.swarm)
                next_swarm = await self._stay(torrent, watch, rate)
                if next_swarm is None:
                    return
                await self.leave()
                watch = next_swarm
        finally:
            if self._monitor is not None:
                self._monitor.end()

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
        if self.feed is not None:
            await self.feed.end()
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

    @property
    def peers(self) -> int:
        """Connected peers at the last look, mirrors not counted."""
        return self._peers

    @property
    def condition(self) -> Condition:
        """How its swarm was at the last look."""
        return self._monitor.assessment.condition if self._monitor is not None else Condition.UNKNOWN

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
    def bytes_from_mirrors(self) -> dict[str, int]:
        """Payload from each mirror so far, by its address: what came through web seeds, and what was fetched here."""
        found = {url: self.tally.by_source.get(url, 0) for url in self.job.web_seeds}
        if self.feed is not None:
            found |= {url: mirror.bytes for url, mirror in self.feed.mirrors.items()}
        return found

    @property
    def mirror_failures(self) -> dict[str, int]:
        """How often each mirror failed."""
        found = {url: self.notes.failures[url] for url in self.job.web_seeds}
        if self.feed is not None:
            found |= {url: mirror.failures for url, mirror in self.feed.mirrors.items()}
        return found

    @property
    def reused_bytes(self) -> int:
        """What was on disk when the transfer began."""
        return self._initial_bytes or 0

    # --- joining and leaving ---------------------------------------------------------------------------

    async def _join(self, swarm: Swarm) -> Torrent:
        self.swarm = swarm
        metainfo = self.job.torrents[swarm]
        self._verified = VerifiedPieces(metainfo)
        self._sequential, self._had_stopped = self._prefer_sequential(()), False
        self._leechers = frozenset()
        if self._peers_possible and self._monitor is None:  # what is in the way is so in every swarm
            self._monitor = SwarmMonitor(self.on_event, self.dialling)
        torrent = await self.session.add(
            AddTorrent(
                source=metainfo,
                save_path=self.job.save_path,
                peers=self.job.peers,
                trackers=self.job.trackers,
                web_seeds=self._resting.awake(self.job.web_seeds),
                sequential=self._sequential,
                dht=self.job.find_peers,
                lsd=self.job.find_peers,
                pex=self.job.find_peers,
                resume_data=self.job.resume_data if swarm is Swarm.HYBRID else None,
                resume_trusted=self.job.resume_trusted and not self._left_a_swarm,
                resume_peers=self.job.find_peers,
            )
        )
        self._torrent, self.checks_v2 = torrent, torrent.checks_v2
        return torrent

    async def _save_resume(self, torrent: Torrent) -> None:
        if self.swarm is Swarm.HYBRID:
            await self.save_resume(await torrent.resume_data())

    async def _save_resume_if_possible(self, torrent: Torrent) -> None:
        """While it runs: a disk that is too busy to answer must not end the download."""
        try:
            await self._save_resume(torrent)
        except SwarmError as error:
            log.warning("%s: the state for resuming is not saved this time: %s", self.job.title, error)

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
                    if self.feed is not None:
                        await self.feed.end()
                    return None
                self._feed_mirrors(torrent, status)
                now_s = self.clock.monotonic_s()
                seen = Observation(
                    now_s,
                    status.bytes_done,
                    self._verified_bytes,
                    checking=status.state is TorrentState.CHECKING,
                    hopeless=self._hopeless(status),
                )
                watch, decision = step(
                    watch, seen, self.config, can_switch=len(self.job.torrents) > 1 and self._peers_possible
                )
                if isinstance(decision, Switch):
                    self.on_event(events.SwarmSwitched(decision.swarm.value, decision.reason))
                    return watch
                if isinstance(decision, GiveUp):
                    raise exhausted(self.job, status, self._all_notes, peers=self._peers, waited_s=decision.waited_s)
                if now_s >= next_save_s:
                    await self._save_resume_if_possible(torrent)
                    next_save_s = now_s + self.config.resume_save_s
                for url in self._resting.put_back(self.tally, now_s=now_s):
                    await torrent.add_web_seed(url)
                due_s = self.feed.due_s if self.feed is not None else math.inf
                until_s = min(now_s + self.config.poll_s, max(now_s, due_s))
                await self._follow_events(torrent, subscription.next, until_s=until_s)

    def _prefer_sequential(self, peers: Iterable[PeerStatus]) -> bool:
        total = self.job.torrents[self.swarm].total
        asked = self.feed is not None and self.feed.active > 0  # from the end, so that both meet
        return prefer_sequential(peers, total_bytes=total, mirrors=asked or bool(self.job.web_seeds))

    def _hopeless(self, status: TorrentStatus) -> bool:
        """Nobody is left to ask, and nobody can come."""
        if self._peers_possible or status.peers or not self._resting.all_banned(self.job.web_seeds):
            return False
        return self.feed is None or (self.feed.hopeless and status.state is not TorrentState.CHECKING)

    @property
    def _peers_possible(self) -> bool:
        return not self.job.names_mirrors_alone or self.session.listen_port > 0

    @property
    def _all_notes(self) -> dict[str, str]:
        if self.feed is None:
            return self.notes.reasons
        mirrors = {url: mirror.note or "gave nothing" for url, mirror in self.feed.mirrors.items()}
        return self.notes.reasons | mirrors | self.feed.excluded

    def _feed_mirrors(self, torrent: Torrent, status: TorrentStatus) -> None:
        """Has mirrors asked, as far as they are needed; not before what is on disk was checked."""
        if self.feed is None or self._verified is None or status.state is TorrentState.CHECKING:
            return
        if not self.feed.feeding:
            self.feed.begin(torrent, self.metainfo, self._verified.have, peers_possible=self._peers_possible)
        self.feed.look(bytes_from_peers=self.tally.total(PeerKind.PEER))

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
        if self._monitor is not None:
            self._monitor.note(event)
        match event:
            case PieceVerified(index) if self._verified is not None:
                self._verified.add(index)
                if self.feed is not None:
                    self.feed.note_piece(index)
                await self._notify()
            case CheckingDone() | EventsLost():
                await self._catch_up(torrent)
            case PieceFailed(index):
                self._note_refused(index)
            case PeerBanned(address):
                self.notes.banned(str(address))
                self.on_event(events.PeerBanned(str(address)))
            case TrackerFailed(url, reason):
                self._note_failure(url, reason)
            case PeerDisconnected(address, reason) if address in self.job.peers:
                self.notes.left(str(address), reason)
            case WebSeedFailed(url, reason, banned):
                self._note_failure(url, reason)
                self._resting.take_out(url, self.tally, now_s=self.clock.monotonic_s(), for_good=banned)
                await torrent.remove_web_seed(url)
            case StorageFailed() as failure:
                raise storage_error(failure, self.job.save_path)
            case _:
                pass

    async def _look(self, torrent: Torrent, rate: RateMeter) -> TorrentStatus:
        status, peers = await torrent.status(), await torrent.peers()
        self.status = status
        # The event says what came first, so it has until the next look; then it is one of those that were lost.
        if status.error and self._had_stopped:
            raise storage_error(StorageFailed(status.error_path, status.errno, status.error), self.job.save_path)
        self._had_stopped = bool(status.error)
        self.tally.note(peers)
        if self._initial_bytes is None and status.state is not TorrentState.CHECKING:
            self._initial_bytes = max(0, status.bytes_done - status.payload_download) if self.job.has_data else 0
            if self._initial_bytes:
                copied = min(self._initial_bytes, sum(self.job.copied.values()))
                done = self._initial_bytes - copied
                self.on_event(events.Resumed(done, rechecked=not torrent.resumed, bytes_copied=copied))
        await self._choose_order(torrent, peers)
        if self._monitor is not None and status.state is TorrentState.DOWNLOADING:
            given, counters = self.tally.total(PeerKind.PEER), await self.session.counters()
            now_s = self.clock.monotonic_s()
            if await self._monitor.look(now_s, status, peers, counters, bytes_from_peers=given):
                for peer in self.job.peers:
                    await torrent.connect(peer)
        mirrors = sum(1 for peer in peers if peer.kind is PeerKind.WEB_SEED)
        self._peers = len(peers) - mirrors
        fed = self.feed.bytes if self.feed is not None else 0
        rate.note(self.clock.monotonic_s(), status.payload_download + fed)
        self.on_event(
            events.Progress(
                bytes_done=status.bytes_done,
                bytes_total=status.bytes_total,
                bytes_per_s=rate.bytes_per_s,
                eta_s=rate.eta_s(status.bytes_total - status.bytes_done),
                peers=self._peers,
                mirrors=mirrors + (self.feed.active if self.feed is not None else 0),
                bytes_from_peers=self.tally.total(PeerKind.PEER),
                bytes_from_mirrors=self.tally.total(PeerKind.WEB_SEED) + fed,
            )
        )
        return status

    async def _choose_order(self, torrent: Torrent, peers: Sequence[PeerStatus]) -> None:
        """Which pieces are asked for first."""
        wanted = self._prefer_sequential(peers)
        if wanted != self._sequential:
            await torrent.set_sequential(enabled=wanted)
            self._sequential = wanted
        leechers = frozenset(peer.peer_id for peer in peers if peer.kind is PeerKind.PEER and not peer.seed)
        if leechers != self._leechers:
            await torrent.prefer(own_pieces(self.session.peer_id, leechers, self.metainfo.num_pieces))
            self._leechers = leechers

    def _note_failure(self, source: str, reason: str) -> None:
        self.notes.failed(source, reason)
        self.on_event(events.SourceFailed(source, reason))

    def _note_refused(self, index: int) -> None:
        """Says in which file it is: it may be damaged at the seed or mirror."""
        paths = self.metainfo.paths_in(index)
        self.notes.refused(paths)
        self.on_event(events.PieceRefused(index, paths))

    # --- verified bytes --------------------------------------------------------------------------------

    @property
    def _verified_bytes(self) -> int:
        return self._verified.total if self._verified is not None else 0

    async def _catch_up(self, torrent: Torrent) -> None:
        if self._verified is not None:
            pieces = await torrent.pieces()
            self._verified.replace(pieces)
            if self.feed is not None:
                self.feed.replace(pieces)
            await self._notify()

    async def _note_all_verified(self) -> None:
        if self._verified is not None:
            self._verified.add_all()
            await self._notify()

    async def _notify(self) -> None:
        async with self.more:
            self.more.notify_all()
