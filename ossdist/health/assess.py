"""What measurements of a swarm mean: is it well, is something in the way, and what. Pure.

A fresh transfer knows nothing, and says so. A change is told when it has lasted a while: longer if it is for the
better, so that it does not flap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from ossdist.transfer.torrent_events import Ending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ossdist.health.samples import SwarmSample


class Condition(Enum):
    """How well a swarm serves us."""

    UNKNOWN = "unknown"
    """Nothing has been seen yet that would tell."""
    GOOD = "good"
    DEGRADED = "degraded"
    """Peers are there, and give little, nothing or what is wrong."""
    BLOCKED = "blocked"
    """Peers are known, and cannot be spoken to."""
    OFFLINE = "offline"
    """Nobody can be reached at all."""


class Trouble(Enum):
    """What is in the way."""

    TRACKERS = "trackers"
    """No tracker answers."""
    DHT = "dht"
    """No node of the DHT answers."""
    DROPPED = "dropped"
    """Connections to peers are not answered."""
    REJECTED = "rejected"
    """Connections to peers are refused."""
    FILTERED = "filtered"
    """Connections come about, and end before the handshake: somebody looks at what is said, or these are no peers."""
    UNREACHABLE = "unreachable"
    """The system knows no way to them."""
    CHOKED = "choked"
    """Peers give us no leave to ask."""
    SILENT = "silent"
    """Peers give us leave, and no answer."""
    TRICKLE = "trickle"
    """Peers give next to nothing."""
    POISONED = "poisoned"
    """Much of what peers give is wrong."""
    INCOMPLETE = "incomplete"
    """Connected peers together have not everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthConfig:
    """When something counts as what.

    Attributes:
        window_s: Over how long is looked. Shorter than the fall-back promises (4 s), longer than a pause of TCP.
        trickle_bytes_per_s: Peers who bring less trickle: a package of 100 MB would take half an hour.
        dht_s: Without a node for so long the DHT is out of reach; joining it takes a few seconds.
        most: Such a part of attempts or bytes counts as all.
        worse_s: A change for the worse is told when it has lasted so long.
        better_s: And one for the better.
    """

    window_s: float = 3.0
    trickle_bytes_per_s: float = 50_000.0
    dht_s: float = 15.0
    most: float = 0.5
    worse_s: float = 0.5
    better_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is in the way.

    Attributes:
        trouble: What.
        evidence: What was seen, in words.
        confidence: 0 to 1: grows with what was seen.
    """

    trouble: Trouble
    evidence: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """How a swarm is.

    Attributes:
        condition: In one word.
        findings: What is in the way, the surest first.
        bytes_per_s: What peers bring.
    """

    condition: Condition
    findings: tuple[Finding, ...] = ()
    bytes_per_s: float = 0.0

    @property
    def troubles(self) -> frozenset[Trouble]:
        """What is in the way, without the evidence."""
        return frozenset(finding.trouble for finding in self.findings)


NOTHING_KNOWN = Assessment(Condition.UNKNOWN)

_RANKS = {
    Condition.GOOD: 0,
    Condition.UNKNOWN: 1,
    Condition.DEGRADED: 2,
    Condition.BLOCKED: 3,
    Condition.OFFLINE: 4,
}

_FULL = 0.6
"""Before so much of a window has been seen, little has come in any case."""

_DIALS = {
    Ending.TIMED_OUT: Trouble.DROPPED,
    Ending.REFUSED: Trouble.REJECTED,
    Ending.NO_HANDSHAKE: Trouble.FILTERED,
    Ending.UNREACHABLE: Trouble.UNREACHABLE,
}
_WORDS = {
    Trouble.DROPPED: "connections to peers were not answered",
    Trouble.REJECTED: "connections to peers were refused",
    Trouble.FILTERED: "connections to peers ended before the handshake did",
    Trouble.UNREACHABLE: "peers could not be reached: the system knows no way to them",
}


def assess(window: Sequence[SwarmSample], watched_s: float, config: HealthConfig) -> Assessment:
    """What the samples of a window mean, without regard to what was said before.

    Args:
        window: As `History.window` gives it.
        watched_s: For how long the swarm has been watched.
        config: When something counts as what.
    """
    if not window:
        return NOTHING_KNOWN
    first, last = window[0], window[-1]
    elapsed_s = max(last.at_s - first.at_s, 1e-3)
    came = last.bytes_from_peers - first.bytes_from_peers
    rate = came / elapsed_s
    full = min(1.0, elapsed_s / config.window_s)
    findings = [*_of_dials(first, last, config), *_of_bytes(window, came, rate, full, config)]
    if last.trackers_bad and not last.trackers_good:
        said = f"{last.trackers_bad} of {last.trackers_bad} trackers gave no answer"
        findings.append(Finding(Trouble.TRACKERS, said, min(1.0, 0.5 + 0.25 * last.trackers_bad)))
    if last.dht_nodes == 0 and not last.peers and watched_s >= config.dht_s:
        findings.append(Finding(Trouble.DHT, f"no node of the DHT answered within {watched_s:.0f} s", 0.5))
    findings.sort(key=lambda finding: -finding.confidence)
    return Assessment(_condition(last, findings, rate, config), tuple(findings), rate)


def _condition(last: SwarmSample, findings: Sequence[Finding], rate: float, config: HealthConfig) -> Condition:
    troubles = {finding.trouble for finding in findings}
    if Trouble.POISONED in troubles:
        return Condition.DEGRADED
    if rate >= config.trickle_bytes_per_s:
        return Condition.GOOD
    if last.peers:
        return Condition.DEGRADED if troubles else Condition.UNKNOWN
    if Trouble.UNREACHABLE in troubles:
        return Condition.OFFLINE
    return Condition.BLOCKED if troubles else Condition.UNKNOWN


def _of_dials(first: SwarmSample, last: SwarmSample, config: HealthConfig) -> list[Finding]:
    """What attempts to connect tell, as long as nobody is connected."""
    # Attempts come in bursts with growing pauses, so those of the whole transfer count when there are no newer ones.
    recent = {kind: last.endings.get(kind, 0) - first.endings.get(kind, 0) for kind in _DIALS}
    counts = recent if any(recent.values()) else {kind: last.endings.get(kind, 0) for kind in _DIALS}
    total = sum(counts.values())
    if last.peers or not total:
        return []
    return [
        Finding(
            trouble, f"{counts[kind]} of {total} {_WORDS[trouble]}", min(1.0, counts[kind] / 3) * counts[kind] / total
        )
        for kind, trouble in _DIALS.items()
        if counts[kind] >= config.most * total
    ]


def _of_bytes(
    window: Sequence[SwarmSample], came: int, rate: float, full: float, config: HealthConfig
) -> list[Finding]:
    """What connected peers bring, over a window that is as full as ``full`` says."""
    first, last = window[0], window[-1]
    failed = max(0, last.failed_bytes - first.failed_bytes)  # another swarm counts from zero
    banned = last.banned - first.banned
    found: list[Finding] = []
    if banned:
        found.append(Finding(Trouble.POISONED, f"{banned} peer(s) banned for wrong data", 1.0))
    elif failed and failed >= config.most * came:
        found.append(Finding(Trouble.POISONED, f"{failed} bytes were wrong while {came} came from peers", 1.0))
    if not last.peers or rate >= config.trickle_bytes_per_s or full < _FULL:
        return found
    over = f"within {last.at_s - first.at_s:.1f} s"
    if not last.giving:
        found.append(Finding(Trouble.CHOKED, f"none of {last.peers} peers lets us ask", full))
    elif came:
        found.append(Finding(Trouble.TRICKLE, f"{came} bytes came {over} from {last.giving} peers", full))
    else:
        found.append(Finding(Trouble.SILENT, f"nothing came {over} from {last.giving} peers that let us ask", full))
    if 0 <= last.copies < 1:
        found.append(Finding(Trouble.INCOMPLETE, f"connected peers have {last.copies:.2f} copies", full))
    return found


# --- over time -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HealthState:
    """What is remembered between two looks.

    Attributes:
        told: The last assessment that was told.
        candidate: Another condition that is being seen, if there is one.
        since_s: Since when.
    """

    told: Assessment = NOTHING_KNOWN
    candidate: Condition | None = None
    since_s: float = 0.0


def step(state: HealthState, seen: Assessment, now_s: float, config: HealthConfig) -> tuple[HealthState, bool]:
    """Looks once.

    Returns:
        What to remember, and whether its condition is another one than before.
    """
    if seen.condition is state.told.condition:
        return HealthState(seen), False
    if state.candidate is not seen.condition:
        state = replace(state, candidate=seen.condition, since_s=now_s)
    worse = _RANKS[seen.condition] > _RANKS[state.told.condition]
    # At first anything is news.
    patience_s = config.worse_s if worse or state.told.condition is Condition.UNKNOWN else config.better_s
    if now_s - state.since_s < patience_s:
        return state, False
    return HealthState(seen), True
