"""One peer of the model: whom it knows, whom it serves, what it gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections import deque

    import simpy

    from ossdist.sim.crowd.behaviour import Behaviour
    from ossdist.sim.crowd.fairness import Integers
    from ossdist.sim.crowd.pieces import Booleans
    from ossdist.sim.crowd.policy import MirrorChoice, Watching


@dataclass(slots=True)
class Line:
    """A host's line: a link for each direction.

    Attributes:
        place: The number of the place where it is.
        up: The number of its upload link.
        down: The number of its download link.
    """

    place: int
    up: int
    down: int


@dataclass(slots=True, eq=False)
class Peer:
    """A peer, by the number of its row in the table of pieces.

    Attributes:
        number: Its row.
        host: Which host it is; several peers may be one.
        line: The host's.
        behaviour: How its owner uses it.
        completed: Happens when it has everything.
        banned: Happens when somebody has banned it.
        online: It takes part.
        visits: How often it has come; what was begun in an earlier visit ends (see `is_here`).
        is_mirror: It is an HTTP mirror: it dials nobody, and serves all who ask.
        watching: Its production policy; None for who has everything from the start.
        choice: The same for mirrors; None if there are none.
        from_mirrors: Bytes from mirrors in pieces that have ended.
        neighbours: Who is connected, in the order of coming.
        bans: With whom it has nothing more to do.
        serving: Whom it serves, and the flow to each; None if there is nothing to send at the moment.
        dropped: Whom of them it serves no more than the piece that is under way.
        optimistic: Whom of them by chance.
        incoming: The flow from each source that sends to it.
        requests: The pieces that each source was asked for beside the one under way, in order.
        from_peers: Bytes from each source in pieces that ended since the last choking round, less what had come of
            them before it; so it is negative as long as the piece of then is under way.
        served_since: Bytes sent to each since it was unchoked.
        in_order: It asks for pieces in order.
        changed: A neighbour has come, gone or become complete since it looked last.
        rivals: The downloaders among its neighbours, when it looked last.
        own: Which pieces it asks for first; None for no preference.
    """

    number: int
    host: int
    line: Line
    behaviour: Behaviour
    completed: simpy.Event
    banned: simpy.Event
    is_mirror: bool = False
    watching: Watching | None = None
    choice: MirrorChoice | None = None
    from_mirrors: float = 0.0
    online: bool = False
    visits: int = 0
    neighbours: dict[int, None] = field(default_factory=dict[int, None])
    bans: set[int] = field(default_factory=set[int])
    serving: dict[int, int | None] = field(default_factory=dict[int, "int | None"])
    dropped: set[int] = field(default_factory=set[int])
    optimistic: set[int] = field(default_factory=set[int])
    incoming: dict[int, int] = field(default_factory=dict[int, int])
    requests: dict[int, deque[int]] = field(default_factory=dict[int, "deque[int]"])
    from_peers: dict[int, float] = field(default_factory=dict[int, float])
    served_since: dict[int, float] = field(default_factory=dict[int, float])
    in_order: bool = False
    changed: bool = False
    rivals: frozenset[int] = frozenset()
    own: Booleans | None = None
    _array: Integers | None = None

    def is_here(self, visit: int) -> bool:
        """Whether it still takes part, and has not been away since its so many-th coming."""
        return self.online and self.visits == visit

    def neighbour_array(self) -> Integers:
        """The numbers of its neighbours."""
        if self._array is None:
            self._array = np.fromiter(self.neighbours, dtype=np.int64, count=len(self.neighbours))
        return self._array

    def meet(self, other: int) -> None:
        """Somebody is connected now."""
        self.neighbours[other] = None
        self._array = None
        self.changed = True

    def part(self, other: int) -> None:
        """Somebody is not connected any more."""
        del self.neighbours[other]
        self._array = None
        self.changed = True
        self.forget(other)
        self.from_peers.pop(other, None)

    def forget(self, other: int) -> None:
        """Somebody is not served any more."""
        self.serving.pop(other, None)
        self.served_since.pop(other, None)
        self.dropped.discard(other)
        self.optimistic.discard(other)
