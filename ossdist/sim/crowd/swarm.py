"""A swarm of the model: its peers come and go, find each other, and serve each other, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import simpy

from ossdist.config import MirrorConfig, TransferConfig
from ossdist.sim.crowd.behaviour import profile_of
from ossdist.sim.crowd.choking import Choking
from ossdist.sim.crowd.discovery import Discovery, Finder
from ossdist.sim.crowd.exchange import Chunk, Exchange, Physics
from ossdist.sim.crowd.outcome import Outcome, Record
from ossdist.sim.crowd.peer import Line, Peer
from ossdist.sim.crowd.pieces import MOST_PIECES, PieceTable
from ossdist.sim.crowd.policy import MirrorChoice, Shares, Watching
from ossdist.sim.crowd.resident import Resident
from ossdist.sim.crowd.serving import Serving
from ossdist.sim.crowd.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ossdist.mirrors.sites import Site
    from ossdist.sim.crowd.behaviour import Behaviour
    from ossdist.sim.crowd.topology import Access, Topology


@dataclass(slots=True)
class Mirror:
    """An HTTP mirror.

    Attributes:
        site: What clients know of it.
        peer: Its row in the table of pieces.
        up: It answers.
    """

    site: Site
    peer: Peer
    up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Everything that is not a host.

    Attributes:
        physics: The network.
        choking: Whom peers serve.
        discovery: How they find each other.
        transfer: When a transfer acts (production's own configuration).
        mirrors: How mirrors are asked (production's own configuration).
        watch: Ask production's policy at all; without it no transfer gives up.
    """

    physics: Physics = field(default_factory=Physics)
    choking: Choking = field(default_factory=Choking)
    discovery: Discovery = field(default_factory=Discovery)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    mirrors: MirrorConfig = field(default_factory=MirrorConfig)
    watch: bool = True


class CrowdSwarm:
    """One release's swarm.

    Args:
        topology: Where hosts are.
        length: Of the release, in bytes.
        piece_length: Of its pieces.
        rules: See there.
        seed: Of all randomness; the same one gives the same run.
        room: How many peers to make room for at first.

    Attributes:
        env: Virtual time.
        trace: A hash of what happened.
        records: What became of those who came for the release.
    """

    def __init__(
        self, topology: Topology, *, length: int, piece_length: int, rules: Rules, seed: int, room: int = 64
    ) -> None:
        if not 0 < length <= piece_length * MOST_PIECES:
            raise ValueError(f"{length} bytes in pieces of {piece_length} are none, or more than {MOST_PIECES} pieces")
        self.env = simpy.Environment()
        self.rng = Random(seed)  # noqa: S311  # a simulation
        self.trace = Trace()
        self.rules = rules
        self.length = length
        self.records: dict[int, Record] = {}
        # RandomState's stream is frozen (NEP 19), whatever the version of numpy.
        noise = np.random.RandomState(seed).random_sample(-(-length // piece_length)).astype(np.float32)
        self.pieces = PieceTable(length, piece_length, peers=room, noise=noise)
        self._shares = Shares(self.pieces.count)
        self.exchange = Exchange(self.env, self.rng, topology, self.pieces, rules.physics, self)
        self.serving = Serving(self.env, self.rng, self.pieces, self.exchange, rules.choking)
        self._topology = topology
        self._room = room
        self._hosts = 0
        self._finder = Finder(self.env, self.rng, rules.discovery, self)
        self._mirrors: dict[str, Mirror] = {}
        self._mirror_rows: dict[int, Mirror] = {}
        self._open = 0

    @property
    def peers(self) -> Sequence[Peer]:
        """All peers that ever were."""
        return self.exchange.peers

    # --- what a scenario puts there ----------------------------------------------------------------------

    def add_host(
        self, place: int, access: Access, behaviour: Behaviour, *, arrives_s: float = 0.0, has_all: bool = False
    ) -> None:
        """Adds a host with its behaviour.

        Args:
            place: The number of its place.
            access: Its line.
            behaviour: How its owner uses it.
            arrives_s: When it comes.
            has_all: It has the release already.
        """
        line = self._line(place, access, behaviour.up_share)
        host, self._hosts = self._hosts, self._hosts + 1
        for _ in range(behaviour.identities):
            peer = self.new_peer(host, line, behaviour)
            if has_all:
                self.pieces.fill(peer.number)
                peer.completed.succeed()
            elif not behaviour.poison:  # a poisoner wants nothing
                profile = profile_of(behaviour)
                self.records[peer.number] = Record(host, profile, arrived_s=float("inf"))
                self._open += 1
            else:
                self.pieces.fill(peer.number)
            self.env.process(Resident(self, peer).live(arrives_s))

    def add_mirror(self, site: Site, place: int, access: Access, behaviour: Behaviour) -> Mirror:
        """Adds an HTTP mirror that all clients know."""
        host, self._hosts = self._hosts, self._hosts + 1
        peer = self.new_peer(host, self._line(place, access, 1.0), behaviour)
        peer.is_mirror = True
        self.pieces.fill(peer.number)
        self._mirrors[site.url] = mirror = Mirror(site, peer)
        self._mirror_rows[peer.number] = mirror
        return mirror

    def set_mirror(self, url: str, *, up: bool) -> None:
        """A mirror goes down, with all that it was sending, or comes back."""
        mirror = self._mirrors[url]
        mirror.up = up
        self.trace.note(self.env.now, b"mirror", mirror.peer.number, int(up))
        if not up:
            for number in list(mirror.peer.serving):
                self._mirror_fails(mirror, self.peers[number])

    def run(self, until_s: float) -> None:
        """Goes on until everybody who came has everything or has given up, or until that time."""
        while self._open and self.env.peek() <= until_s:
            self.env.step()
        if self._open and self.env.now < until_s:
            self.env.run(until_s)  # nothing happens until then, and it is that time nevertheless

    @property
    def open(self) -> int:
        """How many have come, or will, and neither have everything nor have given up."""
        return self._open

    @property
    def completed(self) -> int:
        """How many who came have everything."""
        return sum(record.completed_s is not None for record in self.records.values())

    def began_complete(self, peer: Peer) -> bool:
        """Whether a peer, no mirror, had everything from the start."""
        return not peer.is_mirror and peer.number not in self.records and not peer.behaviour.poison

    def outcomes(self) -> list[Outcome]:
        """What became of everybody who came for the release."""
        return [
            Outcome(number, found.host, found.profile, found.arrived_s, found.completed_s, found.gave_up_s)
            for number, found in self.records.items()
        ]

    # --- what residents do -------------------------------------------------------------------------------

    def new_peer(self, host: int, line: Line, behaviour: Behaviour) -> Peer:
        """A peer that nobody has met yet."""
        number = len(self.peers)
        if number == self._room:
            self.pieces.add_peers(self._room)
            self._room *= 2
        peer = Peer(number, host, line, behaviour, completed=self.env.event(), banned=self.env.event())
        self.exchange.add(peer)
        return peer

    def copy_pieces(self, peer: Peer, before: Peer) -> None:
        """A new peer has what an older one has."""
        self.pieces.inherit(peer.number, before.number)

    def sent_by(self, peer: Peer) -> float:
        """Bytes that a peer has sent."""
        return self.exchange.sent[peer.number]

    def join(self, peer: Peer) -> None:
        """A peer takes part; not if its policy has given up."""
        record = self.records.get(peer.number)
        if record is not None and record.gave_up_s is not None:
            return
        peer.online = True
        peer.visits += 1
        self.trace.note(self.env.now, b"join", peer.number)
        downloads = self.pieces.missing[peer.number] > 0
        if record is not None:
            record.arrived_s = min(record.arrived_s, self.env.now)
        if downloads and self.rules.watch:
            peer.watching = Watching(self.rules.transfer, now_s=self.env.now)
            if self._mirrors and peer.choice is None:
                sites = [mirror.site for mirror in self._mirrors.values()]
                peer.choice = MirrorChoice(self.rules.mirrors, sites, now_s=self.env.now, rng=self.rng)
            peer.in_order = peer.watching.in_order(knows_leechers=False, total_bytes=self.length)
            self.env.process(self._watch(peer))
        self._finder.join(peer)
        if peer.behaviour.slots:
            self.env.process(self.serving.serve(peer))
        if downloads:
            self._look_at_mirrors(peer)

    def leave(self, peer: Peer) -> None:
        """A peer takes part no more."""
        if not peer.online:
            return
        peer.online = False
        self.trace.note(self.env.now, b"leave", peer.number)
        self._finder.leave(peer)
        for number in list(peer.neighbours):
            self.exchange.disconnect(peer, self.peers[number])
        for mirror in self._mirrors.values():
            self.exchange.stop(mirror.peer, peer)

    # --- what the exchange tells -------------------------------------------------------------------------

    def got_piece(self, chunk: Chunk) -> None:
        """Who was waiting for something from this peer goes on; who has a place free gives it."""
        self.trace.note(self.env.now, b"piece", *chunk)
        source, peer = self.peers[chunk.source], self.peers[chunk.peer]
        if source.is_mirror and peer.choice is not None:
            size = self.pieces.size(chunk.piece)
            peer.from_mirrors += size
            peer.choice.gave(self._mirror_rows[source.number].site.url, size, 0.0, now_s=self.env.now)
        # This piece is the news; what else may be open again waits for the next round.
        self.serving.wake(peer, chunk.piece)
        self.serving.fill_places(peer)

    def got_wrong_piece(self, chunk: Chunk) -> None:
        """The peer bans the source."""
        self.trace.note(self.env.now, b"wrong", *chunk)
        source, peer = self.peers[chunk.source], self.peers[chunk.peer]
        if source.is_mirror:
            self._mirror_fails(self._mirror_rows[source.number], peer, wrong_data=True)
            return
        peer.bans.add(source.number)
        if source.number in peer.neighbours:
            self.exchange.disconnect(peer, source)
        if not source.banned.triggered:
            source.banned.succeed()

    def got_all(self, peer: int) -> None:
        """A peer is complete."""
        self.trace.note(self.env.now, b"complete", peer)
        if (record := self.records.get(peer)) is not None:
            record.completed_s = self.env.now
            self._open -= 1
        self.peers[peer].completed.succeed()

    # --- what discovery asks -----------------------------------------------------------------------------

    def dial(self, peer: Peer, number: int) -> None:
        """A peer tries to connect to another one."""
        other = self.peers[number]
        most = self.rules.discovery.most
        if len(peer.neighbours) >= most or len(other.neighbours) >= most:
            return
        if number == peer.number or number in peer.neighbours:
            return
        both_complete = not self.pieces.missing[peer.number] and not self.pieces.missing[number]
        if both_complete or not other.online or not self.exchange.may_connect(peer, other):
            return
        self.exchange.connect(peer, other)
        for one, another in ((peer, other), (other, peer)):
            if self.pieces.missing[another.number]:
                self.serving.fill_places(one)

    def _look_round(self, peer: Peer) -> None:
        if peer.watching is not None and peer.changed:
            peer.changed = False
            near = peer.neighbour_array()
            rivals = frozenset(near[self.pieces.missing[near] > 0].tolist())
            if rivals != peer.rivals:
                peer.rivals = rivals
                peer.own = self._shares.own_pieces(peer.number, rivals)
            peer.in_order = peer.watching.in_order(knows_leechers=bool(rivals), total_bytes=self.length)

    # --- mirrors -----------------------------------------------------------------------------------------

    def _watch(self, peer: Peer) -> Generator[simpy.Event, object, None]:
        watching, visit = peer.watching, peer.visits
        while watching is not None:
            yield self.env.timeout(self.rules.transfer.poll_s)
            if not peer.is_here(visit) or not self.pieces.missing[peer.number]:
                return
            if watching.gives_up(self.exchange.bytes_here(peer), now_s=self.env.now):
                self.trace.note(self.env.now, b"gives up", peer.number)
                if (record := self.records.get(peer.number)) is not None:
                    record.gave_up_s = self.env.now
                    self._open -= 1
                self.leave(peer)
                return
            self._look_round(peer)
            for mirror in self._mirrors.values():
                self.exchange.go_on(mirror.peer, peer)
            self._look_at_mirrors(peer)

    def _look_at_mirrors(self, peer: Peer) -> None:
        """Asks as many mirrors as production would, or none."""
        if peer.choice is None:
            return
        now_s = self.env.now
        rows = tuple(self._mirror_rows)
        came = peer.from_mirrors + self.exchange.moved_from(peer, rows)
        from_peers = max(0.0, self.exchange.bytes_here(peer) - came)
        if not peer.choice.asked(now_s=now_s, bytes_from_peers=from_peers, bytes_from_mirrors=came):
            for mirror in self._mirrors.values():
                if peer.number in mirror.peer.serving:
                    self.exchange.drop(mirror.peer, peer)
            return
        self._start_mirrors(peer)

    def _start_mirrors(self, peer: Peer) -> None:
        if peer.choice is None:
            return
        active = {
            url
            for url, mirror in self._mirrors.items()
            if peer.number in mirror.peer.serving and peer.number not in mirror.peer.dropped
        }
        for url in peer.choice.to_start(active, now_s=self.env.now):
            mirror = self._mirrors[url]
            if mirror.up:
                self.exchange.serve(mirror.peer, peer)
            else:
                self._mirror_fails(mirror, peer)

    def _mirror_fails(self, mirror: Mirror, peer: Peer, *, wrong_data: bool = False) -> None:
        self.exchange.stop(mirror.peer, peer)
        if peer.choice is not None:
            peer.choice.failed(mirror.site.url, now_s=self.env.now, wrong_data=wrong_data)
            if not wrong_data:
                self._start_mirrors(peer)

    # --- the rest ----------------------------------------------------------------------------------------

    def _line(self, place: int, access: Access, up_share: float) -> Line:
        share = self.rules.physics.payload_share
        transport = self.exchange.transport
        up = transport.add_link(access.up_bps * share * up_share)
        return Line(place, up, transport.add_link(access.down_bps * share))
