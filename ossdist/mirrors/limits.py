"""Rate limits over several threads: token buckets."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BURST_S = 0.1
"""So much of a second's worth may come at once after a pause."""


class TokenBucket:
    """Says how long to wait after each portion, so that the rate is kept on average.

    Args:
        bytes_per_s: The rate; infinite for none.
        now: Monotonic time in seconds.
    """

    def __init__(self, bytes_per_s: float, *, now: Callable[[], float]) -> None:
        self._rate = bytes_per_s
        self._now = now
        self._lock = threading.Lock()
        self._debt_until_s = -math.inf

    def set_rate(self, bytes_per_s: float) -> None:
        """Changes the rate from now on; what is owed already stays owed in time."""
        with self._lock:
            self._rate = bytes_per_s

    @property
    def limited(self) -> bool:
        """There is a limit."""
        return not math.isinf(self._rate)

    def take(self, count: int) -> float:
        """Notes a portion that has come; returns for how many seconds nothing more should."""
        with self._lock:
            if math.isinf(self._rate) or self._rate <= 0:
                return 0.0
            now_s = self._now()
            self._debt_until_s = max(self._debt_until_s, now_s - _BURST_S) + count / self._rate
            return max(0.0, self._debt_until_s - now_s)
