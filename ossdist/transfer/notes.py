"""What went wrong with which source, for reports and for the error that a transfer may end with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class Notes:
    """Reasons and counts by source.

    Attributes:
        reasons: Why each source gives nothing, or failed last.
        failures: How often each tracker and web seed failed.
    """

    reasons: dict[str, str] = field(default_factory=dict[str, str])
    failures: Counter[str] = field(default_factory=Counter[str])
    _refused: int = 0

    def failed(self, source: str, reason: str) -> None:
        """A tracker or web seed failed."""
        self.reasons[source] = reason
        self.failures[source] += 1

    def banned(self, peer: str) -> None:
        """A peer is not spoken to any more."""
        self.reasons[peer] = "banned for wrong data"

    def left(self, peer: str, reason: str) -> None:
        """A connection to a peer ended, or there was none; the first reason is the telling one."""
        self.reasons.setdefault(peer, reason)

    def refused(self, paths: Sequence[str]) -> None:
        """A piece of these files came with wrong data."""
        self._refused += 1
        self.reasons["wrong data"] = f"{self._refused} piece(s) refused, the last one of {', '.join(paths)}"
