"""A peer gives its places, round after round: `choking.choose` decides, over what the model knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.sim.crowd.choking import choose
from ossdist.sim.crowd.policy import EverybodyEqual, Priority

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from random import Random

    import simpy

    from ossdist.sim.crowd.choking import Choking
    from ossdist.sim.crowd.exchange import Exchange
    from ossdist.sim.crowd.peer import Peer
    from ossdist.sim.crowd.pieces import PieceTable


class Serving:
    """Whom the peers of a swarm serve.

    Args:
        env: Virtual time.
        rng: Randomness.
        pieces: Who has what.
        exchange: Carries it out.
        choking: See there.

    Attributes:
        priority: The classes that come before everything else.
    """

    def __init__(
        self, env: simpy.Environment, rng: Random, pieces: PieceTable, exchange: Exchange, choking: Choking
    ) -> None:
        self.priority: Priority = EverybodyEqual()
        self._env = env
        self._rng = rng
        self._pieces = pieces
        self._exchange = exchange
        self._choking = choking
        self._quota = choking.quota_pieces * pieces.piece_length

    def serve(self, peer: Peer) -> Generator[simpy.Event, object, None]:
        """A peer's rounds, until it leaves."""
        drawn_s, visit = self._env.now, peer.visits
        while peer.is_here(visit):
            draw = self._env.now - drawn_s >= self._choking.optimistic_s
            if draw:
                drawn_s = self._env.now
            self.wake(peer)
            self.choke_round(peer, draw=draw)
            self._exchange.begin_round(peer)
            yield self._env.timeout(self._choking.interval_s)

    def wake(self, source: Peer, piece: int | None = None) -> None:
        """Goes on with those whom a peer serves and had nothing for; after news of one piece, with who lacks it."""
        for number in [number for number, flow in source.serving.items() if flow is None]:
            if piece is None or self._pieces.is_open(number, piece):
                self._exchange.go_on(source, self._exchange.peers[number])

    def choke_round(self, peer: Peer, *, draw: bool = False) -> None:
        """Gives all of a peer's places anew.

        Args:
            peer: Whose.
            draw: Those who are served by chance are drawn anew as well.
        """
        if (found := self._choose(peer, keep=set() if draw else peer.optimistic)) is None:
            return
        chosen, peer.optimistic = found
        wanted = set(chosen)
        for other in [other for other in peer.serving if other not in wanted]:
            self._exchange.drop(peer, self._exchange.peers[other])
        for other in chosen:
            self._exchange.serve(peer, self._exchange.peers[other])

    def fill_places(self, peer: Peer) -> None:
        """Gives a peer's free places, between two rounds; who has one keeps it."""
        free = peer.behaviour.slots - len(peer.serving)
        if free <= 0 or (found := self._choose(peer, keep=peer.optimistic)) is None:
            return
        for other in [other for other in found[0] if other not in peer.serving][:free]:
            self._exchange.serve(peer, self._exchange.peers[other])

    def _choose(self, peer: Peer, *, keep: set[int]) -> tuple[list[int], set[int]] | None:
        near = peer.neighbour_array()
        if not len(near) or self._pieces.missing[peer.number] == self._pieces.count:
            return None  # nobody to serve, or nothing to serve with
        interested = near[self._pieces.interested(peer.number, near)].tolist()
        if not interested and not peer.serving:
            return None
        return choose(
            interested,
            slots=peer.behaviour.slots,
            tier={other: self.priority.tier(peer.number, other) for other in interested},
            merit=self._merit(peer),
            keep=keep,
            rng=self._rng,
            choking=self._choking,
        )

    def _merit(self, peer: Peer) -> Mapping[int, float]:
        if self._pieces.missing[peer.number]:
            return self._exchange.got_this_round(peer)
        # Who is served keeps its place for its share.
        return {other: 1.0 if sent < self._quota else -1.0 for other, sent in peer.served_since.items()}
