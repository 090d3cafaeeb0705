"""Which pieces each connection fetches: everything, nothing twice without a reason, and no lane idle at the end."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossdist.mirrors.work import Run, Work, run_pieces


def taken(run: Run | None) -> range:
    assert run is not None
    return range(run.first, run.end)


def fetch(work: Work, run: Run, *, right: bool = True) -> None:
    """A lane fetches one piece."""
    index = work.next_piece(run)
    assert index is not None
    work.advance(run)
    work.landed(index, right=right)


# --- taking ----------------------------------------------------------------------------------------------


def test_lanes_take_runs_in_order() -> None:
    work = Work(10)
    assert taken(work.take(1, 4)) == range(4)
    assert taken(work.take(2, 4)) == range(4, 8)
    assert taken(work.take(3, 4)) == range(8, 10)
    assert work.take(4, 4) is None
    assert work.taken == frozenset(range(10))


def test_what_is_here_is_not_taken() -> None:
    work = Work(6)
    work.replace([True, False, False, True, False, True])
    assert work.missing == 3
    assert taken(work.take(1, 9)) == range(1, 3)
    assert taken(work.take(1, 9)) == range(4, 5)
    assert work.take(1, 9) is None


def test_beside_peers_the_end_comes_first() -> None:
    work = Work(10, from_end=True)
    assert taken(work.take(1, 3)) == range(7, 10)
    assert taken(work.take(2, 3, busy=[6, 5])) == range(2, 5)


def test_beside_peers_the_longest_run_comes_first() -> None:
    assert taken(Work(20, from_end=True).take(1, 4, busy=[15, 18])) == range(11, 15)


def test_what_peers_are_sending_is_left_to_them() -> None:
    work = Work(3)
    assert work.take(1, 3, busy=[0, 1, 2]) is None
    assert taken(work.take(1, 3, busy=[1])) == range(1)


@pytest.mark.parametrize("from_end", [True, False])
def test_what_nobody_else_has_comes_first(*, from_end: bool) -> None:
    work = Work(10, from_end=from_end)
    assert taken(work.take(1, 2, first=[4, 9])) == range(4, 6)
    assert taken(work.take(2, 2, first=[4, 9])) == range(9, 10)


# --- while it comes --------------------------------------------------------------------------------------


def test_a_piece_from_elsewhere_ends_the_run_and_frees_the_rest() -> None:
    work = Work(5)
    run = work.take(1, 5)
    assert run is not None
    fetch(work, run)
    work.add(1)
    assert work.next_piece(run) is None
    work.give_back(run)
    assert taken(work.take(2, 9)) == range(2, 5)


def test_a_wrong_piece_is_free_again() -> None:
    work = Work(2)
    run = work.take(1, 2)
    assert run is not None
    fetch(work, run, right=False)
    assert work.missing == 2
    assert taken(work.take(2, 2)) == range(1)


def test_pieces_that_are_being_checked_are_not_taken() -> None:
    work = Work(2)
    run = work.take(1, 2)
    assert run is not None
    run.batch = 2
    work.advance(run)
    work.give_back(run)
    assert work.take(2, 2) is None
    work.landed(0, right=True)
    work.landed(1, right=False)
    assert taken(work.take(2, 2)) == range(1, 2)


# --- helping ---------------------------------------------------------------------------------------------


def test_who_has_nothing_to_do_takes_over_the_end_of_who_would_be_last() -> None:
    work = Work(20)
    slow, fast = work.take(1, 10), work.take(2, 10)
    assert slow is not None
    assert fast is not None
    for _ in range(10):
        fetch(work, fast)
    work.give_back(fast)
    run = work.help(2, {1: 1.0, 2: 10.0})
    assert taken(run) == range(5, 10)
    assert (slow.first, slow.end) == (0, 5)


def test_the_pieces_that_are_being_read_are_not_taken_over() -> None:
    work = Work(10)
    slow = work.take(1, 10)
    assert slow is not None
    slow.batch = 8
    assert taken(work.help(2, {1: 1.0})) == range(9, 10)
    assert taken(work.help(2, {1: 1.0})) == range(8, 9)
    assert work.help(2, {1: 1.0}) is None


@pytest.mark.parametrize(
    ("rates", "helps"), [({2: 2.0}, True), ({1: 1.0, 2: 2.0}, True), ({1: 1.0, 2: 1.1}, False), ({}, False)]
)
def test_the_last_piece_is_fetched_twice_if_that_is_sooner(rates: dict[int, float], *, helps: bool) -> None:
    work = Work(1)
    owner = work.take(1, 1)
    double = work.help(2, rates)
    assert (double is not None) is helps
    if double is not None:
        assert owner is not None
        assert work.help(3, {3: 99.0}) is None  # not by a third one
        fetch(work, double)
        assert work.missing == 0
        assert work.next_piece(owner) is None


@pytest.mark.parametrize("who_fails", ["owner", "double"])
def test_a_double_that_fails_leaves_the_piece_to_the_other(who_fails: str) -> None:
    work = Work(1)
    owner = work.take(1, 1)
    double = work.help(2, {2: 9.0})
    assert owner is not None
    assert double is not None
    loser, winner = (owner, double) if who_fails == "owner" else (double, owner)
    work.give_back(loser)
    assert work.take(3, 1) is None  # the other one is at it
    assert work.next_piece(winner) == 0
    work.give_back(winner)
    assert taken(work.take(3, 1)) == range(1)


def test_a_piece_that_failed_and_is_doubled_again_is_not_tripled() -> None:
    work = Work(2)
    first, helper = work.take(1, 1), work.help(2, {2: 9.0})
    assert first is not None
    assert helper is not None
    fetch(work, helper, right=False)  # it stands behind the piece now, where the next run begins
    second = work.take(3, 1)
    assert taken(work.help(4, {4: 9.0})) == range(1)
    work.give_back(helper)
    for lane in range(5, 9):
        work.help(lane, {lane: 9.0})
    at = [run.at for run in work._runs.values()]  # pyright: ignore[reportPrivateUsage]
    assert second is not None
    assert sorted(at) == [0, 0, 1, 1]


# --- everything together ---------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 1 << 30), st.booleans())
def test_whatever_lanes_do_everything_comes(pieces: int, lanes: int, seed: int, from_end: bool) -> None:  # noqa: FBT001
    """Lanes fetch, fail, send wrong pieces and are helped, while peers bring some: at the end nothing is missing."""
    rng = Random(seed)
    work = Work(pieces, from_end=from_end)
    runs: dict[int, Run | None] = dict.fromkeys(range(lanes))
    fetched = 0
    for step in range(100 * pieces + 100):
        if not work.missing:
            break
        lane = rng.randrange(lanes)
        run = runs[lane]
        if run is None:
            rates = {other: rng.uniform(0.1, 10) for other in range(lanes)}
            runs[lane] = work.take(lane, rng.randint(1, 8)) or work.help(lane, rates)
            continue
        if (rng.random() < 0.1 and step < 50 * pieces) or work.next_piece(run) is None:
            work.give_back(run)
            runs[lane] = None
        else:
            fetch(work, run, right=rng.random() > 0.1)
            fetched += 1
        if rng.random() < 0.05:
            work.add(rng.randrange(pieces))
        held = [index for each in runs.values() if each is not None for index in range(each.at, each.end)]
        assert all(held.count(index) <= 2 for index in held)
    assert work.missing == 0
    assert work.taken == frozenset()


# --- how much at once ------------------------------------------------------------------------------------


def pieces_at_once(**changes: float | None) -> int:
    usual = {
        "rate_bytes_per_s": None,
        "missing_bytes": 1e9,
        "lanes": 4,
        "piece_length": 1e6,
        "range_s": 3.0,
        "first_bytes": 2e6,
    }
    return run_pieces(**{**usual, **changes})  # type: ignore[arg-type]


def test_a_range_takes_a_few_seconds() -> None:
    assert pieces_at_once() == 2  # before anything is known
    assert pieces_at_once(rate_bytes_per_s=5e6) == 15
    assert pieces_at_once(rate_bytes_per_s=1.0) == 1
    assert pieces_at_once(rate_bytes_per_s=1e12) == 67  # 64 MiB


def test_towards_the_end_ranges_shrink() -> None:
    assert pieces_at_once(rate_bytes_per_s=1e9, missing_bytes=80e6) == 10
    assert pieces_at_once(rate_bytes_per_s=1e9, missing_bytes=1e6) == 1
    assert pieces_at_once(rate_bytes_per_s=1e9, missing_bytes=1e6, piece_length=16_384) == 16  # 256 KiB at least
