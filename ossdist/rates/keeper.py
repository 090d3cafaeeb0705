"""Sets a session's limits, and those of its mirrors, again and again: what `ossdist.rates` decides, done."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Protocol

from ossdist.errors import SwarmError
from ossdist.machine import own_connections
from ossdist.rates.background import BackgroundConfig, BackgroundState, step
from ossdist.rates.queueing import QueueMeter
from ossdist.rates.schedule import UNLIMITED, Limits, capped, month_of, scheduled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ossdist.clock import Clock
    from ossdist.config import RatesConfig
    from ossdist.machine import Connection
    from ossdist.transfer.session import Session

log = logging.getLogger(__name__)

_KEEP_EVERY_S = 30.0
_LEAST_CHANGE = 0.02
_LEAST_OF_MIRRORS = 16_000.0
"""With less, a mirror would count as too slow."""


class Usage(Protocol):
    """Remembers across runs what was sent in a month."""

    async def add(self, month: str, sent_bytes: int) -> int:
        """Notes what was sent; returns what was sent in that month in all."""
        ...


class Mirrors(Protocol):
    """What mirrors give, and how much they may."""

    @property
    def bytes(self) -> int:
        """Payload so far."""
        ...

    def limit(self, bytes_per_s: float) -> None:
        """The most that they may give from now on; infinite for no limit, 0 for nothing."""
        ...


class RateKeeper:
    """Keeps a client's rates where they should be.

    Args:
        session: Whose limits are set.
        config: How it leaves room for others.
        clock: Time.
        mirrors: Those of the transfers that are running.
        usage: What was sent this month.
        connections: Measures them; may block.
    """

    def __init__(
        self,
        session: Session,
        config: RatesConfig,
        clock: Clock,
        *,
        mirrors: Callable[[], Iterable[Mirrors]],
        usage: Usage,
        connections: Callable[[], tuple[Connection, ...]] = own_connections,
    ) -> None:
        self._session = session
        self._config = config
        self._clock = clock
        self._mirrors = mirrors
        self._usage = usage
        self._connections = connections
        self._meter = QueueMeter()
        self._down, self._up = BackgroundState(), BackgroundState()
        self._limits = UNLIMITED
        self._before: tuple[float, int, int, int] | None = None
        self._month: str | None = None
        self._sent_bytes = 0
        self._noted_bytes, self._kept_at_s = 0, -math.inf

    @property
    def idle(self) -> bool:
        """Nothing is configured that it would have to do."""
        config = self._config
        return not (config.background or config.periods or config.monthly_upload_bytes is not None)

    @property
    def limits(self) -> Limits:
        """What holds now."""
        return self._limits

    async def run(self) -> None:
        """Looks again and again, until it is cancelled or the session is closed."""
        while not self.idle:
            try:
                await self.look()
            except SwarmError as error:
                log.debug("rates are not looked at: %s", error)
            await self._clock.sleep(self._config.look_s)

    async def look(self) -> None:
        """Looks once.

        Raises:
            SwarmError: The session is closed.
        """
        now_s, counters = self._clock.monotonic_s(), await self._session.counters()
        feeds = tuple(self._mirrors())
        from_mirrors = sum(feed.bytes for feed in feeds)
        seen = (now_s, counters.received_bytes, from_mirrors, counters.sent_bytes)
        before, self._before = self._before or seen, seen
        elapsed_s = max(now_s - before[0], 1e-3)
        peers, mirrors, sent = (max(0, seen[index] - before[index]) / elapsed_s for index in (1, 2, 3))
        limits = scheduled(self._config.periods, self._clock.now().astimezone())
        if self._config.monthly_upload_bytes is not None:
            limits &= await self._by_month(counters.sent_bytes, now_s)
        if self._config.background:
            limits &= await self._in_background(peers + mirrors, sent, elapsed_s)
        await self._apply(limits, peers, feeds)

    async def keep(self) -> None:
        """Remembers what was sent since that was done last."""
        if self._config.monthly_upload_bytes is not None:
            await self._remember()

    # --- inside ----------------------------------------------------------------------------------------

    async def _in_background(self, down: float, up: float, elapsed_s: float) -> Limits:
        delay_s = self._meter.measure(await asyncio.to_thread(self._connections))
        config = BackgroundConfig()
        self._down = step(self._down, delay_s, down, elapsed_s, config)
        self._up = step(self._up, delay_s, up, elapsed_s, config)
        return Limits(self._up.limit_bytes_per_s, self._down.limit_bytes_per_s)

    async def _by_month(self, sent_bytes: int, now_s: float) -> Limits:
        month = month_of(self._clock.now().astimezone())
        new = sent_bytes - self._noted_bytes
        if month != self._month or now_s - self._kept_at_s >= _KEEP_EVERY_S:
            self._month, self._noted_bytes, self._kept_at_s = month, sent_bytes, now_s
            self._sent_bytes = await self._usage.add(month, new)
            new = 0
        return capped(self._sent_bytes + new, self._config.monthly_upload_bytes)

    async def _remember(self) -> None:
        sent_bytes = (await self._session.counters()).sent_bytes
        new, self._noted_bytes = sent_bytes - self._noted_bytes, sent_bytes
        await self._usage.add(month_of(self._clock.now().astimezone()), new)

    async def _apply(self, limits: Limits, peers: float, feeds: Iterable[Mirrors]) -> None:
        if _differ(limits, self._limits):
            self._limits = limits
            await self._session.set_limits(
                upload_bytes_per_s=limits.upload_bytes_per_s, download_bytes_per_s=limits.download_bytes_per_s
            )
        down = self._limits.download_bytes_per_s
        for feed in feeds:  # what peers do not take of the limit
            feed.limit(down if down == 0 or math.isinf(down) else max(_LEAST_OF_MIRRORS, down - peers))


def _differ(one: Limits, other: Limits) -> bool:
    """By so much that it is worth telling the session."""
    pairs = (
        (one.upload_bytes_per_s, other.upload_bytes_per_s),
        (one.download_bytes_per_s, other.download_bytes_per_s),
    )
    return any(not math.isclose(here, there, rel_tol=_LEAST_CHANGE) for here, there in pairs)
