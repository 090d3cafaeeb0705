"""A package over a month: releases that come out one after the other, in full and as deltas."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.sim.crowd.run import Result, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from ossdist.sim.crowd.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Update:
    """One later release of a cadence.

    Attributes:
        day: When it comes out.
        full: What came of it if everybody fetches it in full.
        delta: What comes of it if everybody fetches the delta from the release before.
    """

    day: float
    full: Result
    delta: Result


@dataclass(frozen=True, slots=True)
class Cadence:
    """A month.

    Attributes:
        first: What came of the first release, which everybody fetches in full.
        updates: The later ones, in order.
        full_bytes: What users fetch of all updates, if in full.
        delta_bytes: The same as deltas.
        seeds_full_bytes: What those who had everything from the start send, if in full.
        seeds_delta_bytes: The same as deltas.
        trace_hash: Of everything that happened in all of them.
    """

    first: Result
    updates: tuple[Update, ...]
    full_bytes: float
    delta_bytes: float
    seeds_full_bytes: float
    seeds_delta_bytes: float
    trace_hash: str

    @property
    def saving(self) -> float:
        """The share of the bytes that deltas spare users."""
        return 1 - self.delta_bytes / self.full_bytes if self.full_bytes else 0.0


def run_cadence(scenario: Scenario, *, seed: int, on_progress: Callable[[float, int], None] | None = None) -> Cadence:
    """Runs a scenario's releases, each in a swarm of its own with the same hosts.

    A delta's size is the scenario's share of the file; how it is made and applied is not simulated.

    Args:
        scenario: It, checked.
        seed: Of all randomness.
        on_progress: See `run`.
    """
    first = run(scenario, seed=seed, on_progress=on_progress)
    updates: list[Update] = []
    full_bytes = delta_bytes = seeds_full = seeds_delta = 0.0
    for number, release in enumerate(scenario.cadence, 1):
        size = max(1, int(scenario.length * release.delta_share))
        full = run(scenario, seed=seed + number, on_progress=on_progress)
        delta = run(scenario, seed=seed + number, length=size, on_progress=on_progress)
        updates.append(Update(release.day, full, delta))
        full_bytes += full.completed * scenario.length
        delta_bytes += delta.completed * size
        seeds_full += full.seed_copies * scenario.length
        seeds_delta += delta.seed_copies * size
    hashes = [first.trace_hash, *(each.trace_hash for update in updates for each in (update.full, update.delta))]
    trace_hash = hashlib.sha256("".join(hashes).encode()).hexdigest()
    return Cadence(first, tuple(updates), full_bytes, delta_bytes, seeds_full, seeds_delta, trace_hash)
