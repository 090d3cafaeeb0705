"""Time as an argument, so that tests and the simulation can bring their own."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What policy and orchestration ask of time.

    `ossdist.transfer.run.Transfer` waits with the running event loop's timers until a moment of `monotonic_s`: both
    must run at the same speed.
    """

    def now(self) -> datetime:
        """The wall clock, with time zone: for expiry dates."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some fixed point, never going back: for durations."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Returns after ``duration_s`` seconds of this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds of ``time.monotonic``."""
        return time.monotonic()

    async def sleep(self, duration_s: float) -> None:
        """Sleeps on the running event loop."""
        await asyncio.sleep(duration_s)
