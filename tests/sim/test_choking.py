"""Whom a peer serves."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ossdist.sim.crowd.choking import Choking, choose, optimistic_slots

CHOKING = Choking()


@given(
    st.lists(st.integers(0, 30), max_size=20, unique=True),
    st.integers(0, 12),
    st.dictionaries(st.integers(0, 30), st.floats(0, 100)),
    st.sets(st.integers(0, 30)),
    st.integers(0, 5),
)
def test_places_are_given_to_whoever_wants_something(
    interested: list[int], slots: int, merit: dict[int, float], keep: set[int], seed: int
) -> None:
    tier = {peer: peer % 3 for peer in interested}
    chosen, lucky = choose(
        interested, slots=slots, tier=tier, merit=merit, keep=keep, rng=Random(seed), choking=CHOKING
    )
    assert len(chosen) == len(set(chosen)) == min(slots, len(interested))
    assert set(chosen) <= set(interested)
    assert lucky <= set(chosen)
    assert len(lucky) <= optimistic_slots(slots, CHOKING)
    regular = [peer for peer in chosen if peer not in lucky]
    rank = {peer: (tier[peer], merit.get(peer, 0.0)) for peer in interested}
    left = [peer for peer in interested if peer not in chosen]
    assert all(rank[peer] >= rank[other] for peer in regular for other in left)


def test_a_class_goes_before_every_merit() -> None:
    chosen, lucky = choose(
        [1, 2, 3],
        slots=2,
        tier={1: 0, 2: 1, 3: 0},
        merit={1: 99.0},
        keep=set(),
        rng=Random(1),
        choking=CHOKING,
    )
    assert chosen[0] == 2
    assert lucky == {chosen[1]}


def test_nobody_starves() -> None:
    """Of the lowest class, everybody is served by chance in time."""
    tier = dict.fromkeys(range(20), 1) | dict.fromkeys(range(20, 40), 0)
    rng, served = Random(3), set[int]()
    for _ in range(300):
        chosen, _lucky = choose(list(tier), slots=8, tier=tier, merit={}, keep=set(), rng=rng, choking=CHOKING)
        served |= set(chosen)
    assert served == set(tier)


def test_who_is_served_by_chance_stays_until_the_next_drawing() -> None:
    tier, rng = dict.fromkeys(range(10), 0), Random(1)
    merit = dict.fromkeys(range(4), 1.0)
    for _ in range(10):
        _, lucky = choose(list(tier), slots=5, tier=tier, merit=merit, keep={7}, rng=rng, choking=CHOKING)
        assert lucky == {7}


def test_no_places_at_all() -> None:
    assert choose([1], slots=0, tier={1: 0}, merit={}, keep=set(), rng=Random(1), choking=CHOKING) == ([], set())
