"""How peers find each other: a tracker, and their neighbours' neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from random import Random

    import simpy

    from ossdist.sim.crowd.peer import Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """How peers find each other.

    Attributes:
        tracker: There is a tracker.
        tracker_s: How long its answer takes.
        answer: How many peers it names at most.
        interval_s: Between two announces of who knows too few.
        pex: Neighbours tell each other whom they know (BEP 11).
        pex_s: Between two such messages; no more than one a minute is allowed.
        pex_most: How many peers one of them names at most.
        pex_from: By how many neighbours one is told at a time.
        enough: Who has so many neighbours asks for no more.
        most: Who has so many takes no more.
    """

    tracker: bool = True
    tracker_s: float = 0.05
    answer: int = 50
    interval_s: float = 30.0
    pex: bool = True
    pex_s: float = 60.0
    pex_most: int = 50
    pex_from: int = 3
    enough: int = 30
    most: int = 80


class Dialler(Protocol):
    """What a finder asks of its swarm."""

    @property
    def peers(self) -> Sequence[Peer]:
        """All peers, by their numbers."""
        ...

    def dial(self, peer: Peer, number: int) -> None:
        """A peer tries to connect to another one, by its number."""
        ...


class Finder:
    """The tracker of one swarm, and its peers' gossip.

    Args:
        env: Virtual time.
        rng: Whom the tracker names, and whom neighbours name.
        discovery: See there.
        dialler: Carries it out.
    """

    def __init__(self, env: simpy.Environment, rng: Random, discovery: Discovery, dialler: Dialler) -> None:
        self._env = env
        self._rng = rng
        self._discovery = discovery
        self._dialler = dialler
        # In no order, so that some can be drawn and one be removed without looking at all.
        self._online: list[int] = []
        self._place: dict[int, int] = {}

    def join(self, peer: Peer) -> None:
        """A peer takes part, and looks for others from now on."""
        self._place[peer.number] = len(self._online)
        self._online.append(peer.number)
        if self._discovery.tracker:
            self._env.process(self._announce(peer))
        if self._discovery.pex:
            self._env.process(self._gossip(peer))

    def leave(self, peer: Peer) -> None:
        """A peer takes part no more; nobody is told of it."""
        place, last = self._place.pop(peer.number), self._online.pop()
        if last != peer.number:
            self._online[place] = last
            self._place[last] = place

    def _announce(self, peer: Peer) -> Generator[simpy.Event, object, None]:
        visit = peer.visits
        while True:
            yield self._env.timeout(self._discovery.tracker_s)
            if not peer.is_here(visit):
                return
            if len(peer.neighbours) < self._discovery.enough:
                for number in self._rng.sample(self._online, min(self._discovery.answer, len(self._online))):
                    self._dialler.dial(peer, number)
            yield self._env.timeout(self._discovery.interval_s)

    def _gossip(self, peer: Peer) -> Generator[simpy.Event, object, None]:
        visit = peer.visits
        while True:
            yield self._env.timeout(self._discovery.pex_s)
            if not peer.is_here(visit):
                return
            near = list(peer.neighbours)
            if len(near) >= self._discovery.enough:
                continue
            for number in self._rng.sample(near, min(self._discovery.pex_from, len(near))):
                known = [other for other in self._dialler.peers[number].neighbours if other != peer.number]
                for other in self._rng.sample(known, min(self._discovery.pex_most, len(known))):
                    self._dialler.dial(peer, other)
