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
from ossdist.errors import MirrorError, SwarmError
from ossdist.mirrors import balance
from ossdist.mirrors.fetching import RangeRequest
from ossdist.mirrors.lane import Buffers, Lane, Mirror, Reader, sizes
from ossdist.mirrors.roster import Roster
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
    from ossdist.mirrors.fetching import RangeFetcher, RangeStream, SignedFile
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
        files: Each file, by its path in the torrent.
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
        files: Mapping[str, SignedFile],
        fetcher: RangeFetcher,
        config: MirrorConfig,
        health: HealthBook,
        here: Place,
        clock: Clock,
        rng: Random,
        on_event: OnEvent,
    ) -> None:
        self._roster = Roster(sites, config=config, health=health, here=here, clock=clock, rng=rng, on_event=on_event)
        self.mirrors, self.excluded = self._roster.mirrors, self._roster.excluded
        self.wasted_bytes = 0
        self._files = files
        self._fetcher = fetcher
        self._config = config
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
        self._budget, self._most = 0.0, config.bytes_per_s or math.inf
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

    def limit(self, bytes_per_s: float) -> None:
        """The most that mirrors give from the next look on, beside what was configured.

        Args:
            bytes_per_s: Infinite for no limit, 0 for nothing.
        """
        self._most = min(bytes_per_s, self._config.bytes_per_s or math.inf)

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
        """A piece is here, whoever brought it; what is here before `begin` is said there."""
        if self._torrent is None:
            return
        self._work.add(index)
        for lane in self._lanes:
            alone = lane.run is not None and lane.run.at == index and lane.run.left > 0 and lane.run.batch == 1
            if alone and lane.stream is not None:
                lane.cancelled = True
                lane.stream.stop()
        if not self._work.missing:
            self._notify()

    def replace(self, have: Sequence[bool]) -> None:
        """Exactly these pieces are here; see `note_piece`."""
        if self._torrent is not None:
            self._work.replace(have)
            self._notify()

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
        allowed = min(budget.bytes_per_s, self._most)
        if allowed != self._budget:
            self._budget = allowed
            self._fetcher.limit(allowed or math.inf)  # what is under way comes to its end
            self._notify()
        self._watch(now_s)
        self._fill()
        self._notify()  # peers may have let go of something

    # --- which mirrors -----------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Asks as many mirrors as shall be asked at once."""
        if self._torrent is None or not self._budget or not self._work.missing:
            return
        for mirror, connections in self._roster.to_start():
            for _ in range(connections):
                self._start(mirror)

    def _start(self, mirror: Mirror) -> None:
        self._numbers += 1
        lane = Lane(self._numbers, mirror, mirror.ranged)
        mirror.lanes.add(lane)
        self._lanes.add(lane)
        lane.task = asyncio.create_task(self._drive(lane))
        lane.task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """What nobody expected ends the transfer, at the next look."""
        if not task.cancelled() and self._torrent is not None:
            self._error = self._error or task.exception()

    # --- one connection ----------------------------------------------------------------------------------

    async def _drive(self, lane: Lane) -> None:
        """Fetches one run after the other, until the mirror fails or everything is here."""
        try:
            while self._work.missing and self._wanted(lane):
                changed = self._changed  # taken before: what happens meanwhile counts
                run = await self._next_run(lane)
                if run is None:
                    await changed.wait()
                    continue
                lane.run, lane.cancelled = run, False
                await self._fetch(lane, run)
        except MirrorError as error:
            if not lane.cancelled or lane.verdict is not None:
                self._roster.fail(lane.mirror, lane.verdict or error)
        finally:
            lane.mirror.lanes.discard(lane)
            self._lanes.discard(lane)
            self._notify()
            self._fill()

    def _wanted(self, lane: Lane) -> bool:
        """Its mirror is asked, and in the way for which the lane was opened."""
        mirror = lane.mirror
        return not mirror.out and mirror.ranged == lane.ranged and not self._roster.rests(mirror)

    def _notify(self) -> None:
        """Something has changed: lanes that found nothing to do look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _next_run(self, lane: Lane) -> Run | None:
        torrent, metainfo = self._torrent, self._metainfo
        if torrent is None or metainfo is None or not self._budget:
            return None
        most = metainfo.num_pieces
        if lane.ranged:
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
        if not lane.ranged or self._metainfo is None:
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
                self._notify()

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
                self._roster.blame(mirror, first + number, metainfo.paths_in(first + number))

    def _note_rate(self, lane: Lane, size: int, seconds: float) -> None:
        rate = size / max(seconds, 1e-4)
        lane.rate = rate if lane.rate is None else lane.rate + _SMOOTH * (rate - lane.rate)

    # --- for the reader ----------------------------------------------------------------------------------

    def request(self, lane: Lane, span: Span, run: Run) -> RangeStream:
        """The request for what a run needs of a file, from a span on."""
        assert self._metainfo is not None  # noqa: S101  # there are lanes only while there is a torrent
        until = min(run.end * self._metainfo.piece_length - span.file.offset, span.file.length)
        mirror, path = lane.mirror, span.file.path
        url = mirror.site.files.get(path) or layout.url(mirror.site.url, self._files[path].path)
        stream = self._fetcher.request(
            RangeRequest(
                mirror=mirror.site.url,
                url=url,
                first=span.file_offset,
                length=(until if lane.ranged else span.file.length) - span.file_offset,
                total=span.file.length,
                sha256=self._files[path].sha256,
                ranged=lane.ranged,
            )
        )
        lane.begin(stream, self._clock.monotonic_s())
        return stream

    def note_request(self, lane: Lane, stream: RangeStream, seconds: float) -> None:
        """A request was fulfilled."""
        self._roster.note_request(lane.mirror, stream, seconds)

    # --- watching ----------------------------------------------------------------------------------------

    def _watch(self, now_s: float) -> None:
        """Ends what says nothing, and what drips (TUF's slow retrieval attack)."""
        for lane in tuple(self._lanes):
            stream, verdict = lane.stream, lane.impatience(now_s, self._config)
            if stream is not None and verdict is not None:
                lane.verdict = verdict
                stream.stop()


async def _wind_up(reader: Reader, checking: asyncio.Task[None] | None) -> None:
    """Lets pieces that have come be checked, and the connection go, whoever loses patience."""
    try:
        if checking is not None:
            with contextlib.suppress(MirrorError, SwarmError):
                await checking
    finally:
        await reader.close()
