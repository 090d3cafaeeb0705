"""How well a mirror does, and when one that failed is asked again: moving measures and a circuit breaker. Pure.

Times are Unix times in seconds, since what is known is kept across runs. What happened long ago counts less: its weight
halves every `HALF_LIFE_S`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from ossdist.errors import MirrorFault
from ossdist.mirrors.ranking import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

HALF_LIFE_S = 86_400.0
"""After a day, what happened counts half."""

FORGET_S = 30 * HALF_LIFE_S
"""After a month, nothing is known any more."""

_NEWEST = 0.3
"""The part of the newest sample in a moving mean."""

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 600.0
_LONGEST_RETRY_AFTER_S = 600.0

STANDING = frozenset(
    {
        MirrorFault.TLS,
        MirrorFault.NOT_FOUND,
        MirrorFault.REFUSED,
        MirrorFault.WRONG_LENGTH,
        MirrorFault.WRONG_RANGE,
        MirrorFault.CODED,
        MirrorFault.REDIRECT,
        MirrorFault.NOT_THE_FILE,
        MirrorFault.NO_RANGES,
    }
)
"""Faults that somebody has to mend: asking again at once is of no use."""

MOST_WRONG = 2
"""A mirror that sends so many wrong pieces is not asked again in the same transfer."""

_STANDING_PAUSE_S = 30.0
_WRONG_DATA_PAUSE_S = 60.0


class Breaker(Enum):
    """Whether a mirror is asked (Nygard, "Release It!": circuit breaker)."""

    CLOSED = "closed"
    """It is."""
    OPEN = "open"
    """It rests."""
    HALF_OPEN = "half-open"
    """It has rested: one request tells whether it is well again."""


class Health(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a mirror's doings.

    Attributes:
        connect_s: To a connection, a moving mean; None if never measured.
        first_byte_s: From the request to the first byte, the same.
        bytes_per_s: Its rate, the same.
        successes: Requests that it fulfilled, each with its weight as of `at`.
        failures: Requests that it did not, the same.
        in_a_row: How often it has failed since the last success.
        rests_until: When it may be asked again.
        reason: Why it failed last.
        at: When something happened last.
    """

    connect_s: float | None = None
    first_byte_s: float | None = None
    bytes_per_s: float | None = None
    successes: float = 0.0
    failures: float = 0.0
    in_a_row: int = 0
    rests_until: float = 0.0
    reason: str = ""
    at: float = 0.0

    def reliability(self, now: float) -> float:
        """The part of requests that it fulfils, 0 to 1; 1 if nothing is known."""
        weight = _weight(self, now)
        good, bad = self.successes * weight, self.failures * weight
        return (good + 2.0) / (good + bad + 2.0)

    def breaker(self, now: float) -> Breaker:
        """Whether it is asked now."""
        if self.in_a_row == 0:
            return Breaker.CLOSED
        return Breaker.OPEN if now < self.rests_until else Breaker.HALF_OPEN

    def measured(self, now: float) -> Measured:
        """What ranking wants to know."""
        rests_s = max(0.0, self.rests_until - now) if self.in_a_row else 0.0
        rate = self.bytes_per_s if now - self.at < FORGET_S else None
        return Measured(bytes_per_s=rate, reliability=self.reliability(now), rests_s=rests_s, reason=self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A request that was fulfilled.

    Attributes:
        connect_s: To a new connection; None for one that was used again.
        first_byte_s: From the request to the first byte of the body.
        body_bytes: Of the body.
        body_s: From its first byte to its last one.
    """

    connect_s: float | None
    first_byte_s: float
    body_bytes: int
    body_s: float


UNKNOWN = Health()
"""Of one that was never asked."""

_LEAST_BODY_S = 0.02
"""A rate is not taken from a body that was there in no time."""


def succeeded(health: Health, sample: Sample, *, now: float) -> Health:
    """After a request that was fulfilled: the breaker closes."""
    weight = _weight(health, now)
    rate = sample.body_bytes / sample.body_s if sample.body_s >= _LEAST_BODY_S else None
    return Health(
        connect_s=_moved(health.connect_s, sample.connect_s),
        first_byte_s=_moved(health.first_byte_s, sample.first_byte_s),
        bytes_per_s=_moved(health.bytes_per_s, rate),
        successes=health.successes * weight + 1.0,
        failures=health.failures * weight,
        at=max(now, health.at),
    )


def failed(
    health: Health, fault: MirrorFault, reason: str, *, now: float, retry_after_s: float | None = None
) -> Health:
    """After a request that was not fulfilled: it rests, twice as long each time.

    Args:
        health: What was known.
        fault: What is wrong with it.
        reason: The same in words.
        now: Unix time.
        retry_after_s: When it wants to be asked again (RFC 9110, section 10.2.3), in seconds from now.
    """
    in_a_row = health.in_a_row + 1
    pause_s = min(_LONGEST_PAUSE_S, _first_pause_s(fault) * 2.0 ** min(in_a_row - 1, 16))
    if retry_after_s is not None:  # at least as long as it asks for, but not for ever
        pause_s = max(pause_s, min(_LONGEST_RETRY_AFTER_S, retry_after_s))
    weight = _weight(health, now)
    return msgspec.structs.replace(
        health,
        successes=health.successes * weight,
        failures=health.failures * weight + 1.0,
        in_a_row=in_a_row,
        rests_until=now + pause_s,
        reason=reason,
        at=max(now, health.at),
    )


def remembered(health: Health, *, now: float) -> Health | None:
    """What of an earlier run's knowledge counts in this one; None if nothing does.

    A pause is cut to the longest there is, in case the clock was wrong then.
    """
    if now - health.at >= FORGET_S or health.at > now + _LONGEST_PAUSE_S:
        return None
    return msgspec.structs.replace(health, rests_until=min(health.rests_until, now + _LONGEST_PAUSE_S))


def _first_pause_s(fault: MirrorFault) -> float:
    if fault is MirrorFault.WRONG_DATA:
        return _WRONG_DATA_PAUSE_S
    return _STANDING_PAUSE_S if fault in STANDING else _FIRST_PAUSE_S


def _weight(health: Health, now: float) -> float:
    return 0.5 ** (max(0.0, now - health.at) / HALF_LIFE_S)


def _moved(mean: float | None, sample: float | None) -> float | None:
    if sample is None or mean is None:
        return mean if sample is None else sample
    return mean + _NEWEST * (sample - mean)


class HealthBook:
    """What is known of all mirrors, by their addresses.

    Args:
        known: What earlier runs have learnt.
        now: Unix time.
    """

    def __init__(self, known: Mapping[str, Health] | None = None, *, now: float = 0.0) -> None:
        found = {url: remembered(health, now=now) for url, health in (known or {}).items()}
        self._health = {url: health for url, health in found.items() if health is not None}

    def __getitem__(self, url: str) -> Health:
        return self._health.get(url, UNKNOWN)

    def __setitem__(self, url: str, health: Health) -> None:
        self._health[url] = health

    @property
    def all(self) -> dict[str, Health]:
        """Of every mirror that was ever asked."""
        return dict(self._health)

    def measured(self, now: float) -> dict[str, Measured]:
        """What ranking wants to know."""
        return {url: health.measured(now) for url, health in self._health.items()}
