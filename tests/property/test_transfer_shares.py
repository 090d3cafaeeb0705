"""Who asks for which piece first: a crowd divides the pieces among itself without a word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ossdist.transfer.shares import most_rivals, own_pieces

IDENTITIES = st.lists(st.binary(min_size=20, max_size=20), min_size=2, max_size=12, unique=True)
PIECES = st.integers(0, 300)


@given(IDENTITIES, PIECES)
def test_every_piece_belongs_to_one_of_those_who_know_each_other(crowd: list[bytes], pieces: int) -> None:
    shares = [own_pieces(each, [other for other in crowd if other != each], pieces) for each in crowd]
    assert all(sum(owners) == 1 for owners in zip(*shares, strict=True))
    assert all(len(share) == pieces for share in shares)


@given(IDENTITIES, PIECES)
def test_who_leaves_changes_nobody_elses_pieces(crowd: list[bytes], pieces: int) -> None:
    me, gone, *rest = crowd
    before, after = own_pieces(me, [gone, *rest], pieces), own_pieces(me, rest, pieces)
    if rest:
        assert all(now for was, now in zip(before, after, strict=True) if was)


@given(IDENTITIES, PIECES)
def test_the_order_and_copies_of_names_do_not_count(crowd: list[bytes], pieces: int) -> None:
    me, *others = crowd
    assert own_pieces(me, others, pieces) == own_pieces(me, [*reversed(others), *others, me], pieces)


def test_alone_nothing_is_preferred() -> None:
    assert own_pieces(bytes(20), [], 5) == own_pieces(bytes(20), [bytes(20)], 5) == (False,) * 5


def test_a_crowd_beyond_the_bound_costs_no_more() -> None:
    crowd = [number.to_bytes(20) for number in range(1, most_rivals(500) + 50)]
    assert own_pieces(bytes(20), crowd, 500) == own_pieces(bytes(20), crowd[: most_rivals(500)], 500)


def test_the_bound_counts_pieces_too() -> None:
    assert [most_rivals(pieces) for pieces in (0, 1, 2600, 26_000, 10**6)] == [100, 100, 100, 10, 1]


def test_shares_are_about_equal() -> None:
    crowd = [bytes([number]) * 20 for number in range(10)]
    sizes = [sum(own_pieces(each, crowd, 2000)) for each in crowd]
    assert min(sizes) > 140
    assert max(sizes) < 260


def test_shares_are_the_same_on_every_machine() -> None:
    """Two clients that hash otherwise would both fetch a piece, or neither."""
    mine = own_pieces(b"-OD0001-aaaaaaaaaaaa", [b"-OD0001-bbbbbbbbbbbb", b"-OD0001-cccccccccccc"], 24)
    assert "".join("01"[own] for own in mine) == "010000000000001000000110"
