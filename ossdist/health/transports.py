"""Which way of dialling peers gets past what is in the way of the present one. Pure.

As long as nobody is connected and attempts end as a firewall would have them end, one transport after the other is
tried, the one first that has the best chance against what was seen: a filter that reads what is said does not see it
if every byte is obfuscated, and one that drops TCP to unusual ports may let UDP through. A transport over which peers
were reached is kept. If none helps, it is back to the first, and all are tried again later: mirrors give meanwhile, and
nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ossdist.config import Transport
from ossdist.health.assess import Condition, Trouble

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ossdist.health.assess import Assessment


@dataclass(frozen=True, slots=True, kw_only=True)
class DialConfig:
    """When another transport is tried.

    Attributes:
        blocked_s: When nobody could be reached for so long. One peer who is switched off is no firewall, but with
            nobody else to ask nothing is lost by trying.
        proven_s: When nobody can be reached any more over a transport that has worked since the session began: then it
            is the peers who have gone, and they may come back.
        trial_s: A transport has so long to reach somebody. An attempt that is not answered takes 5 s
            (`ossdist.swarm.settings`), and peers that have failed are dialled again after a pause.
        pause_s: When none has helped, all are tried again after so long; each time after twice as long.
        longest_pause_s: At most.
    """

    blocked_s: float = 0.5
    proven_s: float = 60.0
    trial_s: float = 9.0
    pause_s: float = 60.0
    longest_pause_s: float = 960.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DialState:
    """What is remembered between two looks.

    Attributes:
        transport: How peers are dialled.
        since_s: Since when.
        tried: Over these nobody was reached.
        blocked_since_s: Since when nobody could be reached; None if that is not so.
        rests_until_s: Until then nothing is tried: nothing has helped.
        pause_s: How long it rests the next time.
        proven: Somebody was reached over the present one.
    """

    transport: Transport
    since_s: float
    tried: frozenset[Transport] = frozenset()
    blocked_since_s: float | None = None
    rests_until_s: float = 0.0
    pause_s: float = 0.0
    proven: bool = False


@dataclass(frozen=True, slots=True)
class NextTransport:
    """A change.

    Attributes:
        transport: How peers are dialled from now on.
        cause: Why.
    """

    transport: Transport
    cause: str


_IN_THE_WAY = frozenset({Trouble.DROPPED, Trouble.REJECTED, Trouble.FILTERED})

_AGAINST_FILTERS = (Transport.TCP_ENCRYPTED, Transport.UTP_ENCRYPTED, Transport.PROXY, Transport.UTP, Transport.TCP)
_AGAINST_WALLS = (Transport.UTP, Transport.TCP, Transport.UTP_ENCRYPTED, Transport.PROXY, Transport.TCP_ENCRYPTED)
"""Who drops or refuses does so before anything is said, so what is said does not matter much."""


def step(
    state: DialState, seen: Assessment, now_s: float, possible: Sequence[Transport], config: DialConfig
) -> tuple[DialState, NextTransport | None]:
    """Looks once.

    Args:
        state: What was remembered.
        seen: How the swarms are.
        now_s: Monotonic time.
        possible: Transports that the session has, the one first to which it goes back.
        config: When another one is tried.
    """
    if seen.condition in {Condition.GOOD, Condition.DEGRADED}:  # somebody is connected
        return replace(state, proven=True, tried=frozenset(), blocked_since_s=None, pause_s=0.0), None
    in_the_way = [finding for finding in seen.findings if finding.trouble in _IN_THE_WAY]
    if seen.condition is not Condition.BLOCKED or not in_the_way:
        return replace(state, blocked_since_s=None), None
    since_s = now_s if state.blocked_since_s is None else state.blocked_since_s
    state = replace(state, blocked_since_s=since_s)
    settled_s = config.trial_s if state.tried else 0.0
    patience_s = config.proven_s if state.proven else config.blocked_s
    if now_s - since_s < patience_s or now_s - state.since_s < settled_s or now_s < state.rests_until_s:
        return state, None
    tried = state.tried | {state.transport}
    found = next_of(in_the_way[0].trouble, tried, possible)
    if found is not None:
        cause = in_the_way[0].evidence
        return replace(state, transport=found, since_s=now_s, tried=tried, proven=False), NextTransport(found, cause)
    pause_s = min(config.longest_pause_s, max(config.pause_s, 2 * state.pause_s))
    resting = DialState(
        transport=possible[0], since_s=now_s, blocked_since_s=since_s, rests_until_s=now_s + pause_s, pause_s=pause_s
    )
    if state.transport is possible[0]:
        return resting, None
    return resting, NextTransport(possible[0], "no other way of dialling peers has reached anybody")


def next_of(trouble: Trouble, tried: Collection[Transport], possible: Collection[Transport]) -> Transport | None:
    """What has the best chance of those that were not tried; None if all were."""
    order = _AGAINST_FILTERS if trouble is Trouble.FILTERED else _AGAINST_WALLS
    return next((each for each in order if each in possible and each not in tried), None)
