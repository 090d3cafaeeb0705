"""The rate over the last seconds, and the time that is left. Pure."""

from __future__ import annotations

from collections import deque


class RateMeter:
    """A rate over a sliding window.

    Args:
        window_s: How far back it looks.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, now_s: float, total_bytes: int) -> None:
        """Adds a sample of a counter that only grows; one that shrank begins anew."""
        if self._samples and total_bytes < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now_s, total_bytes))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - self._window_s:
            self._samples.popleft()

    @property
    def bytes_per_s(self) -> float:
        """The rate, 0.0 while there is none."""
        if len(self._samples) < 2:
            return 0.0
        (begin_s, begin_bytes), (end_s, end_bytes) = self._samples[0], self._samples[-1]
        return (end_bytes - begin_bytes) / (end_s - begin_s) if end_s > begin_s else 0.0

    def eta_s(self, remaining_bytes: int) -> float | None:
        """Seconds until ``remaining_bytes`` have come at this rate; None while there is none."""
        rate = self.bytes_per_s
        return remaining_bytes / rate if rate > 0 else None
