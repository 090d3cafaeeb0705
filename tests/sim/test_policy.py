"""The model asks production's own functions."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ossdist.config import MirrorConfig, TransferConfig
from ossdist.mirrors.sites import Site
from ossdist.sim.crowd.policy import ContributorsFirst, EverybodyEqual, MirrorChoice, Shares, Watching, peer_id
from ossdist.transfer.shares import own_pieces

MIRRORS = ("https://a.example/", "https://b.example/")
CONFIG = TransferConfig(exhausted_after_s=30.0)


@given(st.integers(0, 50), st.sets(st.integers(0, 50), max_size=8), st.integers(0, 40))
def test_shares_are_productions(peer: int, rivals: set[int], pieces: int) -> None:
    rivals.discard(peer)
    found = Shares(pieces).own_pieces(peer, rivals)
    expected = own_pieces(peer_id(peer), map(peer_id, rivals), pieces)
    assert (found.tolist() if found is not None else [False] * pieces) == list(expected)


def test_peer_ids_are_like_real_ones() -> None:
    assert len({peer_id(number) for number in range(1000)}) == 1000
    assert {len(peer_id(number)) for number in (0, 1, 10**6)} == {20}


def test_it_gives_up_when_production_would() -> None:
    watching = Watching(CONFIG, now_s=0.0)
    assert not watching.gives_up(0, now_s=29.9)
    assert not watching.gives_up(5, now_s=31.0)  # news
    assert not watching.gives_up(5, now_s=60.9)
    assert watching.gives_up(5, now_s=61.0)


def choice(**config: float) -> MirrorChoice:
    sites = [Site(url=url) for url in MIRRORS]
    return MirrorChoice(MirrorConfig(**config), sites, now_s=0.0, rng=Random(1))  # type: ignore[arg-type]


def test_mirrors_rest_as_in_production() -> None:
    mirrors = choice()
    mirrors.failed(MIRRORS[0], now_s=10.0)
    mirrors.failed(MIRRORS[1], now_s=10.0, wrong_data=True)
    assert mirrors.to_start(set(), now_s=10.9) == ()
    assert mirrors.to_start(set(), now_s=11.0) == (MIRRORS[0],)
    mirrors.failed(MIRRORS[0], now_s=11.0)
    assert mirrors.to_start(set(), now_s=12.9) == ()
    assert mirrors.to_start(set(), now_s=13.0) == (MIRRORS[0],)
    mirrors.gave(MIRRORS[0], 1000, 1.0, now_s=14.0)
    mirrors.failed(MIRRORS[0], now_s=14.0)
    assert mirrors.to_start(set(), now_s=15.0) == (MIRRORS[0],)


def test_who_sends_wrong_data_twice_is_out() -> None:
    mirrors = choice()
    mirrors.failed(MIRRORS[0], now_s=10.0, wrong_data=True)
    assert MIRRORS[0] in mirrors.to_start(set(), now_s=100.0)
    mirrors.failed(MIRRORS[0], now_s=100.0, wrong_data=True)
    assert MIRRORS[0] not in mirrors.to_start(set(), now_s=1e6)


def test_as_many_as_shall_be_asked_at_once() -> None:
    assert len(choice(at_once=1).to_start(set(), now_s=0.0)) == 1
    assert choice(at_once=1).to_start({MIRRORS[0]}, now_s=0.0) == ()


def test_peers_have_their_head_start() -> None:
    mirrors = choice(head_start_s=2.0)
    assert not mirrors.asked(now_s=1.0, bytes_from_peers=5e6, bytes_from_mirrors=0.0)
    assert mirrors.asked(now_s=2.5, bytes_from_peers=9e6, bytes_from_mirrors=0.0)


def test_in_order_while_nobody_trades() -> None:
    large, small = 1 << 30, 1 << 20
    assert Watching(CONFIG, now_s=0.0).in_order(knows_leechers=False, total_bytes=large)
    assert not Watching(CONFIG, now_s=0.0).in_order(knows_leechers=True, total_bytes=large)
    assert not Watching(CONFIG, now_s=0.0).in_order(knows_leechers=False, total_bytes=small)


def test_contributors_go_first_and_newcomers_have_a_grace() -> None:
    sent, got = [0.0, 1e6, 50e6, 0.0], [1e6, 100e6, 100e6, 100e6]
    priority = ContributorsFirst(sent, got)
    assert [priority.tier(0, peer) for peer in range(4)] == [1, 0, 1, 0]
    assert {EverybodyEqual().tier(0, peer) for peer in range(4)} == {0}


def test_hashes_are_arrays_of_the_numbers_that_production_compares() -> None:
    shares = Shares(16)
    mine = shares.own_pieces(1, {2, 3})
    assert mine is not None
    assert mine.dtype == np.bool_
    assert mine.shape == (16,)
