"""How well mirrors do, and when one that failed is asked again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.errors import MirrorFault
from ossdist.mirrors.health import (
    FORGET_S,
    HALF_LIFE_S,
    STANDING,
    UNKNOWN,
    Breaker,
    Health,
    HealthBook,
    Sample,
    failed,
    remembered,
    succeeded,
)

NOW = 1_800_000_000.0
GOOD = Sample(connect_s=0.02, first_byte_s=0.05, body_bytes=1_000_000, body_s=0.5)


def fails(times: int, fault: MirrorFault = MirrorFault.UNREACHABLE) -> Health:
    health = UNKNOWN
    for _ in range(times):
        health = failed(health, fault, "no route", now=max(NOW, health.rests_until))
    return health


def test_nothing_is_known_of_a_new_one() -> None:
    assert UNKNOWN.breaker(NOW) is Breaker.CLOSED
    assert UNKNOWN.reliability(NOW) == 1.0
    assert UNKNOWN.measured(NOW).bytes_per_s is None


def test_measures_move_with_the_newest() -> None:
    health = succeeded(UNKNOWN, GOOD, now=NOW)
    assert (health.connect_s, health.first_byte_s, health.bytes_per_s) == (0.02, 0.05, 2e6)
    slower = succeeded(health, Sample(connect_s=None, first_byte_s=0.15, body_bytes=1_000_000, body_s=1.0), now=NOW)
    assert slower.connect_s == 0.02  # the connection was an older one
    assert slower.first_byte_s == pytest.approx(0.08)
    assert slower.bytes_per_s == pytest.approx(1.7e6)


def test_a_body_that_was_there_at_once_says_nothing_of_the_rate() -> None:
    health = succeeded(UNKNOWN, Sample(connect_s=0.1, first_byte_s=0.1, body_bytes=100, body_s=0.0), now=NOW)
    assert health.bytes_per_s is None


def test_the_breaker_opens_waits_and_tries_once() -> None:
    health = fails(1)
    assert health.breaker(NOW) is Breaker.OPEN
    assert health.breaker(health.rests_until) is Breaker.HALF_OPEN
    well = succeeded(health, GOOD, now=health.rests_until)
    assert well.breaker(NOW) is Breaker.CLOSED
    assert well.in_a_row == 0
    assert well.reason == ""


def test_pauses_grow_and_end_somewhere() -> None:
    pauses = [fails(times).rests_until - max(NOW, fails(times - 1).rests_until) for times in range(1, 14)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == pauses[-2] == 600


def test_what_somebody_must_mend_rests_longer() -> None:
    for fault in MirrorFault:
        pause_s = failed(UNKNOWN, fault, "x", now=NOW).rests_until - NOW
        assert pause_s >= (30 if fault in STANDING else 1)
    assert failed(UNKNOWN, MirrorFault.WRONG_DATA, "x", now=NOW).rests_until - NOW == 60


@pytest.mark.parametrize(("asked_s", "rests_s"), [(None, 1.0), (0.0, 1.0), (40.0, 40.0), (1e9, 600.0)])
def test_retry_after_is_heeded_within_bounds(asked_s: float | None, rests_s: float) -> None:
    health = failed(UNKNOWN, MirrorFault.BUSY, "503", now=NOW, retry_after_s=asked_s)
    assert health.rests_until - NOW == rests_s


def test_what_was_long_ago_counts_less() -> None:
    health = fails(3)
    soon, later = health.reliability(NOW), health.reliability(NOW + 3 * HALF_LIFE_S)
    assert soon == pytest.approx(2 / 5, rel=0.001)
    assert later == pytest.approx(2 / (2 + 3 / 8), rel=0.01)
    assert health.reliability(NOW + 1000 * HALF_LIFE_S) == pytest.approx(1.0)


def test_ranking_hears_of_pauses_and_reasons() -> None:
    measured = fails(2).measured(NOW + 1)
    assert measured.rests_s == pytest.approx(2.0)
    assert measured.reason == "no route"


def test_a_rate_is_forgotten_after_a_month() -> None:
    health = succeeded(UNKNOWN, GOOD, now=NOW)
    assert health.measured(NOW + FORGET_S - 1).bytes_per_s == 2e6
    assert health.measured(NOW + FORGET_S).bytes_per_s is None


def test_an_earlier_run_counts_unless_its_clock_was_wrong() -> None:
    health = fails(1)
    assert remembered(health, now=NOW + 10) == health
    assert remembered(health, now=NOW + FORGET_S) is None
    assert remembered(health, now=NOW - 10_000) is None
    stuck = msgspec.structs.replace(health, rests_until=NOW + 1e9)
    kept = remembered(stuck, now=NOW)
    assert kept is not None
    assert kept.rests_until == NOW + 600


def test_a_book_begins_with_what_is_remembered() -> None:
    book = HealthBook({"a": fails(1), "b": Health(at=1.0)}, now=NOW)
    assert set(book.all) == {"a"}
    assert book["b"] is UNKNOWN
    book["b"] = succeeded(book["b"], GOOD, now=NOW)
    assert book.measured(NOW)["b"].bytes_per_s == 2e6
    assert book.measured(NOW)["a"].rests_s > 0


@given(
    st.lists(
        st.one_of(
            st.sampled_from(list(MirrorFault)),
            st.builds(
                Sample,
                connect_s=st.none() | st.floats(0, 100),
                first_byte_s=st.floats(0, 100),
                body_bytes=st.integers(0, 1 << 40),
                body_s=st.floats(0, 1e5),
            ),
        ),
        max_size=30,
    ),
    st.lists(st.floats(-1e6, 1e6), min_size=30, max_size=30),
)
def test_whatever_happens_the_figures_stay_figures(what: list[MirrorFault | Sample], steps: list[float]) -> None:
    health, now = UNKNOWN, NOW
    for happened, step_s in zip(what, steps, strict=False):
        now += step_s  # the clock may be set back
        if isinstance(happened, Sample):
            health = succeeded(health, happened, now=now)
            assert health.breaker(now) is Breaker.CLOSED
        else:
            health = failed(health, happened, "x", now=now)
            assert health.breaker(now) is Breaker.OPEN
        assert 0 < health.reliability(now) <= 1
        assert 0 <= health.rests_until - now <= 600 or health.in_a_row == 0
        assert msgspec.json.decode(msgspec.json.encode(health), type=Health) == health
