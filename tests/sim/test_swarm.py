"""Swarms of the model: who gets what from whom, and what faults do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ossdist.config import MirrorConfig, TransferConfig
from ossdist.mirrors.sites import Site
from ossdist.sim.crowd.behaviour import Altruist, Behaviour, FreeRider, LeavesAtCompletion, Natted, Poisoner, SeedBox
from ossdist.sim.crowd.discovery import Discovery
from ossdist.sim.crowd.exchange import Physics
from ossdist.sim.crowd.swarm import CrowdSwarm, Rules
from ossdist.sim.crowd.topology import Access, Builder, Place, Topology, campus, star

RATE = 1_000_000.0
LINE = Access(RATE, RATE)
LENGTH = 10_000_000
PIECE = 65_536
RULES = Rules(physics=Physics(payload_share=1.0))
MIRROR = "https://mirror.example/"
AT_ONCE = MirrorConfig(head_start_s=0.0)


def new_swarm(topology: Topology | None = None, *, rules: Rules = RULES, seed: int = 1) -> CrowdSwarm:
    return CrowdSwarm(topology or star(), length=LENGTH, piece_length=PIECE, rules=rules, seed=seed, room=2)


def took(swarm: CrowdSwarm) -> list[float]:
    """How long those took who came, in order; all must have got everything."""
    outcomes = swarm.outcomes()
    assert all(found.completed_s is not None for found in outcomes)
    return [(found.completed_s or 0) - found.arrived_s for found in outcomes]


def sent(swarm: CrowdSwarm, number: int) -> float:
    """What a peer has sent, in copies."""
    return swarm.exchange.sent[number] / LENGTH


# --- speed -----------------------------------------------------------------------------------------------


def test_one_download_takes_as_long_as_its_bytes_over_the_line() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    swarm.add_host(0, LINE, Behaviour(), arrives_s=5.0)
    swarm.run(1000)
    assert took(swarm) == pytest.approx([LENGTH / RATE], rel=0.03)
    assert sent(swarm, 0) == pytest.approx(1.0, rel=0.01)
    assert (swarm.open, swarm.completed) == (0, 1)


def test_everybodys_uplink_counts() -> None:
    """Ten who begin at once are not ten times slower: they send each other what the seed has sent once."""
    swarm = new_swarm()
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    for _ in range(10):
        swarm.add_host(0, LINE, Behaviour())
    swarm.run(1000)
    assert max(took(swarm)) < 1.4 * LENGTH / RATE
    assert sent(swarm, 0) < 1.4


def test_a_narrow_uplink_is_what_holds_a_crowd_back() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    for _ in range(4):
        swarm.add_host(0, Access(RATE / 100, RATE), Behaviour())
    swarm.run(1000)
    assert min(took(swarm)) > 3.8 * LENGTH / RATE  # four copies from one line


def test_a_connection_takes_no_more_than_its_window_a_round_trip() -> None:
    rules = replace(RULES, physics=Physics(payload_share=1.0, window_bytes=50_000))
    swarm = new_swarm(star(delay_s=0.1), rules=rules)
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    swarm.add_host(0, LINE, Behaviour())
    swarm.run(1000)
    assert took(swarm) == pytest.approx([LENGTH / (50_000 / 0.2)], rel=0.05)


def test_a_shared_line_is_shared() -> None:
    swarm = new_swarm(campus(uplink_bps=RATE))
    swarm.add_host(0, Access(10 * RATE, 10 * RATE), SeedBox(), has_all=True)
    for _ in range(4):
        swarm.add_host(1, LINE, FreeRider())  # nobody helps
    swarm.run(1000)
    assert max(took(swarm)) == pytest.approx(4 * LENGTH / RATE, rel=0.05)


# --- who meets whom --------------------------------------------------------------------------------------


def test_without_a_tracker_nobody_is_found_and_policy_gives_up() -> None:
    rules = replace(
        RULES, discovery=Discovery(tracker=False, pex=False), transfer=TransferConfig(exhausted_after_s=30.0)
    )
    swarm = new_swarm(rules=rules)
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    swarm.add_host(0, LINE, Behaviour(), arrives_s=10.0)
    swarm.run(1000)
    (outcome,) = swarm.outcomes()
    assert outcome.completed_s is None
    assert outcome.gave_up_s == pytest.approx(40.0, abs=1.0)
    assert swarm.open == 0


def test_neighbours_tell_of_their_neighbours() -> None:
    """The tracker names one peer at a time; who is beyond is found by peer exchange alone."""
    rules = replace(RULES, discovery=Discovery(answer=1, interval_s=1e6, pex_s=1.0))
    with_pex = new_swarm(rules=rules)
    without = new_swarm(rules=replace(rules, discovery=replace(rules.discovery, pex=False)))
    for swarm in (with_pex, without):
        swarm.add_host(0, LINE, Altruist(), has_all=True)
        for number in range(8):
            swarm.add_host(0, LINE, Altruist(), arrives_s=number * 0.01)
        swarm.run(5.0)
    assert sum(len(peer.neighbours) for peer in with_pex.peers) > 1.5 * sum(
        len(peer.neighbours) for peer in without.peers
    )


def test_two_behind_translators_cannot_meet_and_both_reach_the_seed() -> None:
    swarm = new_swarm(star([Place("open"), Place("home"), Place("other home")]))
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    for place in (1, 2):
        swarm.add_host(place, LINE, Natted())
    swarm.run(1000)
    assert sent(swarm, 0) == pytest.approx(2.0, rel=0.02)
    assert len(took(swarm)) == 2


def test_a_firewall_leaves_the_mirror() -> None:
    swarm = new_swarm(star([Place("open"), Place("office", blocks_peers=True)]))
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    swarm.add_host(1, LINE, Behaviour())
    mirror = swarm.add_mirror(Site(url=MIRROR), 0, LINE, Altruist())
    swarm.run(1000)
    assert sent(swarm, mirror.peer.number) == pytest.approx(1.0, rel=0.01)
    assert sent(swarm, 0) == 0
    assert took(swarm) == pytest.approx([LENGTH / RATE + 1.0], rel=0.03)  # it is asked after the peers' head start


# --- mirrors ---------------------------------------------------------------------------------------------


def test_a_mirror_and_a_seed_add_up() -> None:
    swarm = new_swarm(rules=replace(RULES, mirrors=AT_ONCE))
    swarm.add_host(0, Access(RATE / 2, RATE), Altruist(), has_all=True)
    swarm.add_host(0, LINE, Behaviour())
    swarm.add_mirror(Site(url=MIRROR), 0, Access(RATE / 2, RATE), Altruist())
    swarm.run(1000)
    assert took(swarm) == pytest.approx([LENGTH / RATE], rel=0.05)


def test_a_mirror_that_goes_down_is_asked_again_as_production_does() -> None:
    """After a second, then after two more, and so on (`ossdist.mirrors.health`)."""
    swarm = new_swarm(rules=replace(RULES, transfer=TransferConfig(poll_s=0.1), mirrors=AT_ONCE))
    swarm.add_host(0, LINE, Behaviour())
    mirror = swarm.add_mirror(Site(url=MIRROR), 0, LINE, Altruist())
    swarm.run(3.0)
    swarm.set_mirror(MIRROR, up=False)
    swarm.run(4.5)  # it was asked again after a second, and was down
    swarm.set_mirror(MIRROR, up=True)
    swarm.run(5.9)
    before = sent(swarm, mirror.peer.number)
    assert not mirror.peer.serving
    swarm.run(1000)
    assert before < 0.4
    assert took(swarm) == pytest.approx([LENGTH / RATE + 3.0], abs=0.5)


def test_a_mirror_that_gives_wrong_data_is_not_asked_again() -> None:
    swarm = new_swarm()
    swarm.add_host(0, Access(RATE / 10, RATE), Altruist(), has_all=True)
    swarm.add_host(0, LINE, Behaviour())
    mirror = swarm.add_mirror(Site(url=MIRROR), 0, LINE, replace(Altruist(), poison=1.0))
    swarm.run(1000)
    assert PIECE <= swarm.exchange.wasted[1] <= 2 * PIECE
    assert sent(swarm, mirror.peer.number) < 0.05
    assert took(swarm) == pytest.approx([10 * LENGTH / RATE], rel=0.05)


@pytest.mark.parametrize("mirror", [True, False])
def test_pieces_of_sources_that_leave_are_asked_of_who_had_nothing_to_do(*, mirror: bool) -> None:
    """Two slow seeds are asked for the only piece; the third source comes later, and finds nothing left to give."""
    topology = Builder()
    near, far = topology.place(Place("near")), topology.place(Place("far"))
    topology.link(near, far, delay_s=1.0)
    swarm = CrowdSwarm(topology.build(), length=PIECE, piece_length=PIECE, rules=RULES, seed=1)
    for _ in range(2):
        swarm.add_host(0, Access(1000.0, RATE), Altruist(), has_all=True)
    if mirror:
        swarm.add_mirror(Site(url=MIRROR), 1, LINE, Altruist())
    else:
        swarm.add_host(1, LINE, Altruist(), has_all=True)
    swarm.add_host(0, LINE, Behaviour())
    swarm.run(20.0)
    assert swarm.completed == 0
    for number in range(2):
        swarm.leave(swarm.peers[number])
    swarm.run(50.0)
    assert swarm.completed == 1


# --- cheats ----------------------------------------------------------------------------------------------


def test_a_poisoner_is_banned_by_everybody_after_one_piece() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    for _ in range(5):
        swarm.add_host(0, LINE, Behaviour())
    swarm.add_host(0, LINE, Poisoner())
    swarm.run(1000)
    assert len(took(swarm)) == 5  # the poisoner wants nothing
    poisoner = swarm.peers[6]
    assert all(6 in peer.bans for peer in swarm.peers[1:6] if swarm.exchange.wasted[peer.number])
    assert sum(swarm.exchange.wasted) >= PIECE
    assert swarm.exchange.sent[6] <= 5 * PIECE
    assert not poisoner.neighbours or not any(swarm.pieces.missing[number] for number in poisoner.neighbours)


def test_what_was_asked_of_a_banned_peer_is_asked_of_others() -> None:
    """Requests that stood behind the wrong piece must not stay asked for for ever."""
    swarm = new_swarm()
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    for _ in range(10):
        swarm.add_host(0, LINE, Behaviour())
    for _ in range(30):
        swarm.add_host(0, LINE, replace(Poisoner(), poison=0.1))
    swarm.run(1000)
    assert swarm.completed == 10


def test_wasted_bytes_are_not_counted_as_got() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, Altruist(), has_all=True)
    for _ in range(6):
        swarm.add_host(0, LINE, LeavesAtCompletion())
    swarm.add_host(0, LINE, Poisoner())
    swarm.run(1000)
    assert [swarm.exchange.got[number] for number in range(1, 7)] == [LENGTH] * 6
    assert sum(swarm.exchange.sent) == pytest.approx(sum(swarm.exchange.got) + sum(swarm.exchange.wasted))


# --- the same again --------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_run_and_another_one_is_not() -> None:
    def trace(seed: int) -> str:
        swarm = new_swarm(seed=seed)
        swarm.add_host(0, LINE, Altruist(), has_all=True)
        for number in range(12):
            swarm.add_host(0, LINE, Behaviour(), arrives_s=float(number))
        swarm.run(1000)
        return swarm.trace.hexdigest()

    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


@pytest.mark.parametrize("length", [0, -1, PIECE * (1 << 20) + 1])
def test_a_release_of_no_size_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="pieces"):
        CrowdSwarm(star(), length=length, piece_length=PIECE, rules=RULES, seed=1)
