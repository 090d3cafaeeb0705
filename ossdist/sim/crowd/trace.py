"""A hash of everything that happened: two runs that went alike have the same one."""

from __future__ import annotations

import hashlib
import struct


class Trace:
    """Takes events in the order of their time.

    Attributes:
        events: How many there were.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.events = 0

    def note(self, time_s: float, what: bytes, *who: int) -> None:
        """Something happened.

        Args:
            time_s: Virtual time; it counts to the microsecond.
            what: What.
            who: Whom it concerns, by numbers.
        """
        self._hash.update(struct.pack(f"<q{len(who)}q", round(time_s * 1e6), *who) + what)
        self.events += 1

    def hexdigest(self) -> str:
        """SHA-256 of all that was noted, hexadecimal."""
        return self._hash.hexdigest()
