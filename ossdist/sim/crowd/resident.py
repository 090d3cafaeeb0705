"""A host's owner in the model: carries out its behaviour, as one peer after the other if it takes new names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator
    from random import Random

    import simpy

    from ossdist.sim.crowd.behaviour import Behaviour
    from ossdist.sim.crowd.peer import Line, Peer


class Scene(Protocol):
    """What residents ask of their swarm."""

    @property
    def env(self) -> simpy.Environment:
        """Virtual time."""
        ...

    @property
    def rng(self) -> Random:
        """Randomness."""
        ...

    def new_peer(self, host: int, line: Line, behaviour: Behaviour) -> Peer:
        """A peer that nobody has met yet."""
        ...

    def copy_pieces(self, peer: Peer, before: Peer) -> None:
        """A new peer has what an older one has."""
        ...

    def sent_by(self, peer: Peer) -> float:
        """Bytes that a peer has sent."""
        ...

    def join(self, peer: Peer) -> None:
        """A peer takes part."""
        ...

    def leave(self, peer: Peer) -> None:
        """A peer takes part no more."""
        ...


class Resident:
    """Implements `ossdist.sim.crowd.behaviour.Member`.

    Args:
        scene: Where it lives.
        peer: As whom it begins.
    """

    def __init__(self, scene: Scene, peer: Peer) -> None:
        self._scene = scene
        self._peer = peer
        self._sent_before = 0.0
        self.env = scene.env
        self.rng = scene.rng

    @property
    def completed(self) -> simpy.Event:
        """Happens when everything is here."""
        return self._peer.completed

    @property
    def banned(self) -> simpy.Event:
        """Happens when somebody has banned it under its present name."""
        return self._peer.banned

    @property
    def upload_bytes(self) -> float:
        """What it has sent, under all its names."""
        return self._sent_before + self._scene.sent_by(self._peer)

    def live(self, arrives_s: float) -> Generator[simpy.Event, object, None]:
        """Its whole life."""
        yield self.env.timeout(arrives_s)
        yield from self._peer.behaviour.live(self)

    def join(self) -> None:
        """Takes part."""
        self._scene.join(self._peer)

    def leave(self) -> None:
        """Takes part no more."""
        self._scene.leave(self._peer)

    def rename(self) -> None:
        """Is somebody else from now on, with what is here."""
        before = self._peer
        self._sent_before = self.upload_bytes
        self._peer = self._scene.new_peer(before.host, before.line, before.behaviour)
        self._scene.copy_pieces(self._peer, before)
