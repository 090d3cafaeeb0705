"""The table of pieces against plain sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.sim.crowd.pieces import PieceTable

PEERS, PIECES = 4, 7
NOISE = np.linspace(0, 0.99, PIECES, dtype=np.float32)


def new_table() -> PieceTable:
    return PieceTable(PIECES * 100 - 30, 100, peers=PEERS, noise=NOISE)


def test_sizes() -> None:
    table = new_table()
    assert table.count == PIECES
    assert [table.size(piece) for piece in range(PIECES)] == [100] * 6 + [70]


STEPS = st.lists(st.tuples(st.integers(0, PEERS - 1), st.integers(0, PIECES - 1)), max_size=40)


@given(STEPS, st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_who_has_what_and_how_rare_it_is(steps: list[tuple[int, int]], pairs: set[tuple[int, int]]) -> None:
    table = new_table()
    have: list[set[int]] = [set() for _ in range(PEERS)]
    links = {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}
    for one, other in sorted(links):
        table.meet(one, other)
    near = {
        peer: [other for pair in sorted(links) if peer in pair for other in pair if other != peer]
        for peer in range(PEERS)
    }
    for peer, piece in steps:
        assert table.got(peer, piece, np.array(near[peer], dtype=np.int64)) == (piece not in have[peer])
        have[peer].add(piece)
    for peer in range(PEERS):
        assert set(np.flatnonzero(table.have[peer]).tolist()) == have[peer]
        assert table.missing[peer] == PIECES - len(have[peer])
        everybody = np.arange(PEERS)
        assert table.interested(peer, everybody).tolist() == [bool(have[peer] - each) for each in have]
        for source in near[peer]:
            wanted = have[source] - have[peer]
            found = table.pick(peer, source, in_order=False)
            assert (found in wanted) if wanted else found is None
            if found is not None:
                copies = {piece: sum(piece in have[other] for other in near[peer]) for piece in wanted}
                assert copies[found] == min(copies.values())
                assert table.pick(peer, source, in_order=True) == min(wanted)
    counts = [sum(piece in each for each in have) for piece in range(PIECES)]
    least = min(counts)
    more = sum(count > least for count in counts) / PIECES
    assert table.full_copies(np.arange(PEERS)) == pytest.approx(least + more)
    assert table.full_copies(np.array([], dtype=np.int64)) == 0.0


def test_ones_own_pieces_go_before_others_as_rare_and_not_before_rarer_ones() -> None:
    table = new_table()
    table.fill(1)
    table.meet(0, 1)
    own = np.zeros(PIECES, dtype=np.bool_)
    own[[2, 5]] = True
    assert table.pick(0, 1, in_order=False, own=own) in {2, 5}
    for peer in (2, 3):
        table.meet(0, peer)
        for piece in (2, 5):
            table.got(peer, piece, np.array([0]))
    assert table.pick(0, 1, in_order=False, own=own) not in {2, 5}
    assert table.pick(0, 1, in_order=True, own=own) == 0


def test_what_is_asked_for_is_not_asked_for_again_before_the_end_game() -> None:
    table = new_table()
    table.fill(1)
    table.fill(2)
    asked: list[int] = []
    while (piece := table.pick(0, 1, in_order=True)) is not None and piece not in asked:
        table.ask(0, piece)
        assert table.is_asked(0, piece)
        asked.append(piece)
    assert asked == list(range(PIECES))
    again = table.pick(0, 2, in_order=False)
    assert again is not None
    table.ask(0, again)  # end-game: from two, and from no third
    assert table.pick(0, 2, in_order=False) != again
    table.release(0, again)
    assert table.is_asked(0, again)
    table.release(0, again)
    assert not table.is_asked(0, again)


def test_nothing_is_asked_twice_while_somebody_else_may_bring_what_is_open() -> None:
    table = new_table()
    table.got(1, 0, np.array([], dtype=np.int64))
    table.ask(0, 0)
    assert table.pick(0, 1, in_order=False) is None


def test_parting_takes_back_what_was_told() -> None:
    table = new_table()
    table.fill(1)
    table.got(2, 3, np.array([], dtype=np.int64))
    table.meet(0, 1)
    table.meet(0, 2)
    table.part(0, 2)
    before = table.pick(0, 1, in_order=False)
    fresh = new_table()
    fresh.fill(1)
    fresh.meet(0, 1)
    assert before == fresh.pick(0, 1, in_order=False)


def test_more_peers_and_new_names() -> None:
    table = new_table()
    table.fill(0)
    table.add_peers(2)
    table.inherit(PEERS, 0)
    assert table.have.shape == (PEERS + 2, PIECES)
    assert table.missing.tolist() == [0, PIECES, PIECES, PIECES, 0, PIECES]
