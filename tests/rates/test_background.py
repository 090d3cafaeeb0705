"""Rates that yield, against a model of a line with a queue."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.machine import Connection
from ossdist.rates.background import BackgroundConfig, BackgroundState, step
from ossdist.rates.queueing import QueueMeter

CONFIG = BackgroundConfig()
TICK_S = 0.5


@dataclass
class Line:
    """A line of 1 MB/s with a queue of a tenth of a second; we send what the limit allows, others what they do.

    Who is not polite keeps its queue full; what is there is divided as it is asked for.
    """

    others: float = 0.0
    carries: float = 1e6
    wanted: float = 5e6
    queued: float = 0.0

    def go(self, state: BackgroundState, seconds: float) -> tuple[BackgroundState, float]:
        """The state afterwards, and our mean rate."""
        sent = 0.0
        ticks = round(seconds / TICK_S)
        for _ in range(ticks):
            ours = min(self.wanted, state.limit_bytes_per_s)
            asked = ours + self.others
            got = ours if asked <= self.carries else self.carries * ours / asked
            self.queued = min(0.1, max(0.0, self.queued + (asked / self.carries - 1.0) * TICK_S))
            sent += got * TICK_S
            state = step(state, self.queued, got, TICK_S, CONFIG)
        return state, sent / (ticks * TICK_S)


def test_alone_it_comes_near_the_lines_rate() -> None:
    line = Line()
    state, _ = line.go(BackgroundState(), 20)
    _, rate = line.go(state, 60)
    assert rate > 0.7 * line.carries


def test_it_leaves_the_line_to_somebody_who_wants_all_of_it() -> None:
    line = Line()
    state, _ = line.go(BackgroundState(), 20)
    line.others = 1e6
    state, _ = line.go(state, 5)
    state, rate = line.go(state, 30)
    assert rate < 0.1 * line.carries
    line.others = 0.0
    state, _ = line.go(state, 30)
    _, rate = line.go(state, 30)
    assert rate > 0.7 * line.carries


def test_it_takes_what_somebody_leaves() -> None:
    line = Line(others=0.5e6)
    state, _ = line.go(BackgroundState(), 20)
    _, rate = line.go(state, 60)
    assert 0.35e6 < rate < 0.5e6


def test_without_a_queue_there_is_no_limit() -> None:
    state, _ = Line(wanted=0.9e6).go(BackgroundState(), 60)
    assert math.isinf(state.limit_bytes_per_s)


def test_without_a_measure_nothing_changes() -> None:
    assert step(BackgroundState(5.0), None, 1e6, 1.0, CONFIG) == BackgroundState(5.0)


def test_a_limit_that_nothing_comes_up_to_does_not_grow_out_of_sight() -> None:
    state = BackgroundState(1e6)
    for _ in range(1000):
        state = step(state, 0.0, 100_000.0, TICK_S, CONFIG)
    assert state.limit_bytes_per_s == 1e6


@given(st.lists(st.tuples(st.none() | st.floats(0, 10), st.floats(0, 1e9), st.floats(0.001, 10)), max_size=100))
def test_the_limit_is_always_one(seen: list[tuple[float | None, float, float]]) -> None:
    state = BackgroundState()
    for delay_s, rate, elapsed_s in seen:
        before = state.limit_bytes_per_s
        state = step(state, delay_s, rate, elapsed_s, CONFIG)
        assert state.limit_bytes_per_s >= CONFIG.least_bytes_per_s
        if delay_s is not None and delay_s > CONFIG.target_s:
            assert state.limit_bytes_per_s <= max(before, CONFIG.least_bytes_per_s)


# --- the queue ---------------------------------------------------------------------------------------------


def connection(host: str, rtt_s: float, *, silent_s: float = 0.0) -> Connection:
    return Connection(host=host, rtt_s=rtt_s, least_rtt_s=min(rtt_s, 0.3), silent_s=silent_s)


def test_a_queue_is_what_round_trips_have_grown_by() -> None:
    meter = QueueMeter()
    assert meter.measure([connection("a", 0.02), connection("b", 0.1)]) == 0.0
    assert meter.measure([connection("a", 0.08), connection("b", 0.16)]) == pytest.approx(0.06)


def test_a_queue_at_the_other_end_is_not_ours() -> None:
    meter = QueueMeter()
    meter.measure([connection(host, 0.02) for host in "abcd"])
    seen = [connection("a", 0.02), connection("b", 0.02), connection("c", 0.5), connection("d", 0.02)]
    assert meter.measure(seen) == 0.0


def test_a_new_connection_to_a_known_host_does_not_begin_anew() -> None:
    meter = QueueMeter()
    meter.measure([connection("a", 0.02)])
    meter.measure([])
    assert meter.measure([connection("a", 0.07)]) == pytest.approx(0.05)


def test_old_measures_do_not_count() -> None:
    meter = QueueMeter()
    assert meter.measure([]) is None
    assert meter.measure([connection("a", 0.5, silent_s=5.0)]) is None


def test_not_every_host_is_remembered() -> None:
    meter = QueueMeter()
    for number in range(5000):
        meter.measure([connection(f"{number}", 0.02)])
    assert len(meter._shortest_s) <= 2000  # pyright: ignore[reportPrivateUsage]
