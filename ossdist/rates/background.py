"""Rates that yield: a transfer in the background takes what others leave. Pure.

As LEDBAT (RFC 6817) does, it takes the growth of round-trip times for the queue that somebody keeps full, and backs off
from a target on, before packets are lost; alone on the line it comes near the full rate. LEDBAT sets one connection's
window; this sets one limit for all connections of a session, over TCP, where the sender is somebody else.

Its weakness is LEDBAT's too: who begins when the queue is full already takes that for the line's own delay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundConfig:
    """How it yields.

    Attributes:
        target_s: The queueing delay that is aimed at. RFC 6817 allows at most 0.1; what fills a queue on purpose
            keeps it longer than this, and calls and games do not notice so much.
        gain_per_s: By this part the limit grows in a second when there is no queue at all.
        back_off: To this part it falls at once when the delay is twice the target or more.
        least_bytes_per_s: It never falls below, so that a transfer ends some day.
    """

    target_s: float = 0.025
    gain_per_s: float = 0.25
    back_off: float = 0.5
    least_bytes_per_s: float = 16_000.0


@dataclass(frozen=True, slots=True)
class BackgroundState:
    """What is remembered between two looks.

    Attributes:
        limit_bytes_per_s: The limit; infinite as long as there was no queue.
    """

    limit_bytes_per_s: float = math.inf


def step(
    state: BackgroundState, delay_s: float | None, rate_bytes_per_s: float, elapsed_s: float, config: BackgroundConfig
) -> BackgroundState:
    """Looks once.

    Args:
        state: What was remembered.
        delay_s: By how much round trips are longer than the shortest ones; None if that is not known.
        rate_bytes_per_s: What comes, or goes.
        elapsed_s: Since the last look.
        config: How it yields.
    """
    if delay_s is None:
        return state
    limit = state.limit_bytes_per_s
    off_target = 1.0 - delay_s / config.target_s
    if off_target < 0:
        part = max(config.back_off, 1.0 + off_target * (1.0 - config.back_off))
        # What is under way already comes all the same, so the rate may be above the limit for a while.
        limit = max(config.least_bytes_per_s, min(limit, rate_bytes_per_s) * part)
    elif not math.isinf(limit):
        # A limit that nothing comes up to says nothing: it must not grow out of sight.
        most = max(limit, 2.0 * rate_bytes_per_s, config.least_bytes_per_s)
        limit = min(most, limit * (1.0 + config.gain_per_s * off_target * elapsed_s))
    return replace(state, limit_bytes_per_s=limit)
