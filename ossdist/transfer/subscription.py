"""How a torrent's events reach those who want to know. Both sessions use it, so they cannot differ in it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeVar

from ossdist.transfer.torrent_events import EventsLost, TorrentEvent

if TYPE_CHECKING:
    from types import TracebackType

_E = TypeVar("_E", bound=TorrentEvent)

_BACKLOG = 256


class Subscribers:
    """Hands a torrent's events to its subscriptions.

    What happens between adding a torrent and the first subscription is kept for that one. If it is too much, it gets
    `EventsLost` instead.
    """

    def __init__(self) -> None:
        self._fed: list[Subscription] = []
        self._backlog: list[TorrentEvent] | None = []

    def subscribe(self) -> Subscription:
        """A subscription, which is fed inside its ``with`` block."""
        return Subscription(self)

    def publish(self, event: TorrentEvent) -> None:
        """Hands out an event; called by the session, on the event loop."""
        for subscription in tuple(self._fed):
            subscription.feed(event)
        if self._backlog is not None:
            self._backlog.append(event)
            if len(self._backlog) > _BACKLOG:
                self._backlog = [EventsLost()]

    def enter(self, subscription: Subscription) -> None:
        """Begins to feed a subscription."""
        self._fed.append(subscription)
        for event in self._backlog or ():
            subscription.feed(event)
        self._backlog = None

    def leave(self, subscription: Subscription) -> None:
        """Stops feeding a subscription."""
        self._fed.remove(subscription)


@dataclass(slots=True, eq=False)
class Subscription:
    """Events of one torrent from the moment of subscribing on, in order.

    Use it as a context manager, so that the torrent stops feeding it.
    """

    _subscribers: Subscribers = field(repr=False)
    _events: deque[TorrentEvent] = field(default_factory=deque[TorrentEvent], repr=False)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def feed(self, event: TorrentEvent) -> None:
        """Adds an event."""
        self._events.append(event)
        self._arrived.set()

    async def next(self) -> TorrentEvent:
        """Waits for the next event."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()

    def drain(self) -> list[TorrentEvent]:
        """Every event that has arrived, without waiting."""
        events = list(self._events)
        self._events.clear()
        return events

    async def until(self, kind: type[_E], *, timeout_s: float) -> _E:
        """Waits for an event of that kind and drops those before it.

        Raises:
            TimeoutError: None came in time.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                event = await self.next()
                if isinstance(event, kind):
                    return event

    def __enter__(self) -> Self:
        self._subscribers.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._subscribers.leave(self)
