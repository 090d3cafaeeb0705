"""Which mirrors to begin with now, of those that a ranking named. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.mirrors.health import Breaker

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A mirror at one moment of a transfer.

    Attributes:
        url: Its address.
        breaker: Whether it may be asked.
        active: It is being asked.
        ranged: It gives parts of files.
        failed: It has failed in this transfer.
        out: It is not asked any more in this transfer.
    """

    url: str
    breaker: Breaker
    active: bool = False
    ranged: bool = True
    failed: bool = False
    out: bool = False


def mirrors_to_start(candidates: Sequence[Candidate], *, at_once: int) -> tuple[str, ...]:
    """The mirrors to begin with, so that as many are asked as shall be asked at once.

    Args:
        candidates: All, the best first.
        at_once: How many.
    """
    active = sum(candidate.active for candidate in candidates)
    idle = [candidate for candidate in candidates if not candidate.active and not candidate.out]
    rested = [candidate for candidate in idle if candidate.breaker is not Breaker.OPEN]
    # Who failed last comes after all who did not: it would be asked again and again before the next one's turn.
    ready = [candidate for candidate in rested if candidate.ranged and candidate.breaker is Breaker.CLOSED]
    ready += [candidate for candidate in rested if candidate.ranged and candidate.breaker is Breaker.HALF_OPEN]
    if not ready and not active:
        # The last resorts: who gives whole files alone, and who failed in an earlier run.
        ready = rested[:1] or [candidate for candidate in idle if not candidate.failed][:1]
    return tuple(candidate.url for candidate in ready[: max(0, at_once - active)])
