"""Pieces over connections: what counts for tit for tat, and what the end-game takes back."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import simpy

from ossdist.sim.crowd.behaviour import Altruist
from ossdist.sim.crowd.exchange import Chunk, Exchange, Physics
from ossdist.sim.crowd.peer import Line, Peer
from ossdist.sim.crowd.pieces import PieceTable
from ossdist.sim.crowd.topology import star

RATE = 1_000_000.0
PIECE = 8_000_000


class World:
    """One downloader, number 0, and sources with everything, at the given upload rates; pieces of eight seconds."""

    def __init__(self, *rates: float, pieces: int = 10) -> None:
        self.env = simpy.Environment()
        self.got: list[Chunk] = []
        self.table = PieceTable(
            pieces * PIECE, PIECE, peers=len(rates) + 1, noise=np.linspace(0, 1, pieces, dtype=np.float32)
        )
        physics = Physics(payload_share=1.0, tolerance=0.0, setup_rtts=0.0)
        self.exchange = Exchange(self.env, Random(1), star(), self.table, physics, self)
        for number, rate in enumerate((RATE, *rates)):
            add_link = self.exchange.transport.add_link
            line = Line(0, add_link(rate), add_link(100 * RATE))
            peer = Peer(number, number, line, Altruist(), completed=self.env.event(), banned=self.env.event())
            self.exchange.add(peer)
            if number:
                self.table.fill(number)
        self.peer, *self.sources = self.exchange.peers
        for source in self.sources:
            self.exchange.connect(self.peer, source)
            self.exchange.serve(source, self.peer)

    def got_piece(self, chunk: Chunk) -> None:
        self.got.append(chunk)

    def got_wrong_piece(self, chunk: Chunk) -> None:
        raise AssertionError(chunk)

    def got_all(self, peer: int) -> None:
        assert peer == 0


def test_pieces_under_way_count_for_tit_for_tat() -> None:
    """A round is shorter than a piece: who sends fast is seen to do so nevertheless."""
    world = World(RATE, RATE / 4)
    world.env.run(3.0)
    assert not world.got
    counted = world.exchange.got_this_round(world.peer)
    assert counted == {1: pytest.approx(3 * RATE, rel=0.02), 2: pytest.approx(3 * RATE / 4, rel=0.02)}


def test_every_round_counts_for_itself() -> None:
    """Also over the end of a piece, of which one part came before the round began."""
    world = World(RATE, RATE / 4)
    world.env.run(6.0)
    world.exchange.begin_round(world.peer)
    world.env.run(9.0)
    assert [chunk.source for chunk in world.got] == [1]
    counted = world.exchange.got_this_round(world.peer)
    assert counted == {1: pytest.approx(3 * RATE, rel=0.02), 2: pytest.approx(3 * RATE / 4, rel=0.02)}


def test_what_was_broken_off_counts_once() -> None:
    world = World(RATE)
    world.env.run(2.0)
    world.exchange.begin_round(world.peer)
    world.env.run(3.0)
    world.exchange.stop(world.sources[0], world.peer)
    assert world.exchange.got_this_round(world.peer) == {1: pytest.approx(RATE, rel=0.02)}
    assert world.exchange.wasted[0] == pytest.approx(3 * RATE, rel=0.02)


def test_nothing_is_counted_of_who_has_left() -> None:
    world = World(RATE)
    world.env.run(2.0)
    world.exchange.disconnect(world.sources[0], world.peer)
    assert world.exchange.got_this_round(world.peer) == {}


def test_a_choked_double_at_the_end_is_not_served_again() -> None:
    """The third source doubles what the first one sends, and chokes meanwhile: it must not go on with the second's."""
    world = World(RATE, RATE / 4, RATE / 8, pieces=2)
    third = world.sources[2]
    world.env.run(1.0)
    world.exchange.drop(third, world.peer)
    assert third.serving  # its piece is still under way
    world.env.run(9.0)
    assert [chunk.source for chunk in world.got] == [1]
    assert set(world.peer.incoming) == {1, 2}
    assert not third.serving
    assert not third.dropped


def test_a_double_goes_on_where_it_is_not_choked() -> None:
    """The third source doubles what the first one sends; when that has come, it goes on with the second one's."""
    world = World(RATE, RATE / 4, RATE / 8, pieces=2)
    third = world.sources[2]
    world.env.run(1.0)
    first_flow = third.serving[0]
    third.served_since[0] = 5.0  # what it has sent before counts on
    world.env.run(9.0)
    assert [chunk.source for chunk in world.got] == [1]
    assert first_flow is not None
    assert third.serving[0] not in {None, first_flow}
    assert third.served_since[0] == 5.0
