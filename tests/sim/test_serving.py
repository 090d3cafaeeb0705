"""A peer's places: given anew in rounds, and kept between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from ossdist.sim.crowd.behaviour import Altruist, Behaviour, FreeRider
from ossdist.sim.crowd.choking import Choking
from ossdist.sim.crowd.exchange import Physics
from ossdist.sim.crowd.swarm import CrowdSwarm, Rules
from ossdist.sim.crowd.topology import Access, star

RATE = 1_000_000.0
PIECE = 1_000_000
FAST = Access(100 * RATE, 100 * RATE)
RULES = Rules(physics=Physics(payload_share=1.0), choking=Choking(interval_s=3.0, optimistic_s=1e9))


@dataclass(frozen=True)
class Favourite:
    """Serves one peer before all others."""

    peer: int

    def tier(self, source: int, peer: int) -> int:
        return int(peer == self.peer)


def crowd(slots: int, downloaders: int, *, rules: Rules = RULES) -> CrowdSwarm:
    """A slow seed, number 0, with so many places, and downloaders who send nothing."""
    swarm = CrowdSwarm(star(), length=100 * PIECE, piece_length=PIECE, rules=rules, seed=1)
    swarm.add_host(0, Access(RATE, RATE), replace(Altruist(), slots=slots), has_all=True)
    for _ in range(downloaders):
        swarm.add_host(0, FAST, FreeRider())
    return swarm


def test_between_two_rounds_everybody_keeps_its_place() -> None:
    swarm = crowd(2, 5)
    swarm.run(2.0)
    seed = swarm.peers[0]
    before = set(seed.serving)
    favourite = next(number for number in range(1, 6) if number not in before)
    swarm.serving.priority = Favourite(favourite)
    swarm.serving.fill_places(seed)
    assert set(seed.serving) == before
    assert not seed.dropped
    assert len(before) == 2


def test_a_free_place_is_given_at_once_to_who_is_first() -> None:
    swarm = crowd(2, 5)
    swarm.run(2.0)
    seed = swarm.peers[0]
    kept, leaver = seed.serving
    favourite = next(number for number in range(1, 6) if number not in seed.serving)
    swarm.serving.priority = Favourite(favourite)
    swarm.exchange.stop(seed, swarm.peers[leaver])
    swarm.serving.fill_places(seed)
    assert set(seed.serving) == {kept, favourite}


def test_a_round_gives_them_to_who_is_first_and_lets_pieces_under_way_end() -> None:
    swarm = crowd(2, 5)
    swarm.run(2.0)
    seed = swarm.peers[0]
    before = set(seed.serving)
    favourite = next(number for number in range(1, 6) if number not in before)
    swarm.serving.priority = Favourite(favourite)
    swarm.serving.choke_round(seed)
    assert favourite in seed.serving
    assert before < set(seed.serving)
    assert seed.dropped
    assert seed.dropped <= before


def test_who_is_complete_serves_in_turn() -> None:
    """A place goes to the next one after its quota."""
    swarm = crowd(2, 4, rules=replace(RULES, choking=replace(RULES.choking, quota_pieces=2)))
    swarm.run(60.0)
    assert all(swarm.exchange.got[number] >= 2 * PIECE for number in range(1, 5))


def test_tit_for_tat_sees_who_sends_although_no_piece_ends_in_a_round() -> None:
    """Pieces of 8 s, rounds of 3 s: of six neighbours two send, and they have the regular places."""
    swarm = CrowdSwarm(star(), length=100 * 8 * PIECE, piece_length=8 * PIECE, rules=RULES, seed=1)
    swarm.add_host(0, Access(RATE, FAST.down_bps), Behaviour(slots=3))
    for number in range(6):
        up = Access(RATE, FAST.down_bps)
        swarm.add_host(0, up, replace(Altruist(), slots=8 if number < 2 else 0))
    swarm.run(0.5)
    peer = swarm.peers[0]
    for number in range(7):  # each has something that no other one has
        for piece in range(number * 10, number * 10 + 10):
            swarm.pieces.got(number, piece, swarm.peers[number].neighbour_array())
    swarm.run(7.0)
    assert all(not swarm.exchange.got[number] for number in range(7))
    assert {1, 2} <= set(peer.serving) - peer.dropped - peer.optimistic


@pytest.mark.parametrize("slots", [0, 1, 3])
def test_no_more_are_served_than_there_are_places(slots: int) -> None:
    swarm = crowd(slots, 8)
    for at_s in range(1, 40):
        swarm.run(float(at_s))
        seed = swarm.peers[0]
        assert len(set(seed.serving) - seed.dropped) <= slots
