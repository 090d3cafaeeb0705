"""Which pieces each connection to a mirror fetches. Pure.

Every connection (a lane) has a run of pieces, which it fetches in one range and in order. A run is as long as the lane
needs for a few seconds, and never more than its part of what is left, so that all end at about the same time (guided
self-scheduling: Polychronopoulos and Kuck, 1987). A lane with nothing left to take helps the one that will be the last:
it takes over the end of its run, or fetches its last piece as well; whoever is first counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_FASTER = 1.5
"""Who helps has to be done sooner than the other one by so much; else the bytes would be fetched twice for nothing."""


_MOST_RANGE_BYTES = 64 << 20
"""The whole-file hash follows from the front: what a lane fetches far behind it waits to be hashed."""


_LEAST_RANGE_BYTES = 256 << 10
"""Every range costs a round trip."""


@dataclass(slots=True)
class Run:
    """Pieces that one lane fetches, in order.

    Attributes:
        lane: Which.
        first: The first piece.
        end: The piece behind the last one; it becomes less when somebody takes over the end.
        at: The piece that is being fetched.
        batch: How many pieces are being fetched in one go, from that one on.
    """

    lane: int
    first: int
    end: int
    at: int
    batch: int = 1

    @property
    def left(self) -> int:
        """How many pieces are missing."""
        return self.end - self.at


class Work:
    """The pieces of a torrent, as far as mirrors fetch them.

    Args:
        pieces: How many there are.
        from_end: Take the last pieces of the longest run first: peers are asked for the first ones.
    """

    def __init__(self, pieces: int, *, from_end: bool = False) -> None:
        self._have = bytearray(pieces)
        self._taken = bytearray(pieces)
        self._runs: dict[int, Run] = {}
        self._from_end = from_end
        self.missing = pieces

    # --- what is here ------------------------------------------------------------------------------------

    def add(self, index: int) -> None:
        """A piece is here, whoever brought it."""
        if not self._have[index]:
            self._have[index] = 1
            self.missing -= 1

    def replace(self, have: Sequence[bool]) -> None:
        """Exactly these pieces are here."""
        self._have[:] = bytes(have)
        self.missing = self._have.count(0)

    def has(self, index: int) -> bool:
        """Whether a piece is here."""
        return bool(self._have[index])

    @property
    def taken(self) -> frozenset[int]:
        """Pieces that lanes fetch or are going to."""
        return frozenset(index for index, taken in enumerate(self._taken) if taken and not self._have[index])

    # --- taking ------------------------------------------------------------------------------------------

    def take(self, lane: int, most: int, *, busy: Collection[int] = (), first: Sequence[int] = ()) -> Run | None:
        """A run for a lane that has none; None if everything is here, taken or busy.

        Args:
            lane: Which.
            most: How many pieces at most; at least one.
            busy: Pieces that peers are sending.
            first: Pieces that nobody else has: one of them comes first, if it is free.
        """
        free = bytearray(1 if not (have or taken) else 0 for have, taken in zip(self._have, self._taken, strict=True))
        for index in busy:
            free[index] = 0
        start = next((index for index in first if free[index]), -1)
        if start >= 0 or not self._from_end:
            start = start if start >= 0 else free.find(1)
            if start < 0:
                return None
            gap = free.find(0, start)
            end = min(start + most, len(free) if gap < 0 else gap)
        else:
            # Peers who ask for rare pieces first leave holes: the longest run spares requests.
            longest = max(bytes(free).split(b"\0"), key=len)
            if not longest:
                return None
            end = free.rfind(longest) + len(longest)
            start = max(end - len(longest), end - most)
        self._taken[start:end] = b"\1" * (end - start)
        run = self._runs[lane] = Run(lane, start, end, start)
        return run

    def help(self, lane: int, rates: dict[int, float]) -> Run | None:
        """A run for a lane that finds nothing to take: part of the one that will be done last.

        Args:
            lane: Which.
            rates: Pieces a second of each lane; who is not in it has not shown its rate yet.
        """
        mine = rates.get(lane)
        runs = [run for run in self._runs.values() if run.lane != lane and run.left > 0 and not self._is_double(run)]
        if not runs:
            return None
        last = max(runs, key=lambda run: (_eta_s(run, rates), run.left))
        rest = last.end - (last.at + last.batch)
        if rest > 0:
            middle = last.end - (rest + 1) // 2
            run = self._runs[lane] = Run(lane, middle, last.end, middle)
            last.end = middle
            return run
        if last.left > 1 or mine is None or _eta_s(last, rates) < _FASTER / mine:
            return None
        run = self._runs[lane] = Run(lane, last.at, last.end, last.at)
        return run

    def _is_double(self, run: Run) -> bool:
        """Whether another lane fetches the same piece."""
        return any(other is not run and other.at <= run.at < other.end for other in self._runs.values())

    # --- while it comes ----------------------------------------------------------------------------------

    def next_piece(self, run: Run) -> int | None:
        """The next piece that a lane has to fetch of its run; None if the run is over, or its next piece is not wanted.

        Pieces that came from elsewhere meanwhile end the run: what is behind them becomes free.
        """
        if run.at >= run.end or self._have[run.at]:
            return None
        return run.at

    def advance(self, run: Run) -> None:
        """The pieces that a lane was fetching in one go have come, and are being checked."""
        run.at += run.batch
        run.batch = 1

    def landed(self, index: int, *, right: bool) -> None:
        """A piece was checked: it is here, or free again."""
        if right:
            self.add(index)
        self._free(index)

    def give_back(self, run: Run) -> None:
        """A lane fetches no more of its run; what is missing is free again."""
        if self._runs.get(run.lane) is run:
            del self._runs[run.lane]
        for index in range(run.at, run.end):
            self._free(index)

    def _free(self, index: int) -> None:
        """Nobody is at a piece any more, unless another lane is."""
        self._taken[index] = any(run.at <= index < run.end for run in self._runs.values())


def _eta_s(run: Run, rates: dict[int, float]) -> float:
    rate = rates.get(run.lane, 0.0)
    return run.left / rate if rate > 0 else float("inf")


def run_pieces(
    *,
    rate_bytes_per_s: float | None,
    missing_bytes: int,
    lanes: int,
    piece_length: int,
    range_s: float,
    first_bytes: int,
) -> int:
    """How many pieces a lane takes at once.

    Args:
        rate_bytes_per_s: Its rate; None if it is not known.
        missing_bytes: Of everything.
        lanes: How many there are.
        piece_length: Of a piece.
        range_s: How long a range should take.
        first_bytes: How much is asked for before the rate is known.
    """
    wish = first_bytes if rate_bytes_per_s is None else rate_bytes_per_s * range_s
    part = max(_LEAST_RANGE_BYTES, missing_bytes / (2 * max(1, lanes)))
    return max(1, int(min(wish, part, _MOST_RANGE_BYTES) / piece_length))
