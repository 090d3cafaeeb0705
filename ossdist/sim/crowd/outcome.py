"""What becomes of those who come for a release."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one peer that wanted the release.

    Attributes:
        number: The peer's.
        host: Which host it was.
        profile: The name of its behaviour's profile.
        arrived_s: When it began.
        completed_s: When it had everything; None if it never did.
        gave_up_s: When its policy ended the transfer; None if it did not.
    """

    number: int
    host: int
    profile: str
    arrived_s: float
    completed_s: float | None
    gave_up_s: float | None


@dataclass(slots=True)
class Record:
    """The same while it happens; `arrived_s` is infinite until then."""

    host: int
    profile: str
    arrived_s: float
    completed_s: float | None = None
    gave_up_s: float | None = None
