"""A thousand clients without peers over eight mirrors of different size: production's choice spreads them."""

from __future__ import annotations

import statistics

import pytest

from ossdist.config import TransferConfig
from ossdist.mirrors.sites import Site
from ossdist.sim.crowd.behaviour import Altruist, FreeRider
from ossdist.sim.crowd.exchange import Physics
from ossdist.sim.crowd.swarm import CrowdSwarm, Rules
from ossdist.sim.crowd.topology import Access, Place, star

MB = 1e6
SIZES = (1, 2, 4, 8, 1, 2, 4, 8)
CAPACITY = 5 * MB
CLIENTS, LENGTH, PIECE = 1000, 20_000_000, 1_000_000


def url(number: int) -> str:
    return f"https://m{number}.example/"


@pytest.fixture(scope="module")
def swarm() -> CrowdSwarm:
    """Clients come within a minute, and would take more than twice that from all mirrors together."""
    rules = Rules(physics=Physics(payload_share=1.0, step_s=0.1), transfer=TransferConfig(poll_s=1.0))
    places = star([Place("net"), Place("office", blocks_peers=True)])
    made = CrowdSwarm(places, length=LENGTH, piece_length=PIECE, rules=rules, seed=1, room=CLIENTS + 8)
    for number, size in enumerate(SIZES):
        line = Access(size * CAPACITY, size * CAPACITY)
        made.add_mirror(Site(url=url(number), weight=100.0 * size), 0, line, Altruist())
    for number in range(CLIENTS):
        made.add_host(1, Access(MB, 10 * MB), FreeRider(), arrives_s=number * 60 / CLIENTS)
    return made


def given(swarm: CrowdSwarm) -> list[float]:
    """What each mirror has sent, pieces under way counted."""
    return [
        swarm.exchange.sent[number]
        + sum(swarm.exchange.moved_from(swarm.peers[peer], [number]) for peer in swarm.peers[number].serving)
        for number in range(len(SIZES))
    ]


def test_the_spread_is_that_of_the_weights_and_nobody_starves(swarm: CrowdSwarm) -> None:
    """And when a mirror dies, the others carry everything within five seconds."""
    swarm.run(70.0)
    before = given(swarm)
    for number, size in enumerate(SIZES):
        assert before[number] / sum(before) == pytest.approx(size / sum(SIZES), rel=0.15)

    swarm.set_mirror(url(3), up=False)
    swarm.run(75.0)
    at_five = given(swarm)
    swarm.run(95.0)
    rate = (sum(given(swarm)) - sum(at_five)) / 20.0
    left = (sum(SIZES) - SIZES[3]) * CAPACITY
    assert rate == pytest.approx(left, rel=0.05)
    assert given(swarm)[3] == at_five[3]

    swarm.run(1000.0)
    outcomes = swarm.outcomes()
    took = [found.completed_s - found.arrived_s for found in outcomes if found.completed_s is not None]
    assert len(took) == CLIENTS
    assert max(took) < 2.5 * statistics.median(took)
