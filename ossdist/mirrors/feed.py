"""Feeds a torrent with pieces from HTTP mirrors: several at once, each over several connections.

Pure functions decide: which mirrors (`ranking`, `health`), which pieces (`work`), how much beside peers (`balance`).
This carries it out. Every piece is checked against the torrent's hashes before it counts, so a mirror that sends a
wrong one costs one piece, and is named.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING

from ossdist import events
from ossdist.errors import MirrorError, MirrorFault, SwarmError
from ossdist.mirrors import balance
from ossdist.mirrors.choice import Candidate, mirrors_to_start
from ossdist.mirrors.fetching import RangeRequest
from ossdist.mirrors.health import MOST_WRONG, STANDING, Breaker, Sample, failed, succeeded
from ossdist.mirrors.lane import Buffers, Lane, Mirror, Reader, sizes
from ossdist.mirrors.ranking import Wishes, rank
from ossdist.mirrors.work import Run, Work, run_pieces
from ossdist.release import layout
from ossdist.tasks import run_to_end
from ossdist.transfer.spans import spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from ossdist.clock import Clock
    from ossdist.config import MirrorConfig
    from ossdist.events import OnEvent
    from ossdist.mirrors.fetching import RangeFetcher, RangeStream
    from ossdist.mirrors.health import HealthBook
    from ossdist.mirrors.sites import Place, Site
    from ossdist.transfer.metainfo import Metainfo
    from ossdist.transfer.session import Torrent
    from ossdist.transfer.spans import Span

_TAIL_S = 0.05
"""What peers bring within so long is left to them at the end. (They have more in their queues than what is missing.)"""

_BATCH_BYTES = 8 << 20
_BATCH_S = 0.05
"""Pieces that come within so long are read, checked and written in one go."""

_SMOOTH = 0.5
"""The part of the newest piece in a lane's rate."""


class MirrorFeed:
    """The mirrors of one transfer.

    Args:
        sites: All that there are.
        paths: Each file's path below a mirror's address, by its path in the torrent.
        fetcher: Asks them.
        config: How.
        health: What is known of how well they do; what is learnt is added.
        here: Where the client is.
        clock: Time.
        rng: Draws lots between them.
        on_event: Is told how it goes.

    Attributes:
        mirrors: Them, by their addresses, the best first.
        excluded: Why some are not asked, by their addresses.
        wasted_bytes: What came for nothing: wrong pieces, and what somebody else brought first.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        *,
        paths: Mapping[str, str],
        fetcher: RangeFetcher,
        config: MirrorConfig,
        health: HealthBook,
        here: Place,
        clock: Clock,
        rng: Random,
        on_event: OnEvent,
    ) -> None:
        wishes = Wishes(ban=config.ban, order=config.order, prefer=config.prefer, place=here)
        now = clock.now().timestamp()
        ranking = rank(sites, wishes, health.measured(now), rng=rng)
        resting = [found.site for found in ranking.excluded if not math.isinf(found.rests_s)]
        chosen = [ranked.site for ranked in ranking.mirrors] + resting
        self.mirrors = {site.url: Mirror(site) for site in chosen}
        self.excluded = {found.site.url: found.reason for found in ranking.excluded if math.isinf(found.rests_s)}
        self.wasted_bytes = 0
        self._paths = paths
        self._fetcher = fetcher
        self._config = config
        self._health = health
        self._clock = clock
        self._on_event = on_event
        self._torrent: Torrent | None = None
        self._metainfo: Metainfo | None = None
        self._work = Work(0)
        self._peers_possible = False
        self._balance: balance.BalanceState | None = None
        self._balance_config = balance.BalanceConfig(
            head_start_s=config.head_start_s,
            target_bytes_per_s=config.target_bytes_per_s,
            most_share=config.most_share,
        )
        self._budget = 0.0
        self._seen_s, self._seen_bytes, self._peers_bytes_per_s = -math.inf, 0, 0.0
        self._lanes: set[Lane] = set()
        self._numbers = 0
        self._changed = asyncio.Event()
        self._error: BaseException | None = None

    # --- what a transfer does ----------------------------------------------------------------------------

    def begin(self, torrent: Torrent, metainfo: Metainfo, have: Sequence[bool], *, peers_possible: bool) -> None:
        """Feeds this torrent from now on; nothing is asked before the first `look`.

        Args:
            torrent: It; what is on disk was checked.
            metainfo: The same as a value.
            have: Which pieces are here.
            peers_possible: Somebody else may bring pieces as well.
        """
        self._torrent, self._metainfo = torrent, metainfo
        self._work = Work(metainfo.num_pieces, from_end=peers_possible)
        self._work.replace(have)
        self._peers_possible = peers_possible

    async def end(self) -> None:
        """Asks nobody any more, to the end; what is checked and written stays."""
        self._torrent, self._budget = None, 0.0
        tasks = [lane.task for lane in self._lanes if lane.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def feeding(self) -> bool:
        """It has a torrent."""
        return self._torrent is not None

    @property
    def due_s(self) -> float:
        """When `look` is to be called at the latest, monotonic; infinite if any time will do."""
        return math.inf if self._balance is None else balance.due_s(self._balance, self._balance_config)

    @property
    def bytes(self) -> int:
        """What mirrors gave of right pieces."""
        return sum(mirror.bytes for mirror in self.mirrors.values())

    @property
    def active(self) -> int:
        """How many mirrors are being asked."""
        return len({id(lane.mirror) for lane in self._lanes})

    @property
    def hopeless(self) -> bool:
        """No mirror is left: each is out, or has something that somebody must mend."""
        return not self._lanes and all(mirror.out for mirror in self.mirrors.values())

    def note_piece(self, index: int) -> None:
        """A piece is here, whoever brought it."""
        self._work.add(index)
        for lane in self._lanes:
            alone = lane.run is not None and lane.run.at == index and lane.run.left > 0 and lane.run.batch == 1
            if alone and lane.stream is not None:
                lane.cancelled = True
                lane.stream.stop()
        if not self._work.missing:
            self._changed.set()

    def replace(self, have: Sequence[bool]) -> None:
        """Exactly these pieces are here."""
        self._work.replace(have)
        self._changed.set()

    def look(self, *, bytes_from_peers: int) -> None:
        """Decides how much mirrors give, and watches those that are asked. Called every now and then.

        Args:
            bytes_from_peers: Payload so far.
        """
        if self._error is not None:
            raise self._error
        now_s = self._clock.monotonic_s()
        seen = balance.Seen(
            now_s=now_s,
            peers_possible=self._peers_possible,
            bytes_from_peers=bytes_from_peers,
            bytes_from_mirrors=self.bytes,
        )
        if self._balance is None:
            self._balance = balance.begin(seen)
        elapsed_s = now_s - self._seen_s
        if elapsed_s > 0:
            self._peers_bytes_per_s = (bytes_from_peers - self._seen_bytes) / elapsed_s
        self._seen_s, self._seen_bytes = now_s, bytes_from_peers
        self._balance, budget = balance.step(self._balance, seen, self._balance_config)
        if budget.cause:
            self._on_event(events.MirrorsSwitched(budget.bytes_per_s > 0, budget.cause))
        if budget.bytes_per_s != self._budget:
            self._budget = budget.bytes_per_s
            self._fetcher.limit(min(self._budget or math.inf, self._config.bytes_per_s or math.inf))
            self._changed.set()
        self._watch(now_s)
        self._fill()
        self._changed.set()  # peers may have let go of something

    # --- which mirrors -----------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Asks as many mirrors as shall be asked at once."""
        if self._torrent is None or not self._budget or not self._work.missing:
            return
        now = self._clock.now().timestamp()
        candidates = [
            Candidate(
                url=url,
                breaker=self._health[url].breaker(now),
                active=bool(mirror.lanes),
                ranged=mirror.ranged,
                failed=mirror.failures > 0,
                out=mirror.out,
            )
            for url, mirror in self.mirrors.items()
        ]
        for url in mirrors_to_start(candidates, at_once=self._config.at_once):
            mirror = self.mirrors[url]
            half_open = self._health[mirror.site.url].breaker(now) is not Breaker.CLOSED
            self._on_event(events.MirrorStarted(mirror.site.url))
            for _ in range(1 if half_open or not mirror.ranged else self._config.connections):
                self._start(mirror)

    def _start(self, mirror: Mirror) -> None:
        self._numbers += 1
        lane = Lane(self._numbers, mirror)
        mirror.lanes.add(lane)
        self._lanes.add(lane)
        lane.task = asyncio.create_task(self._drive(lane))
        lane.task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """What nobody expected ends the transfer, at the next look."""
        if not task.cancelled() and self._torrent is not None:
            self._error = self._error or task.exception()

    def _fail(self, mirror: Mirror, error: MirrorError) -> None:
        """A mirror rests; so do all its connections."""
        now = self._clock.now().timestamp()
        mirror.failures += 1
        mirror.note = error.reason
        url = mirror.site.url
        if error.fault is MirrorFault.NO_RANGES and mirror.ranged:
            mirror.ranged = False  # it may still be of use, if nobody else is
        else:
            self._health[url] = failed(
                self._health[url], error.fault, error.reason, now=now, retry_after_s=error.retry_after_s
            )
            mirror.out = mirror.out or error.fault in STANDING or mirror.wrong >= MOST_WRONG
        self._on_event(events.SourceFailed(url, error.reason))
        for lane in mirror.lanes:
            lane.cancelled = True
            if lane.stream is not None:
                lane.stream.stop()

    # --- one connection ----------------------------------------------------------------------------------

    async def _drive(self, lane: Lane) -> None:
        """Fetches one run after the other, until the mirror fails or everything is here."""
        try:
            while self._work.missing and not lane.mirror.out and not self._rests(lane.mirror):
                run = await self._next_run(lane)
                if run is None:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                lane.run, lane.cancelled = run, False
                await self._fetch(lane, run)
        except MirrorError as error:
            if not lane.cancelled or lane.verdict is not None:
                self._fail(lane.mirror, lane.verdict or error)
        finally:
            lane.mirror.lanes.discard(lane)
            self._lanes.discard(lane)
            self._changed.set()
            self._fill()

    def _rests(self, mirror: Mirror) -> bool:
        return self._health[mirror.site.url].breaker(self._clock.now().timestamp()) is Breaker.OPEN

    async def _next_run(self, lane: Lane) -> Run | None:
        torrent, metainfo = self._torrent, self._metainfo
        if torrent is None or metainfo is None or not self._budget:
            return None
        most = metainfo.num_pieces
        if lane.mirror.ranged:
            most = run_pieces(
                rate_bytes_per_s=lane.rate,
                missing_bytes=self._work.missing * metainfo.piece_length,
                lanes=len(self._lanes),
                piece_length=metainfo.piece_length,
                range_s=self._config.range_s,
                first_bytes=self._config.first_range_bytes,
            )
        if not self._peers_possible:
            return self._work.take(lane.number, most) or self._help(lane)
        demand = await torrent.demand()
        run = self._work.take(lane.number, most, busy=demand.requested, first=demand.lacking) or self._help(lane)
        if run is None and demand.requested and lane.rate and self._peers_are_slow:
            # Nothing is left but what peers are sending: who has nothing else to do need not wait for them.
            run = self._work.take(lane.number, most)
        if run is not None:
            await torrent.claim(self._work.taken)
        return run

    @property
    def _peers_are_slow(self) -> bool:
        """What is missing would keep peers busy for a while."""
        if self._metainfo is None:
            return False
        missing = self._work.missing * self._metainfo.piece_length
        return missing > self._peers_bytes_per_s * _TAIL_S

    def _help(self, lane: Lane) -> Run | None:
        if not lane.mirror.ranged or self._metainfo is None:
            return None
        length = self._metainfo.piece_length
        rates = {other.number: other.rate / length for other in self._lanes if other.rate}
        return self._work.help(lane.number, rates)

    async def _fetch(self, lane: Lane, run: Run) -> None:
        """Fetches a run, as far as it is wanted."""
        metainfo = self._metainfo
        assert metainfo is not None  # noqa: S101  # there are lanes only while there is a torrent
        reader, buffers = Reader(self, lane, run, metainfo), Buffers()
        checking: asyncio.Task[None] | None = None
        try:
            while self._budget and (index := self._work.next_piece(run)) is not None:
                begin_s = self._clock.monotonic_s()
                run.batch = self._batch(lane, run)
                data = buffers.next(sum(metainfo.piece_size(index + number) for number in range(run.batch)))
                await reader.read(index, run.batch, data)
                self._note_rate(lane, len(data), self._clock.monotonic_s() - begin_s)
                self._work.advance(run)
                # Pieces are checked while the next ones come.
                before, checking = checking, asyncio.create_task(self._deliver(lane, index, data))
                if before is not None:
                    await before
            if checking is not None:
                await checking
                checking = None
        except MirrorError:
            if lane.verdict is not None or not lane.cancelled:
                raise
        finally:
            lane.run = None
            self._work.give_back(run)
            try:
                await run_to_end(_wind_up(reader, checking))
            finally:
                self._changed.set()

    def _batch(self, lane: Lane, run: Run) -> int:
        """How many pieces to read in one go: one, unless they come so fast that each trip to a thread would count."""
        assert self._metainfo is not None  # noqa: S101  # there are lanes only while there is a torrent
        most = min(_BATCH_BYTES, (lane.rate or 0.0) * _BATCH_S)
        return max(1, min(run.left, int(most / self._metainfo.piece_length)))

    async def _deliver(self, lane: Lane, first: int, data: memoryview) -> None:
        """Has pieces checked, and kept if they are right.

        Raises:
            MirrorError: One is not, and not for the first time.
        """
        torrent, metainfo, mirror = self._torrent, self._metainfo, lane.mirror
        assert metainfo is not None  # noqa: S101  # there was a torrent
        parts = sizes(metainfo, first, len(data))
        new = [not self._work.has(first + number) for number in range(len(parts))]
        right: Sequence[bool] = [False] * len(parts)
        try:
            if torrent is None:
                return
            right = await torrent.add_pieces(first, data)
        finally:
            for number, good in enumerate(right):
                self._work.landed(first + number, right=good)
        for number, size in enumerate(parts):
            if right[number] and new[number]:
                mirror.bytes += sum(span.length for span in spans(metainfo, first + number))  # without padding
                continue
            self.wasted_bytes += size
            if not right[number]:
                self._blame(mirror, first + number, metainfo)

    def _blame(self, mirror: Mirror, index: int, metainfo: Metainfo) -> None:
        """A mirror has sent a wrong piece.

        Raises:
            MirrorError: And not for the first time.
        """
        mirror.wrong += 1
        self._on_event(events.PieceRefused(index, metainfo.paths_in(index)))
        error = MirrorError(mirror.site.url, f"wrong data in piece {index}", fault=MirrorFault.WRONG_DATA)
        if mirror.wrong >= MOST_WRONG:
            raise error
        # The rest of the range is on its way already, and may be right: one flipped byte costs one piece.
        now = self._clock.now().timestamp()
        mirror.failures += 1
        mirror.note = error.reason
        self._health[mirror.site.url] = failed(self._health[mirror.site.url], error.fault, error.reason, now=now)
        self._on_event(events.SourceFailed(mirror.site.url, error.reason))

    def _note_rate(self, lane: Lane, size: int, seconds: float) -> None:
        rate = size / max(seconds, 1e-4)
        lane.rate = rate if lane.rate is None else lane.rate + _SMOOTH * (rate - lane.rate)

    # --- for the reader ----------------------------------------------------------------------------------

    def request(self, lane: Lane, span: Span, run: Run) -> RangeStream:
        """The request for what a run needs of a file, from a span on."""
        assert self._metainfo is not None  # noqa: S101  # there are lanes only while there is a torrent
        until = min(run.end * self._metainfo.piece_length - span.file.offset, span.file.length)
        mirror = lane.mirror
        stream = self._fetcher.request(
            RangeRequest(
                mirror=mirror.site.url,
                url=layout.url(mirror.site.url, self._paths[span.file.path]),
                first=span.file_offset,
                length=(until if mirror.ranged else span.file.length) - span.file_offset,
                total=span.file.length,
                ranged=mirror.ranged,
            )
        )
        lane.stream = stream
        lane.seen = lane.window = (0, self._clock.monotonic_s())
        return stream

    def note_request(self, lane: Lane, stream: RangeStream, seconds: float) -> None:
        """A request was fulfilled."""
        url = lane.mirror.site.url
        if lane.mirror.wrong or self._rests(lane.mirror):
            return  # what came in time may be wrong all the same
        sample = Sample(
            connect_s=stream.connect_s,
            first_byte_s=stream.first_byte_s or 0.0,
            body_bytes=stream.received_bytes,
            body_s=seconds,
        )
        self._health[url] = succeeded(self._health[url], sample, now=self._clock.now().timestamp())

    # --- watching ----------------------------------------------------------------------------------------

    def _watch(self, now_s: float) -> None:
        """Ends what says nothing, and what drips (TUF's slow retrieval attack)."""
        config = self._config
        for lane in tuple(self._lanes):
            stream = lane.stream
            if stream is None:
                continue
            count = stream.received_bytes
            if count != lane.seen[0] or stream.throttled:
                lane.seen = (count, now_s)
            if stream.throttled:
                lane.window = (count, now_s)
            window_s = now_s - lane.window[1]
            came = count - lane.window[0]
            if now_s - lane.seen[1] >= config.silent_s:
                reason, fault = f"nothing came for {config.silent_s:g} s", MirrorFault.SILENT
            elif window_s >= config.slow_after_s and came < config.min_bytes_per_s * window_s:
                reason, fault = f"{came} bytes came within {window_s:.1f} s", MirrorFault.SLOW
            else:
                if window_s >= config.slow_after_s:
                    lane.window = (count, now_s)
                continue
            lane.verdict = MirrorError(lane.mirror.site.url, reason, fault=fault)
            stream.stop()


async def _wind_up(reader: Reader, checking: asyncio.Task[None] | None) -> None:
    """Lets pieces that have come be checked, and the connection go, whoever loses patience."""
    try:
        if checking is not None:
            with contextlib.suppress(MirrorError, SwarmError):
                await checking
    finally:
        await reader.close()
