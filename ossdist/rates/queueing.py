"""How long packets wait in the queue of our own line, from the round trips of our connections. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ossdist.machine import Connection

_FRESH_S = 1.0
_MOST_HOSTS = 2000


class QueueMeter:
    """Remembers the shortest round trip to each host; what is longer is queueing."""

    def __init__(self) -> None:
        self._shortest_s: dict[str, float] = {}

    def measure(self, connections: Iterable[Connection]) -> float | None:
        """How long packets wait.

        A queue on our own line delays all connections, one at the other end that connection alone; so the lower
        quartile counts.

        Args:
            connections: As they are now.

        Returns:
            In seconds; None if no connection was heard of of late.
        """
        delays: list[float] = []
        for each in connections:
            known_s = self._shortest_s.pop(each.host, each.least_rtt_s)
            shortest_s = self._shortest_s[each.host] = min(known_s, each.least_rtt_s)  # the newest is the last
            if each.silent_s < _FRESH_S:
                delays.append(each.rtt_s - shortest_s)
        while len(self._shortest_s) > _MOST_HOSTS:
            del self._shortest_s[next(iter(self._shortest_s))]
        return sorted(delays)[len(delays) // 4] if delays else None
