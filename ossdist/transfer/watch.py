"""When a transfer changes swarms, asks a web seed again, asks in order, or gives up. Pure.

`step` takes what was seen so far and what is seen now, and says what to do. Only bytes that are here and verified (or
in a piece under way) count as news: a swarm that sends nothing but wrong data brings none, however fast it is. What a
check finds on disk is no news either: it was here before, and may be less than it was, without its unfinished pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ossdist.transfer.session import PeerKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ossdist.config import TransferConfig

_SMALL_BYTES = 32 << 20
"""Hashed in 25 ms."""


class Swarm(Enum):
    """The two swarms of a release's bytes."""

    HYBRID = "hybrid"
    V1 = "v1"

    @property
    def other(self) -> Swarm:
        """The other one."""
        return Swarm.V1 if self is Swarm.HYBRID else Swarm.HYBRID


@dataclass(frozen=True, slots=True)
class WatchState:
    """What a transfer remembers between two looks.

    Attributes:
        swarm: The swarm that it is in.
        best_bytes: The most that was here, pieces under way counted; None until the check of what is on disk is over.
        news_at_s: When that was reached.
        joined_at_s: When the present swarm was joined.
        verified_bytes: The most that was verified.
        grew: That has grown in the present swarm.
    """

    swarm: Swarm
    best_bytes: int | None
    news_at_s: float
    joined_at_s: float
    verified_bytes: int = 0
    grew: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What a transfer sees at one moment.

    Attributes:
        now_s: Monotonic time.
        bytes_done: What is here, pieces under way counted.
        verified_bytes: What of it is verified.
        checking: What is on disk is still being checked; nothing can arrive.
        hopeless: Nobody is left to ask in any swarm, and nobody can come.
    """

    now_s: float
    bytes_done: int
    verified_bytes: int
    checking: bool
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Stay:
    """Go on as it is."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Go on in another swarm."""

    swarm: Swarm
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """All sources are exhausted."""

    waited_s: float


Decision = Stay | Switch | GiveUp


def step(
    state: WatchState, seen: Observation, config: TransferConfig, *, can_switch: bool
) -> tuple[WatchState, Decision]:
    """Looks once.

    Args:
        state: What is remembered.
        seen: What is seen.
        config: `TransferConfig.swarm_patience_s` and `TransferConfig.exhausted_after_s` decide.
        can_switch: There is another swarm.

    Returns:
        What to remember, and what to do.
    """
    if seen.checking:
        pause_s = max(0.0, seen.now_s - max(state.news_at_s, state.joined_at_s))
        news_at_s = state.news_at_s + pause_s
        return replace(state, news_at_s=news_at_s, joined_at_s=seen.now_s), Stay()
    if seen.verified_bytes > state.verified_bytes:
        state = replace(state, verified_bytes=seen.verified_bytes, grew=state.best_bytes is not None)
    if state.best_bytes is None:
        state = replace(state, best_bytes=seen.bytes_done)
    elif seen.bytes_done > state.best_bytes:
        return replace(state, best_bytes=seen.bytes_done, news_at_s=seen.now_s), Stay()
    waited_s = seen.now_s - state.news_at_s
    if seen.hopeless or waited_s >= config.exhausted_after_s:
        return state, GiveUp(waited_s)
    here_s = seen.now_s - max(state.news_at_s, state.joined_at_s)
    # Each swarm gets its turn before the transfer gives up.
    if can_switch and here_s >= min(config.swarm_patience_s, config.exhausted_after_s / 3):
        other = state.swarm.other
        reason = f"the {state.swarm.value} swarm gave nothing for {here_s:.1f} s"
        # Unfinished pieces are lost by the change, and fetching them again is news; but only if the last stay brought
        # a whole piece, or a peer that gives one block to everybody who joins would keep us for ever.
        best = None if state.grew else state.best_bytes
        return replace(state, swarm=other, joined_at_s=seen.now_s, best_bytes=best, grew=False), Switch(other, reason)
    return state, Stay()


class Source(Protocol):
    """What `prefer_sequential` looks at; a `PeerStatus` is one."""

    @property
    def kind(self) -> PeerKind:
        """What it is."""
        ...

    @property
    def seed(self) -> bool:
        """It has everything."""
        ...


def prefer_sequential(peers: Iterable[Source], *, total_bytes: int, mirrors: bool) -> bool:
    """Whether to ask for pieces in order.

    Args:
        peers: Everybody that we are connected to.
        total_bytes: Of the payload.
        mirrors: Mirrors may give some of it.

    Rarest first (Legout et al., "Rarest First and Choke Algorithms Are Enough", 2006) serves those who trade pieces
    with each other. When everybody that we are connected to has everything, order costs nobody anything, and lets the
    whole-file hash keep up with the transfer. But several seeds end less evenly in order (5 MB from four seeds of
    25 Mbit/s each took 0.52 s, and 0.46 s out of order), and a small file is hashed in no time. Mirrors are asked for
    runs of pieces, which are longer in order.
    """
    if total_bytes <= _SMALL_BYTES and not mirrors:
        return False
    return all(peer.seed or peer.kind is PeerKind.WEB_SEED for peer in peers)


def retry_pause_s(failures: int, config: TransferConfig) -> float:
    """How long to wait before a web seed is asked again after ``failures`` failures in a row (one or more)."""
    return min(config.web_seed_retry_max_s, config.web_seed_retry_s * 2.0 ** min(failures - 1, 32))
