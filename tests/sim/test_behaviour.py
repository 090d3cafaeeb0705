"""What each kind of host does with its client."""

from __future__ import annotations

import pytest

from ossdist.config import TransferConfig
from ossdist.sim.crowd.behaviour import (
    PROFILES,
    Altruist,
    Behaviour,
    CappedMobile,
    Flaky,
    FreeRider,
    LeavesAtCompletion,
    SlowUplink,
    SybilGroup,
    Whitewasher,
    profile_of,
)
from ossdist.sim.crowd.exchange import Physics
from ossdist.sim.crowd.swarm import CrowdSwarm, Rules
from ossdist.sim.crowd.topology import Access, star

RATE = 1_000_000.0
LINE = Access(RATE, RATE)
LENGTH = 5_000_000
PIECE = 65_536


def new_swarm(*, seeds: int = 1) -> CrowdSwarm:
    swarm = CrowdSwarm(
        star(), length=LENGTH, piece_length=PIECE, rules=Rules(physics=Physics(payload_share=1.0)), seed=1
    )
    for _ in range(seeds):
        swarm.add_host(0, LINE, Altruist(), has_all=True)
    return swarm


def keep_going(swarm: CrowdSwarm, until_s: float) -> None:
    """Goes on although everybody has everything."""
    swarm.env.run(until_s)


def test_profiles_have_their_names() -> None:
    assert {profile_of(kind()) for kind in PROFILES.values()} == set(PROFILES)

    class Other(Behaviour):
        pass

    assert profile_of(Other()) == "Other"


@pytest.mark.parametrize(
    ("behaviour", "stays_s"),
    [(Behaviour(seeds_for_s=20.0), 20.0), (LeavesAtCompletion(), 0.0), (FreeRider(), 0.0), (Altruist(), float("inf"))],
)
def test_how_long_it_shares_afterwards(behaviour: Behaviour, stays_s: float) -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, behaviour)
    swarm.run(1000)
    done_s = swarm.env.now
    peer = swarm.peers[1]
    keep_going(swarm, done_s + (min(stays_s, 100.0) - 0.5 if stays_s else 0.1))
    assert peer.online == bool(stays_s)
    keep_going(swarm, done_s + 200.0)
    assert peer.online == (stays_s == float("inf"))


def test_a_free_rider_sends_nothing() -> None:
    swarm = new_swarm()
    for _ in range(4):
        swarm.add_host(0, LINE, FreeRider())
    swarm.run(1000)
    assert swarm.completed == 4
    assert swarm.exchange.sent[1:] == [0.0] * 4


def test_a_slow_uplink_sends_its_twentieth() -> None:
    swarm = new_swarm()
    for _ in range(3):
        swarm.add_host(0, LINE, SlowUplink())
    swarm.run(1000)
    seconds = swarm.env.now
    assert all(0 < sent <= RATE / 20 * seconds * 1.01 for sent in swarm.exchange.sent[1:])


def test_a_mobile_leaves_when_its_cap_is_reached() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, CappedMobile(cap_bytes=1_000_000.0, seeds_for_s=1000.0))
    swarm.run(1000)
    assert swarm.peers[1].online
    swarm.add_host(0, LINE, Behaviour(), arrives_s=1.0)
    keep_going(swarm, swarm.env.now + 30)
    assert not swarm.peers[1].online
    assert 1_000_000 <= swarm.exchange.sent[1] < LENGTH


def test_a_flaky_one_comes_back_with_what_it_had() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, Flaky(up_s=1.0, down_s=2.0))
    swarm.run(1000)
    peer = swarm.peers[1]
    assert swarm.completed == 1
    assert peer.visits > 1
    assert swarm.exchange.got[1] == LENGTH  # nothing twice
    assert swarm.env.now > LENGTH / RATE * 1.3


def test_a_flaky_one_that_has_given_up_is_counted_once() -> None:
    swarm = CrowdSwarm(
        star(),
        length=LENGTH,
        piece_length=PIECE,
        rules=Rules(transfer=TransferConfig(exhausted_after_s=30.0)),
        seed=1,
    )
    for _ in range(3):
        swarm.add_host(0, LINE, Flaky(up_s=200.0, down_s=2.0))
    swarm.add_host(0, LINE, Altruist(), arrives_s=300.0, has_all=True)
    swarm.add_host(0, LINE, Behaviour(), arrives_s=290.0)
    swarm.run(2000)
    outcomes = swarm.outcomes()
    assert swarm.open == 0
    assert all((found.completed_s is None) != (found.gave_up_s is None) for found in outcomes)
    assert outcomes[-1].completed_s is not None


def test_a_whitewasher_comes_back_under_new_names() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, Whitewasher(poison=1.0, pause_s=1.0))
    for number in range(6):
        swarm.add_host(0, Access(RATE / 5, RATE / 5), Behaviour(), arrives_s=number)
    swarm.run(1000)
    assert swarm.completed == 6
    assert len(swarm.peers) > 8  # more names than hosts
    names = [peer for peer in swarm.peers if isinstance(peer.behaviour, Whitewasher)]
    assert len({peer.host for peer in names}) == 1
    assert all(swarm.pieces.missing[peer.number] == 0 for peer in names)
    assert sum(swarm.exchange.wasted) >= PIECE * (len(names) - 1)


def test_a_whitewasher_runs_out_of_names() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, Whitewasher(poison=1.0, pause_s=0.1, names=2))
    for number in range(6):
        swarm.add_host(0, Access(RATE / 5, RATE / 5), Behaviour(), arrives_s=number)
    swarm.run(1000)
    names = [peer for peer in swarm.peers if isinstance(peer.behaviour, Whitewasher)]
    assert len(names) == 2
    assert not any(peer.online for peer in names)


def test_a_sybil_group_is_many_peers_on_one_line_and_does_not_talk_to_itself() -> None:
    swarm = new_swarm()
    swarm.add_host(0, LINE, SybilGroup(identities=5))
    swarm.run(1000)
    group = swarm.peers[1:]
    assert len(group) == 5
    assert len({peer.host for peer in group}) == 1
    assert all(set(peer.neighbours) <= {0} for peer in group)
    assert swarm.env.now == pytest.approx(5 * LENGTH / RATE, rel=0.05)  # one line
