"""Runs a scenario, and says what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from ossdist.config import TransferConfig
from ossdist.mirrors.sites import Site
from ossdist.sim.crowd.behaviour import Altruist
from ossdist.sim.crowd.choking import Choking
from ossdist.sim.crowd.exchange import Physics
from ossdist.sim.crowd.policy import ContributorsFirst
from ossdist.sim.crowd.scenario import MBIT, behaviour_of, topology_of
from ossdist.sim.crowd.swarm import CrowdSwarm, Rules
from ossdist.sim.crowd.topology import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import simpy

    from ossdist.sim.crowd.scenario import MirrorSpec, Scenario
    from ossdist.sim.crowd.swarm import Outcome

_KEEPS_S = 300.0
"""Who shares so long after completion keeps seeding."""

_KEEPS_LOOK_S = 30.0

_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Completion:
    """How long those took who got everything, in seconds from their arrival.

    Attributes:
        p50: Half of them were faster.
        p99: 99 of 100 were.
        p999: 999 of 1000 were.
        last: The slowest.
    """

    p50: float
    p99: float
    p999: float
    last: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scenario.

    Attributes:
        scenario: Its name.
        seed: Of its randomness.
        trace_hash: Of everything that happened.
        came: How many came for the release.
        completed: How many got it.
        gave_up: How many were told by policy to give up.
        completion: Of those who got it; None if nobody did.
        by_profile: The same for each profile.
        keep_seeding: The share of those who got it and still shared five minutes later.
        seed_copies: Bytes from those who had everything from the start, in copies of the release.
        mirror_copies: Bytes from mirrors, in copies of the release.
        wasted: Bytes that came for nothing, as a share of all that came.
        simulated_s: Virtual time at the end.
        outcomes: Of each peer; a host may be several.
    """

    scenario: str
    seed: int
    trace_hash: str
    came: int
    completed: int
    gave_up: int
    completion: Completion | None
    by_profile: dict[str, Completion]
    keep_seeding: float
    seed_copies: float
    mirror_copies: float
    wasted: float
    simulated_s: float
    outcomes: tuple[Outcome, ...]


def run(
    scenario: Scenario, *, seed: int, length: int | None = None, on_progress: Callable[[float, int], None] | None = None
) -> Result:
    """Runs a scenario to its end.

    Args:
        scenario: It, checked.
        seed: Of all randomness: the same one gives the same run.
        length: Bytes that everybody fetches, if it is not the scenario's own length.
        on_progress: Called now and then with the virtual time and how many are complete.
    """
    swarm = build(scenario, seed=seed, length=length or scenario.length)
    kept: set[int] = set()
    swarm.env.process(_count_seeding(swarm, kept))
    ahead_s = _LOOK_S
    while swarm.open and swarm.env.now < scenario.until_s:
        swarm.run(min(ahead_s, scenario.until_s))
        ahead_s += _LOOK_S
        if on_progress is not None:
            on_progress(swarm.env.now, swarm.completed)
    result = _result(scenario, swarm, seed)
    if not swarm.open:  # whoever was complete last is looked at as well
        swarm.env.run(swarm.env.now + _KEEPS_S + _KEEPS_LOOK_S)
    return replace(result, keep_seeding=len(kept) / result.completed if result.completed else 0.0)


def build(scenario: Scenario, *, seed: int, length: int) -> CrowdSwarm:
    """A scenario's swarm, before anything has happened."""
    topology = topology_of(scenario)
    physics = Physics(step_s=scenario.step_s, window_bytes=scenario.window_mb * 1e6)
    rules = Rules(
        physics=physics,
        choking=Choking(interval_s=scenario.choke_s, optimistic_s=2 * scenario.choke_s),
        transfer=TransferConfig(poll_s=scenario.look_s, exhausted_after_s=scenario.exhausted_after_s),
    )
    count = sum(hosts.count for hosts in scenario.hosts)
    swarm = CrowdSwarm(
        topology, length=length, piece_length=scenario.piece_length, rules=rules, seed=seed, room=count + 8
    )
    if scenario.incentives:
        swarm.serving.priority = ContributorsFirst(swarm.exchange.sent, swarm.exchange.got)
    numbers = {place.name: number for number, place in enumerate(topology.places)}
    for spec in scenario.mirrors:
        access = Access(spec.up_mbit * MBIT, spec.up_mbit * MBIT)
        where = numbers[spec.place] if spec.place else 0
        site = Site(url=spec.url, priority=spec.priority, weight=float(spec.weight))
        swarm.add_mirror(site, where, access, replace(Altruist(), poison=spec.wrong))
        swarm.env.process(_break(swarm, spec))
    rng = Random(f"{seed} arrivals")  # noqa: S311 - a simulation
    for hosts in scenario.hosts:
        behaviour = behaviour_of(hosts)
        access = Access(hosts.up_mbit * MBIT, hosts.down_mbit * MBIT)
        places = [numbers[name] for name in hosts.places] or list(range(len(topology.places)))
        for number in range(hosts.count):
            arrives_s = hosts.arrive_s + rng.random() * hosts.over_s
            where = places[number % len(places)]
            swarm.add_host(where, access, behaviour, arrives_s=arrives_s, has_all=hosts.has_all)
    return swarm


def _break(swarm: CrowdSwarm, spec: MirrorSpec) -> Generator[simpy.Event, object, None]:
    for from_s, to_s in spec.down:
        yield swarm.env.timeout(max(0.0, from_s - swarm.env.now))
        swarm.set_mirror(spec.url, up=False)
        yield swarm.env.timeout(to_s - from_s)
        swarm.set_mirror(spec.url, up=True)


def _count_seeding(swarm: CrowdSwarm, kept: set[int]) -> Generator[simpy.Event, object, None]:
    """Looks who still shares after a while."""
    while True:
        yield swarm.env.timeout(_KEEPS_LOOK_S)
        for number, record in swarm.records.items():
            done_s = record.completed_s
            if done_s is not None and swarm.env.now - done_s >= _KEEPS_S and swarm.peers[number].online:
                kept.add(number)


def _result(scenario: Scenario, swarm: CrowdSwarm, seed: int) -> Result:
    outcomes = tuple(swarm.outcomes())
    took: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.completed_s is not None:
            took.setdefault(outcome.profile, []).append(outcome.completed_s - outcome.arrived_s)
    everybody = [seconds for group in took.values() for seconds in group]
    sources = swarm.peers
    exchange = swarm.exchange
    given = sum(sent for sent, peer in zip(exchange.sent, sources, strict=True) if swarm.began_complete(peer))
    mirrored = sum(sent for sent, peer in zip(exchange.sent, sources, strict=True) if peer.is_mirror)
    came_bytes = sum(exchange.got) + sum(exchange.wasted)
    return Result(
        scenario=scenario.name,
        seed=seed,
        trace_hash=swarm.trace.hexdigest(),
        came=len(outcomes),
        completed=len(everybody),
        gave_up=sum(outcome.gave_up_s is not None for outcome in outcomes),
        completion=_completion(everybody),
        by_profile={name: found for name, group in sorted(took.items()) if (found := _completion(group))},
        keep_seeding=0.0,
        seed_copies=given / swarm.length,
        mirror_copies=mirrored / swarm.length,
        wasted=sum(exchange.wasted) / came_bytes if came_bytes else 0.0,
        simulated_s=swarm.env.now,
        outcomes=outcomes,
    )


def _completion(seconds: Sequence[float]) -> Completion | None:
    if not seconds:
        return None
    order = sorted(seconds)

    def at(share: float) -> float:
        return order[min(len(order) - 1, int(len(order) * share))]

    return Completion(at(0.5), at(0.99), at(0.999), order[-1])
