"""Limits by the clock and by the month."""

from __future__ import annotations

import math
from datetime import datetime, time

import pytest

from ossdist.config import Period
from ossdist.rates.schedule import UNLIMITED, Limits, capped, month_of, scheduled

WEEKDAYS = frozenset(range(5))
WORK = Period(days=WEEKDAYS, begins=time(8), ends=time(18), upload_bytes_per_s=1000.0)
NIGHT = Period(days=frozenset({4, 5}), begins=time(22), ends=time(6), download_bytes_per_s=0.0)
"""Of Friday and Saturday."""


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """Day 1 is a Monday."""
    return datetime(2026, 6, day, hour, minute)  # noqa: DTZ001 - local time


@pytest.mark.parametrize(
    ("now", "holds"),
    [(at(1, 7, 59), False), (at(1, 8), True), (at(1, 17, 59), True), (at(1, 18), False), (at(6, 12), False)],
)
def test_a_period_within_a_day(now: datetime, *, holds: bool) -> None:
    assert WORK.holds(now) is holds


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        *((at(5, 21, 59), False), (at(5, 22), True), (at(6, 5, 59), True), (at(6, 6), False)),
        *((at(6, 23), True), (at(7, 5), True), (at(7, 23), False), (at(8, 1), False), (at(5, 1), False)),
    ],
)
def test_a_period_over_midnight_belongs_to_the_day_on_which_it_begins(now: datetime, *, holds: bool) -> None:
    assert NIGHT.holds(now) is holds


def test_a_whole_week() -> None:
    assert all(Period().holds(at(day, hour)) for day in range(1, 8) for hour in range(24))


def test_of_several_the_lower_limits_hold() -> None:
    periods = (WORK, Period(upload_bytes_per_s=500.0, download_bytes_per_s=9.0), Period(upload_bytes_per_s=700.0))
    assert scheduled(periods, at(1, 9)) == Limits(500.0, 9.0)
    assert scheduled((WORK,), at(6, 9)) == UNLIMITED


@pytest.mark.parametrize(("sent", "limit"), [(0, math.inf), (99, math.inf), (100, 0.0), (10**12, 0.0)])
def test_when_the_months_cap_is_reached_nothing_is_sent(sent: int, limit: float) -> None:
    assert capped(sent, 100) == Limits(upload_bytes_per_s=limit)
    assert capped(sent, None) == UNLIMITED


def test_months() -> None:
    assert month_of(at(1, 0)) == "2026-06"
