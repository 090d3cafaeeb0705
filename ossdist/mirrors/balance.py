"""How much mirrors give beside peers. Pure.

A user with peers spares the mirrors, and one without gets the package all the same:

- Peers have a head start. If they bring the target in it, no mirror is asked.
- As long as they fall short of the target, mirrors give what is missing of it.
- Without a target the aim is the most that the line carries. Then mirrors help at full speed, and are withdrawn when
  they do not help: if with them everything together is hardly faster than peers are without, they only take from the
  peers. What peers bring alone is seen in the head start, and in short trials later; after a while, and each time after
  a longer one, mirrors that were withdrawn are tried again.
- Mirrors give no more than their part of all bytes, as long as peers give anything.

(Delivery Optimization tops up below 500 KB/s; aria2 #2325 and libtorrent #6410 ask for a way to spare mirrors.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

_WINDOW_S = 4.0
"""Rates are compared over so long."""

_SHORT_S = 1.5
_COLLAPSED = 0.5
"""Peers who suffice, and then bring less than this part of it over so long, are not waited for any longer."""

_CAME_BACK = 2.0
_NOTICEABLE = 0.1
"""Peers who fell have come back if beside mirrors they bring so much more than at their lowest, and at least this part
of everything: blocks of a trickle come one by one, which looks like coming and going."""

_LEAST_HELP = 0.25
"""Mirrors help if at least this part of what they give comes on top."""

_FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 120.0
_FIRST_TRIAL_S = 30.0
_LONGEST_TRIAL_S = 480.0

_ENOUGH = 0.85
"""Peers suffice if alone they bring at least this part of what came with mirrors."""

_ROOM = 0.9
"""Mirrors that have given their part give again below so much of it."""

_NOTHING_BYTES_PER_S = 1000.0
"""Peers who give less give nothing."""


class Phase(Enum):
    """What mirrors do."""

    WAITING = "waiting"
    """Peers have their head start."""
    HELPING = "helping"
    SPARED = "spared"
    """Peers suffice."""
    CAPPED = "capped"
    """Mirrors have given their part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceConfig:
    """How mirrors are spared.

    Attributes:
        head_start_s: For so long peers are alone, once the first of them is connected or could be.
        target_bytes_per_s: With so much from peers no mirror is asked; None for as much as the line carries.
        most_share: The largest part of all bytes that mirrors give while peers give something, 0 to 1.
        patience_s: After so long without anything from peers, they count as giving nothing.
    """

    head_start_s: float = 1.0
    target_bytes_per_s: float | None = None
    most_share: float = 1.0
    patience_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a transfer sees at one moment.

    Attributes:
        now_s: Monotonic time.
        peers_possible: There are peers, or they may come.
        bytes_from_peers: Payload so far.
        bytes_from_mirrors: Payload so far.
    """

    now_s: float
    peers_possible: bool
    bytes_from_peers: int
    bytes_from_mirrors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceState:
    """What is remembered between two looks.

    Attributes:
        phase: What mirrors do.
        since_s: Since when.
        began_s: When the transfer began.
        window: What was seen at the beginning of the window over which rates are taken.
        recent: What was seen at the beginning of the short window over which a collapse shows.
        alone_bytes_per_s: What peers brought when they were alone; None if that was not seen.
        fell: Peers gave, and then nothing or next to nothing; they have not come back since.
        peers_at_s: When peers brought something last.
        peers_bytes: What they had brought then.
        together_bytes_per_s: What peers and mirrors brought before mirrors were spared.
        pause_s: How long mirrors are spared the next time.
        trial_s: How long they help before it is tried again what peers bring alone.
    """

    phase: Phase
    since_s: float
    began_s: float
    window: Seen
    recent: Seen
    alone_bytes_per_s: float | None = None
    fell: bool = False
    peers_at_s: float | None = None
    peers_bytes: int = 0
    together_bytes_per_s: float | None = None
    pause_s: float = _FIRST_PAUSE_S
    trial_s: float = _FIRST_TRIAL_S


@dataclass(frozen=True, slots=True)
class Budget:
    """What mirrors may give until the next look.

    Attributes:
        bytes_per_s: All together; infinite for as much as they can, 0 for nothing.
        cause: Why it is another phase than before; empty if it is the same.
    """

    bytes_per_s: float
    cause: str = ""


def begin(seen: Seen) -> BalanceState:
    """At the beginning of a transfer."""
    return BalanceState(
        phase=Phase.WAITING,
        since_s=seen.now_s,
        began_s=seen.now_s,
        window=seen,
        recent=seen,
        peers_bytes=seen.bytes_from_peers,
    )


def due_s(state: BalanceState, config: BalanceConfig) -> float:
    """When to look at the latest, monotonic: the end of the head start; infinite once that is over."""
    return state.began_s + config.head_start_s if state.phase is Phase.WAITING else float("inf")


def step(state: BalanceState, seen: Seen, config: BalanceConfig) -> tuple[BalanceState, Budget]:
    """Looks once.

    Returns:
        What to remember, and what mirrors may give.
    """
    if seen.bytes_from_peers > state.peers_bytes:
        state = replace(state, peers_at_s=seen.now_s, peers_bytes=seen.bytes_from_peers)
    if (forced := _forced(state, seen, config)) is not None:
        if forced[0] is Phase.HELPING and state.peers_at_s is not None:
            state = replace(state, alone_bytes_per_s=0.0, fell=True)  # what they brought once says nothing of later
        return _enter(state, forced[0], seen, forced[1])
    match state.phase:
        case Phase.WAITING:
            return _while_waiting(state, seen, config)
        case Phase.CAPPED:
            return _while_capped(state, seen, config)
        case Phase.SPARED:
            return _while_spared(state, seen, config)
        case Phase.HELPING:
            return _while_helping(state, seen, config)


def _forced(state: BalanceState, seen: Seen, config: BalanceConfig) -> tuple[Phase, str] | None:
    """What goes before all else."""
    if not seen.peers_possible:
        return Phase.HELPING, "there are no peers to ask"
    quiet_s = seen.now_s - (state.began_s if state.peers_at_s is None else state.peers_at_s)
    patience_s = config.head_start_s if state.peers_at_s is None else config.patience_s
    if quiet_s >= patience_s:
        return Phase.HELPING, f"peers gave nothing for {quiet_s:.1f} s"
    if _share(seen) > config.most_share:
        return Phase.CAPPED, f"mirrors have given {_share(seen):.0%}, and may give {config.most_share:.0%}"
    return None


def _while_waiting(state: BalanceState, seen: Seen, config: BalanceConfig) -> tuple[BalanceState, Budget]:
    if seen.now_s - state.began_s < config.head_start_s:
        return state, Budget(0.0)
    peers, _ = _rates(state.window, seen)
    state = replace(state, alone_bytes_per_s=peers)
    if config.target_bytes_per_s is not None and peers >= config.target_bytes_per_s:
        return _enter(state, Phase.SPARED, seen, f"peers bring {_shown(peers)}, which is enough")
    return _enter(state, Phase.HELPING, seen, f"peers bring {_shown(peers)}", config)


def _while_capped(state: BalanceState, seen: Seen, config: BalanceConfig) -> tuple[BalanceState, Budget]:
    if _share(seen) > config.most_share * _ROOM:
        return state, Budget(0.0)
    return _enter(state, Phase.HELPING, seen, "mirrors may give more again", config)


def _while_spared(state: BalanceState, seen: Seen, config: BalanceConfig) -> tuple[BalanceState, Budget]:
    if seen.now_s - state.recent.now_s >= _SHORT_S:
        recently, _ = _rates(state.recent, seen)
        enough = config.target_bytes_per_s or state.alone_bytes_per_s or 0.0
        state = replace(state, recent=seen)
        if recently < enough * _COLLAPSED:
            cause = f"peers bring {_shown(recently)} of late, and brought {_shown(state.alone_bytes_per_s or 0.0)}"
            return _enter(replace(state, alone_bytes_per_s=recently, fell=True), Phase.HELPING, seen, cause, config)
    if seen.now_s - state.window.now_s < _WINDOW_S:
        return state, Budget(0.0)
    peers, _ = _rates(state.window, seen)
    state = replace(state, alone_bytes_per_s=peers, window=seen)
    target, together = config.target_bytes_per_s, state.together_bytes_per_s
    cause = ""
    if target is not None:
        if peers < target:
            cause = f"peers bring {_shown(peers)}, which is not enough"
    elif together is not None and peers < together * _ENOUGH:
        # They may have fallen in the middle of the window, or be on their way up since they are alone.
        lately = _rates(state.recent, seen)[0] if seen.now_s > state.recent.now_s else peers
        if lately >= together * _ENOUGH:
            return state, Budget(0.0)
        state = replace(state, fell=lately < together * _NOTICEABLE, alone_bytes_per_s=min(peers, lately))
        cause = f"peers bring {_shown(peers)} alone, and {_shown(together)} with mirrors"
    elif seen.now_s - state.since_s >= state.pause_s:
        cause = "to see whether mirrors help now"
        state = replace(state, pause_s=min(_LONGEST_PAUSE_S, state.pause_s * 2))
    return _enter(state, Phase.HELPING, seen, cause, config) if cause else (state, Budget(0.0))


def _while_helping(state: BalanceState, seen: Seen, config: BalanceConfig) -> tuple[BalanceState, Budget]:
    if state.fell and config.target_bytes_per_s is None and seen.now_s - state.recent.now_s >= _SHORT_S:
        peers, mirrors = _rates(state.recent, seen)
        lowest = state.alone_bytes_per_s or 0.0
        state = replace(state, recent=seen)
        if peers > _CAME_BACK * max(lowest, _NOTHING_BYTES_PER_S) and peers >= _NOTICEABLE * (peers + mirrors):
            cause = f"to see what peers bring alone: {_shown(peers)} now, and {_shown(lowest)} before"
            state = replace(state, together_bytes_per_s=peers + mirrors)
            return _enter(state, Phase.SPARED, seen, cause)
        # What they brought when they were missed had come in part before they fell.
        state = replace(state, alone_bytes_per_s=min(lowest, peers))
    if seen.now_s - state.window.now_s < _WINDOW_S:
        return state, _help(state, config)
    peers, mirrors = _rates(state.window, seen)
    state = replace(state, window=seen)
    target, alone, together = config.target_bytes_per_s, state.alone_bytes_per_s, peers + mirrors
    cause = ""
    if target is not None:
        state = replace(state, alone_bytes_per_s=peers)
        if peers >= target:
            cause = f"peers bring {_shown(peers)}, which is enough"
    elif mirrors < _NOTHING_BYTES_PER_S or peers < _NOTHING_BYTES_PER_S:
        pass
    elif alone is not None and alone >= _NOTHING_BYTES_PER_S and together - alone < _LEAST_HELP * mirrors:
        cause = f"peers bring {_shown(alone)} alone, and {_shown(together)} with mirrors"
    elif seen.now_s - state.since_s >= state.trial_s:
        cause = "to see what peers bring alone"
        state = replace(state, trial_s=min(_LONGEST_TRIAL_S, state.trial_s * 2))
    if not cause:
        return state, _help(state, config)
    return _enter(replace(state, together_bytes_per_s=together), Phase.SPARED, seen, cause)


def _help(state: BalanceState, config: BalanceConfig) -> Budget:
    target = config.target_bytes_per_s
    if target is None:
        return Budget(float("inf"))
    return Budget(max(_NOTHING_BYTES_PER_S, target - (state.alone_bytes_per_s or 0.0)))


def _enter(
    state: BalanceState, phase: Phase, seen: Seen, cause: str, config: BalanceConfig | None = None
) -> tuple[BalanceState, Budget]:
    if phase is state.phase:
        budget = Budget(float("inf") if phase is Phase.HELPING else 0.0)
        return state, budget
    fell = state.fell and phase is not Phase.SPARED  # that is where it shows whether they are back
    after = replace(state, phase=phase, since_s=seen.now_s, window=seen, recent=seen, fell=fell)
    if phase is not Phase.HELPING:
        return after, Budget(0.0, cause)
    return after, Budget(_help(after, config).bytes_per_s if config is not None else float("inf"), cause)


def _share(seen: Seen) -> float:
    total = seen.bytes_from_peers + seen.bytes_from_mirrors
    return seen.bytes_from_mirrors / total if total else 0.0


def _rates(before: Seen, now: Seen) -> tuple[float, float]:
    elapsed_s = max(1e-3, now.now_s - before.now_s)
    return (
        (now.bytes_from_peers - before.bytes_from_peers) / elapsed_s,
        (now.bytes_from_mirrors - before.bytes_from_mirrors) / elapsed_s,
    )


def _shown(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e6:.1f} MB/s"
