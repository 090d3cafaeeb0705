"""Bytes on their way: flows over links, at max-min fair rates, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ossdist.sim.crowd.fairness import max_min

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    import simpy

    from ossdist.sim.crowd.fairness import Floats, Integers

_FIRST_ROOM = 1024
_DONE_BYTES = 1e-3


class Transport:
    """All flows of a simulation. A flow is one chunk of bytes over one connection; the next one may follow at once.

    Rates are computed anew when a flow began, ended or was limited, but at most once a step: what ends within a step
    ends at the step's end, and what it would have sent until then counts for the flow that follows it.

    Args:
        env: Virtual time.
        step_s: The shortest time between two computations of rates.
        tolerance: See `max_min`.
        on_done: Called with each flow that is through, in the order of their numbers.

    Attributes:
        computations: How often rates were computed.
        chunks: How many flows came through.
    """

    def __init__(
        self, env: simpy.Environment, *, step_s: float, tolerance: float, on_done: Callable[[int], None]
    ) -> None:
        self._env = env
        self._step_s = step_s
        self._tolerance = tolerance
        self._on_done = on_done
        self._capacities: list[float] = []
        self._routes: Integers = np.full((_FIRST_ROOM, 2), -1, dtype=np.int64)
        self._limits: Floats = np.full(_FIRST_ROOM, np.inf)
        self._left: Floats = np.zeros(_FIRST_ROOM)
        self._rates: Floats = np.zeros(_FIRST_ROOM)
        self._alive = np.zeros(_FIRST_ROOM, dtype=np.bool_)
        self._free = list(range(_FIRST_ROOM - 1, -1, -1))
        self._changed = False
        self._news = env.event()
        self._ended: list[int] = []
        self._at_s = -step_s
        self.computations = 0
        self.chunks = 0
        env.process(self._run())

    # --- links -------------------------------------------------------------------------------------------

    def add_link(self, bytes_per_s: float) -> int:
        """Adds a link; returns its number."""
        self._capacities.append(bytes_per_s)
        return len(self._capacities) - 1

    def set_capacity(self, link: int, bytes_per_s: float) -> None:
        """Changes a link; 0 cuts it."""
        self._capacities[link] = bytes_per_s
        self._note_change()

    # --- flows -------------------------------------------------------------------------------------------

    def begin(self, size: float, route: Sequence[int], *, limit_bps: float = np.inf) -> int:
        """Sends a chunk; returns the flow's number, which `on_done` gets.

        Args:
            size: In bytes.
            route: The links that it crosses.
            limit_bps: The most that it takes.
        """
        if len(route) > self._routes.shape[1]:
            more = np.full((len(self._routes), len(route) - self._routes.shape[1]), -1, dtype=np.int64)
            self._routes = np.concatenate([self._routes, more], axis=1)
        if not self._free:
            self._grow()
        flow = self._free.pop()
        self._routes[flow] = -1
        self._routes[flow, : len(route)] = route
        self._limits[flow] = limit_bps
        self._left[flow] = size
        self._rates[flow] = 0.0
        self._alive[flow] = True
        self._note_change()
        return flow

    def follow(self, flow: int, size: float) -> None:
        """From `on_done`: the next chunk goes the same way, and has begun when the last one was through."""
        self._left[flow] += size
        self._alive[flow] = True

    def end(self, flow: int) -> float:
        """Ends a flow; returns how much of its chunk was still missing."""
        missing = self.left(flow)
        self._alive[flow] = False
        self._ended.append(flow)
        self._note_change()
        return missing

    def rate(self, flow: int) -> float:
        """Bytes a second of a flow, as they were computed last."""
        return float(self._rates[flow])

    def left(self, flow: int) -> float:
        """What is missing of a flow's chunk now, in bytes."""
        since_s = self._env.now - self._at_s
        return max(0.0, float(self._left[flow] - self._rates[flow] * since_s))

    def total_left(self, flows: Collection[int]) -> float:
        """What is missing of several flows' chunks now, in bytes."""
        chosen = np.fromiter(flows, dtype=np.int64, count=len(flows))
        since_s = self._env.now - self._at_s
        return float(np.maximum(self._left[chosen] - self._rates[chosen] * since_s, 0.0).sum())

    # --- inside ------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        room = len(self._alive)
        self._routes = np.concatenate([self._routes, np.full_like(self._routes, -1)])
        self._limits = np.concatenate([self._limits, np.full(room, np.inf)])
        self._left = np.concatenate([self._left, np.zeros(room)])
        self._rates = np.concatenate([self._rates, np.zeros(room)])
        self._alive = np.concatenate([self._alive, np.zeros(room, dtype=np.bool_)])
        self._free.extend(range(2 * room - 1, room - 1, -1))

    def _note_change(self) -> None:
        self._changed = True
        if not self._news.triggered:
            self._news.succeed()

    def _run(self) -> Generator[simpy.Event, object, None]:
        while True:
            pause_s = self._next_s()
            if pause_s is None:  # nothing moves: whatever comes next is news
                yield self._news
            elif pause_s > self._step_s:
                yield self._env.any_of([self._env.timeout(pause_s), self._news])
            if (early_s := self._at_s + self._step_s - self._env.now) > 0:
                yield self._env.timeout(early_s)
            self._news = self._env.event()
            self._advance()
            if self._changed:
                self._compute()

    def _next_s(self) -> float | None:
        """Until the first flow is through; None if none moves."""
        moving = self._alive & (self._rates > 0)
        return float((self._left[moving] / self._rates[moving]).min()) if moving.any() else None

    def _advance(self) -> None:
        elapsed_s = self._env.now - self._at_s
        self._at_s = self._env.now
        self._left -= np.where(self._alive, self._rates * elapsed_s, 0.0)
        through = np.flatnonzero(self._alive & (self._left <= _DONE_BYTES))
        for flow in through.tolist():
            # Another one's end may have been its end too; and several chunks may be through in one step.
            while self._alive[flow] and self._left[flow] <= _DONE_BYTES:
                self._alive[flow] = False
                self.chunks += 1
                self._on_done(flow)
                if not self._alive[flow]:
                    self._ended.append(flow)
                    self._changed = True
        # Not before: a flow that begins meanwhile must not have the number of one that is still to be told of.
        self._free.extend(self._ended)
        self._ended.clear()

    def _compute(self) -> None:
        flows = np.flatnonzero(self._alive)
        capacities = np.asarray(self._capacities)
        self._rates[:] = 0.0
        self._rates[flows] = max_min(self._routes[flows], capacities, self._limits[flows], tolerance=self._tolerance)
        self._changed = False
        self.computations += 1
