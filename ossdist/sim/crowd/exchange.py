"""Pieces over connections: who is connected, who sends what to whom, and what comes of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ossdist.sim.crowd.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from random import Random

    import simpy

    from ossdist.sim.crowd.peer import Peer
    from ossdist.sim.crowd.pieces import PieceTable
    from ossdist.sim.crowd.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Physics:
    """What the model takes from the world; measured where production runs (docs/simulation.md).

    Attributes:
        step_s: See `Transport`.
        tolerance: See `Transport`.
        payload_share: The part of a line that is left for payload by the headers of TCP/IP and BitTorrent.
        window_bytes: What one connection has under way at most, so that it takes no more than this a round trip.
        setup_rtts: Round trips from dialling to the first byte of a piece: TCP, handshake, interest, request.
        requests_s: For so long at its present rate a connection has pieces asked for ahead (``request_queue_time``).
    """

    step_s: float = 0.01
    tolerance: float = 0.02
    payload_share: float = 0.956
    window_bytes: float = 4e6
    setup_rtts: float = 4.0
    requests_s: float = 1.0


class Chunk(NamedTuple):
    """A piece under way."""

    source: int
    peer: int
    piece: int


class Listener(Protocol):
    """Whom an exchange tells what happens, in virtual time."""

    def got_piece(self, chunk: Chunk) -> None:
        """A peer has one piece more."""
        ...

    def got_wrong_piece(self, chunk: Chunk) -> None:
        """A source sent wrong data; the two part for ever."""
        ...

    def got_all(self, peer: int) -> None:
        """A peer is complete."""
        ...


class Exchange:
    """The connections of one swarm.

    Args:
        env: Virtual time.
        rng: Randomness.
        topology: Where hosts are.
        pieces: Who has what.
        physics: See there.
        listener: Is told what happens.

    Attributes:
        peers: All, by their numbers.
        transport: What is under way.
        sent: Bytes that each peer has sent.
        got: Useful bytes that each peer has got.
        wasted: Bytes that each peer has got for nothing: wrong ones, and what somebody else brought first.
    """

    def __init__(
        self,
        env: simpy.Environment,
        rng: Random,
        topology: Topology,
        pieces: PieceTable,
        physics: Physics,
        listener: Listener,
    ) -> None:
        self._env = env
        self._rng = rng
        self._topology = topology
        self._pieces = pieces
        self._physics = physics
        self._listener = listener
        self.transport = Transport(env, step_s=physics.step_s, tolerance=physics.tolerance, on_done=self._done)
        for capacity in topology.capacities:
            self.transport.add_link(capacity * physics.payload_share)
        self.peers: list[Peer] = []
        self.sent: list[float] = []
        self.got: list[float] = []
        self.wasted: list[float] = []
        self._chunks: dict[int, Chunk] = {}

    def add(self, peer: Peer) -> None:
        """A peer exists, and does not take part yet."""
        self.peers.append(peer)
        for counts in (self.sent, self.got, self.wasted):
            counts.append(0.0)

    # --- connections -------------------------------------------------------------------------------------

    def may_connect(self, dialler: Peer, taker: Peer) -> bool:
        """Whether a connection can come about."""
        if dialler.host == taker.host or taker.number in dialler.bans or dialler.number in taker.bans:
            return False
        reachable = taker.behaviour.dialable or dialler.line.place == taker.line.place
        return reachable and self._topology.may_dial(dialler.line.place, taker.line.place)

    def connect(self, dialler: Peer, taker: Peer) -> None:
        """Two peers are connected."""
        dialler.meet(taker.number)
        taker.meet(dialler.number)
        self._pieces.meet(dialler.number, taker.number)

    def disconnect(self, one: Peer, other: Peer) -> None:
        """They are not any more; what is under way between them is lost."""
        self.stop(one, other)
        self.stop(other, one)
        one.part(other.number)
        other.part(one.number)
        self._pieces.part(one.number, other.number)

    # --- serving -----------------------------------------------------------------------------------------

    def serve(self, source: Peer, peer: Peer) -> None:
        """A source sends to a peer from now on, one piece after the other (unchoke)."""
        if peer.number in source.dropped:  # its last piece is still under way
            source.dropped.discard(peer.number)
            source.served_since[peer.number] = 0.0
        if peer.number in source.serving:
            return
        source.serving[peer.number] = None
        source.served_since[peer.number] = 0.0
        rtt_s = self._topology.rtt_s(source.line.place, peer.line.place)
        self._env.process(self._begin(source, peer, rtt_s * self._physics.setup_rtts))

    def drop(self, source: Peer, peer: Peer) -> None:
        """A source sends no further piece to a peer (choke)."""
        if source.serving.get(peer.number) is None:
            source.forget(peer.number)
        else:
            source.dropped.add(peer.number)

    def stop(self, source: Peer, peer: Peer) -> None:
        """Nothing goes from a source to a peer any more, at once."""
        flow = source.serving.get(peer.number)
        source.forget(peer.number)
        self._cancel_requests(source, peer)
        if flow is not None:
            chunk = self._chunks.pop(flow)
            size = self._pieces.size(chunk.piece)
            moved = max(0.0, size - self.transport.end(flow))
            self._pieces.release(peer.number, chunk.piece)
            del peer.incoming[source.number]
            self.sent[source.number] += moved
            self.wasted[peer.number] += moved
            _count(peer, source.number, moved)

    def go_on(self, source: Peer, peer: Peer) -> None:
        """The next piece, if there is one, from a source that serves the peer and sends nothing at the moment."""
        if source.serving.get(peer.number, 0) is not None or peer.number in source.dropped:
            return
        piece = self._next_piece(source, peer)
        if piece is None:
            return
        rtt_s = self._topology.rtt_s(source.line.place, peer.line.place)
        limit_bps = self._physics.window_bytes / rtt_s if rtt_s > 0 else float("inf")
        route = (
            source.line.up,
            *self._topology.routes[source.line.place, peer.line.place],
            peer.line.down,
        )
        flow = self.transport.begin(self._pieces.size(piece), route, limit_bps=limit_bps)
        self._note(flow, Chunk(source.number, peer.number, piece))

    def bytes_here(self, peer: Peer) -> int:
        """What a peer has, pieces under way counted."""
        flows = peer.incoming.values()
        begun = sum(self._pieces.size(self._chunks[flow].piece) for flow in flows)
        return int(self.got[peer.number] + begun - self.transport.total_left(flows))

    def got_this_round(self, peer: Peer) -> dict[int, float]:
        """Payload from each source since `begin_round`, useful or not, pieces under way counted."""
        found = dict(peer.from_peers)
        for source, flow in peer.incoming.items():
            found[source] = found.get(source, 0.0) + self._moved(flow)
        return found

    def begin_round(self, peer: Peer) -> None:
        """Counts anew what each source sends to a peer."""
        peer.from_peers = {source: -self._moved(flow) for source, flow in peer.incoming.items()}

    def moved_from(self, peer: Peer, sources: Sequence[int]) -> float:
        """What has come of the pieces that are under way from some sources."""
        return sum(self._moved(peer.incoming[source]) for source in sources if source in peer.incoming)

    def _begin(self, source: Peer, peer: Peer, after_s: float) -> Generator[simpy.Event, object, None]:
        yield self._env.timeout(after_s)
        self.go_on(source, peer)

    # --- inside ------------------------------------------------------------------------------------------

    def _next_piece(self, source: Peer, peer: Peer) -> int | None:
        """The piece that comes next from a source: asked for earlier, or now."""
        asked = peer.requests.get(source.number)
        if asked:
            return asked.popleft()
        piece = self._pieces.pick(peer.number, source.number, in_order=peer.in_order, own=peer.own)
        if piece is not None:
            self._pieces.ask(peer.number, piece)
        return piece

    def _ask_ahead(self, source: Peer, peer: Peer, bytes_per_s: float) -> None:
        asked = peer.requests.setdefault(source.number, deque())
        depth = int(bytes_per_s * self._physics.requests_s / self._pieces.piece_length)
        while len(asked) < depth:
            piece = self._pieces.pick(peer.number, source.number, in_order=peer.in_order, own=peer.own)
            if piece is None:
                return
            self._pieces.ask(peer.number, piece)
            asked.append(piece)

    def _cancel_requests(self, source: Peer, peer: Peer) -> None:
        for piece in peer.requests.pop(source.number, ()):
            self._pieces.release(peer.number, piece)

    def _moved(self, flow: int) -> float:
        """What has come of the piece under way."""
        return self._pieces.size(self._chunks[flow].piece) - self.transport.left(flow)

    def _note(self, flow: int, chunk: Chunk) -> None:
        self._chunks[flow] = chunk
        self.peers[chunk.source].serving[chunk.peer] = flow
        self.peers[chunk.peer].incoming[chunk.source] = flow

    def _done(self, flow: int) -> None:
        chunk = self._chunks.pop(flow)
        source, peer = self.peers[chunk.source], self.peers[chunk.peer]
        size = self._pieces.size(chunk.piece)
        self._pieces.release(chunk.peer, chunk.piece)
        source.serving[chunk.peer] = None
        del peer.incoming[chunk.source]
        self.sent[chunk.source] += size
        source.served_since[chunk.peer] += size
        _count(peer, chunk.source, size)
        poison = source.behaviour.poison
        if poison and self._rng.random() < poison:
            self.wasted[chunk.peer] += size
            self._listener.got_wrong_piece(chunk)
            return
        if not self._pieces.got(chunk.peer, chunk.piece, peer.neighbour_array()):
            self.wasted[chunk.peer] += size
        else:
            self.got[chunk.peer] += size
            self._end_doubles(peer, chunk.piece)
            self._listener.got_piece(chunk)
            if self._pieces.missing[chunk.peer] == 0:
                self._complete(peer)
                return
        self._follow(flow, source, peer)

    def _follow(self, flow: int, source: Peer, peer: Peer) -> None:
        """The next piece over the same connection, with no pause: it was asked for in time."""
        if peer.number in source.dropped:
            source.forget(peer.number)
            self._cancel_requests(source, peer)
            return
        if source.serving.get(peer.number, 0) is not None:
            return  # they have parted meanwhile
        piece = self._next_piece(source, peer)
        if piece is not None:
            self.transport.follow(flow, self._pieces.size(piece))
            self._note(flow, Chunk(source.number, peer.number, piece))
            self._ask_ahead(source, peer, self.transport.rate(flow))

    def _end_doubles(self, peer: Peer, piece: int) -> None:
        """What others were asked for in the end-game is cancelled."""
        if not self._pieces.is_asked(peer.number, piece):
            return
        for asked in peer.requests.values():
            while piece in asked:
                asked.remove(piece)
                self._pieces.release(peer.number, piece)
        doubles = [source for source, flow in peer.incoming.items() if self._chunks[flow].piece == piece]
        for number in doubles:
            source = self.peers[number]
            if peer.number in source.dropped:  # it was its last piece
                self.stop(source, peer)
                continue
            share = source.served_since[peer.number]
            self.stop(source, peer)
            source.serving[peer.number], source.served_since[peer.number] = None, share
            self.go_on(source, peer)

    def _complete(self, peer: Peer) -> None:
        for number in list(peer.incoming):
            self.stop(self.peers[number], peer)
        for number in peer.neighbours:
            self.peers[number].forget(peer.number)
            self.peers[number].changed = True
        self._listener.got_all(peer.number)


def _count(peer: Peer, source: int, size: float) -> None:
    peer.from_peers[source] = peer.from_peers.get(source, 0.0) + size
