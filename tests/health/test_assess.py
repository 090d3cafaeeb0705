"""What measurements of a swarm mean."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.health.assess import (
    NOTHING_KNOWN,
    Assessment,
    Condition,
    HealthConfig,
    HealthState,
    Trouble,
    assess,
    step,
)
from ossdist.health.samples import History, SwarmSample
from ossdist.transfer.torrent_events import Ending

CONFIG = HealthConfig()
EMPTY = SwarmSample(at_s=100.0)
CALM = replace(EMPTY, peers=2, giving=2, bytes_from_peers=9_000_000, copies=2.0)
"""Two seeds, who have brought something before the window."""


def over(before: SwarmSample, *, watched_s: float = 30.0, **now: object) -> Assessment:
    """Three seconds after which some things are different."""
    last = replace(before, at_s=before.at_s + 3.0, **now)  # type: ignore[arg-type]
    return assess((before, last), watched_s, CONFIG)


def dials(**counts: int) -> dict[Ending, int]:
    return {Ending[name.upper()]: count for name, count in counts.items()}


# --- one look --------------------------------------------------------------------------------------------

SITUATIONS: dict[str, tuple[Assessment, Condition, set[Trouble]]] = {
    "peers bring much": (over(CALM, bytes_from_peers=12_000_000), Condition.GOOD, set()),
    "peers bring much after all": (over(EMPTY, peers=1, bytes_from_peers=900_000), Condition.GOOD, set()),
    "some attempts fail, others bring much": (
        over(CALM, bytes_from_peers=12_000_000, endings=dials(timed_out=9)),
        Condition.GOOD,
        set(),
    ),
    "fresh, with a peer": (
        assess((EMPTY, replace(CALM, at_s=101.5, bytes_from_peers=20_000)), 1.5, CONFIG),
        Condition.UNKNOWN,
        set(),
    ),
    "nobody is found": (over(EMPTY), Condition.UNKNOWN, set()),
    "nobody is found, as no tracker answers": (over(EMPTY, trackers_bad=2), Condition.BLOCKED, {Trouble.TRACKERS}),
    "one tracker of two answers": (over(EMPTY, trackers_bad=1, trackers_good=1), Condition.UNKNOWN, set()),
    "the DHT is out of reach": (over(EMPTY, dht_nodes=0), Condition.BLOCKED, {Trouble.DHT}),
    "the DHT is being joined": (over(EMPTY, dht_nodes=0, watched_s=5.0), Condition.UNKNOWN, set()),
    "the DHT is out of reach, and peers are there": (
        over(replace(CALM, dht_nodes=0)),
        Condition.DEGRADED,
        {Trouble.SILENT},
    ),
    "attempts are not answered": (over(EMPTY, endings=dials(timed_out=3)), Condition.BLOCKED, {Trouble.DROPPED}),
    "attempts were not answered earlier": (
        over(replace(EMPTY, endings=dials(timed_out=3))),
        Condition.BLOCKED,
        {Trouble.DROPPED},
    ),
    "attempts are refused": (over(EMPTY, endings=dials(refused=2)), Condition.BLOCKED, {Trouble.REJECTED}),
    "no handshake": (over(EMPTY, endings=dials(no_handshake=2)), Condition.BLOCKED, {Trouble.FILTERED}),
    "no way": (over(EMPTY, endings=dials(unreachable=4)), Condition.OFFLINE, {Trouble.UNREACHABLE}),
    "now refused, earlier not answered": (
        over(replace(EMPTY, endings=dials(timed_out=8)), endings=dials(timed_out=8, refused=2)),
        Condition.BLOCKED,
        {Trouble.REJECTED},
    ),
    "ended in good order": (over(EMPTY, endings=dials(other=5, reset=2)), Condition.UNKNOWN, set()),
    "peers choke": (over(replace(CALM, giving=0)), Condition.DEGRADED, {Trouble.CHOKED}),
    "peers are silent": (over(CALM), Condition.DEGRADED, {Trouble.SILENT}),
    "peers trickle": (over(CALM, bytes_from_peers=9_030_000), Condition.DEGRADED, {Trouble.TRICKLE}),
    "the last pieces are missing": (
        over(replace(CALM, copies=0.99)),
        Condition.DEGRADED,
        {Trouble.SILENT, Trouble.INCOMPLETE},
    ),
    "peers send wrong data": (
        over(CALM, bytes_from_peers=12_000_000, failed_bytes=2_000_000),
        Condition.DEGRADED,
        {Trouble.POISONED},
    ),
    "peers are banned": (over(EMPTY, banned=2), Condition.DEGRADED, {Trouble.POISONED}),
    "a piece is wrong": (over(CALM, bytes_from_peers=12_000_000, failed_bytes=20_000), Condition.GOOD, set()),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_situation_has_its_name(situation: str) -> None:
    found, condition, troubles = SITUATIONS[situation]
    assert (found.condition, set(found.troubles)) == (condition, troubles)
    assert all(finding.evidence and 0 < finding.confidence <= 1 for finding in found.findings)


def test_without_a_sample_nothing_is_known() -> None:
    assert assess((), 0.0, CONFIG) == NOTHING_KNOWN


def test_the_surest_comes_first_and_confidence_grows() -> None:
    few, many = (over(EMPTY, endings=dials(timed_out=count)) for count in (1, 5))
    assert few.findings[0].confidence < many.findings[0].confidence == 1.0
    both = over(EMPTY, endings=dials(timed_out=1), trackers_bad=3)
    assert [finding.trouble for finding in both.findings] == [Trouble.TRACKERS, Trouble.DROPPED]
    assert "1 of 1 connections to peers were not answered" in both.findings[1].evidence


samples = st.builds(
    SwarmSample,
    at_s=st.floats(0, 1e6),
    peers=st.integers(0, 50),
    giving=st.integers(0, 50),
    bytes_from_peers=st.integers(0, 1 << 40),
    failed_bytes=st.integers(0, 1 << 40),
    copies=st.floats(-1, 10),
    endings=st.dictionaries(st.sampled_from(Ending), st.integers(0, 1000)),
    dht_nodes=st.integers(-1, 3),
    trackers_good=st.integers(0, 5),
    trackers_bad=st.integers(0, 5),
)


@given(st.lists(samples, max_size=6).map(lambda found: sorted(found, key=lambda sample: sample.at_s)))
def test_anything_can_be_assessed(window: list[SwarmSample]) -> None:
    found = assess(window, 30.0, CONFIG)
    assert all(finding.evidence for finding in found.findings)
    if found.condition is Condition.GOOD:
        assert found.bytes_per_s >= CONFIG.trickle_bytes_per_s
    if found.condition in {Condition.BLOCKED, Condition.OFFLINE}:
        assert window[-1].peers == 0
        assert found.findings


# --- over time -------------------------------------------------------------------------------------------


def told(conditions: list[Condition], every_s: float = 0.5) -> list[tuple[float, Condition]]:
    """What is told of conditions that are seen one after the other, and when."""
    state, found = HealthState(), list[tuple[float, Condition]]()
    for number, condition in enumerate(conditions):
        state, changed = step(state, Assessment(condition), number * every_s, CONFIG)
        if changed:
            found.append((number * every_s, state.told.condition))
    return found


GOOD, BAD, BLOCKED, UNKNOWN = Condition.GOOD, Condition.DEGRADED, Condition.BLOCKED, Condition.UNKNOWN


def test_what_is_worse_is_told_soon_and_what_is_better_later() -> None:
    assert told([GOOD] * 4 + [BAD] * 4 + [GOOD] * 10) == [(0.5, GOOD), (2.5, BAD), (6.0, GOOD)]


def test_what_lasts_for_a_moment_is_not_told() -> None:
    assert told([GOOD] * 3 + [BAD, GOOD] * 5) == [(0.5, GOOD)]
    assert told([GOOD] * 3 + [BAD] * 3 + [GOOD, BAD] * 10) == [(0.5, GOOD), (2.0, BAD)]


def test_from_one_trouble_into_another() -> None:
    assert told([GOOD] * 3 + [BAD] + [BLOCKED] * 3) == [(0.5, GOOD), (2.5, BLOCKED)]


@given(st.lists(st.sampled_from(Condition), max_size=60))
def test_it_does_not_flap(conditions: list[Condition]) -> None:
    """Between any two changes for the better there are at least two seconds; a steady condition is told in the end."""
    changes = told(conditions)
    ranks = [GOOD, UNKNOWN, BAD, BLOCKED, Condition.OFFLINE]
    for (earlier_s, earlier), (later_s, later) in pairwise(changes):
        better = ranks.index(later) < ranks.index(earlier) and earlier is not UNKNOWN
        assert later_s - earlier_s >= (CONFIG.better_s if better else CONFIG.worse_s)
    if conditions:
        assert (told(conditions + conditions[-1:] * 6) or [(0.0, UNKNOWN)])[-1][1] is conditions[-1]


# --- history ---------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.01, 30), max_size=80), st.floats(0.1, 60))
def test_a_window_begins_just_before_it(steps: list[float], length_s: float) -> None:
    history, now_s, all_times = History(100.0, most=50), 0.0, list[float]()
    for step_s in steps:
        now_s += step_s
        all_times.append(now_s)
        history.add(replace(EMPTY, at_s=now_s))
    found = [sample.at_s for sample in history.window(length_s)]
    kept = [at_s for at_s in all_times[-50:] if at_s >= now_s - 100.0]
    assert found == kept[len(kept) - len(found) :]
    if found:
        assert all(at_s > now_s - length_s for at_s in found[1:])
        assert found[0] <= now_s - length_s or found == kept
