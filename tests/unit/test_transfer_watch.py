"""When a transfer changes swarms or gives up, by example."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ossdist.config import TransferConfig
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import PeerKind, PeerStatus
from ossdist.transfer.watch import (
    GiveUp,
    Observation,
    Stay,
    Swarm,
    Switch,
    WatchState,
    prefer_sequential,
    retry_pause_s,
    step,
)

CONFIG = TransferConfig(swarm_patience_s=10, exhausted_after_s=60, web_seed_retry_s=2, web_seed_retry_max_s=60)
BEGIN = WatchState(Swarm.HYBRID, best_bytes=0, news_at_s=100, joined_at_s=100)


def seen(now_s: float, bytes_done: int = 0, verified_bytes: int = 0, *, checking: bool = False) -> Observation:
    return Observation(now_s, bytes_done, verified_bytes, checking=checking)


def peer(*, seed: bool = True, kind: PeerKind = PeerKind.PEER) -> PeerStatus:
    return PeerStatus(
        address=Address("192.0.2.1", 1),
        kind=kind,
        key="key",
        client="client",
        seed=seed,
        choking=False,
        snubbed=False,
        payload_download=0,
        payload_upload=0,
        download_bytes_per_s=0,
        upload_bytes_per_s=0,
    )


def test_it_stays_as_long_as_it_has_patience() -> None:
    assert step(BEGIN, seen(109.9), CONFIG, can_switch=True) == (BEGIN, Stay())


def test_without_news_it_tries_the_other_swarm() -> None:
    state, decision = step(BEGIN, seen(110), CONFIG, can_switch=True)
    assert decision == Switch(Swarm.V1, "the hybrid swarm gave nothing for 10.0 s")
    assert state == WatchState(Swarm.V1, best_bytes=0, news_at_s=100, joined_at_s=110)
    state, decision = step(state, seen(119.9), CONFIG, can_switch=True)
    assert decision == Stay()
    state, decision = step(state, seen(120), CONFIG, can_switch=True)
    assert isinstance(decision, Switch)
    assert decision.swarm is state.swarm is Swarm.HYBRID


def test_without_another_swarm_it_waits_to_the_end() -> None:
    state, decision = step(BEGIN, seen(159.9), CONFIG, can_switch=False)
    assert decision == Stay()
    assert step(state, seen(160), CONFIG, can_switch=False)[1] == GiveUp(60)


def test_switching_does_not_stop_the_clock() -> None:
    state, now_s = BEGIN, 100.0
    while True:
        now_s += 0.5
        state, decision = step(state, seen(now_s), CONFIG, can_switch=True)
        if isinstance(decision, GiveUp):
            break
    assert now_s == 160


def test_new_bytes_are_news() -> None:
    state, decision = step(BEGIN, seen(159, 1), CONFIG, can_switch=True)
    assert decision == Stay()
    assert state == replace(BEGIN, best_bytes=1, news_at_s=159)
    state, _ = step(BEGIN, seen(159, 1, 1), CONFIG, can_switch=True)
    assert state == replace(BEGIN, best_bytes=1, news_at_s=159, verified_bytes=1, grew=True)


def test_bytes_that_come_and_go_are_no_news() -> None:
    state, _ = step(BEGIN, seen(101, 1000), CONFIG, can_switch=False)
    for now_s in range(102, 161):  # a piece that is always wrong
        state, decision = step(state, seen(now_s, 1000 if now_s % 2 else 0), CONFIG, can_switch=False)
        assert decision == Stay()
    assert isinstance(step(state, seen(161, 1000), CONFIG, can_switch=False)[1], GiveUp)


def test_time_spent_checking_does_not_count() -> None:
    state, decision = step(BEGIN, seen(1000, checking=True), CONFIG, can_switch=True)
    assert decision == Stay()
    assert step(state, seen(1009.9), CONFIG, can_switch=True)[1] == Stay()
    assert isinstance(step(state, seen(1010), CONFIG, can_switch=True)[1], Switch)
    assert isinstance(step(state, seen(1060), CONFIG, can_switch=True)[1], GiveUp)


def test_what_was_on_disk_is_no_news() -> None:
    state, decision = step(replace(BEGIN, best_bytes=None), seen(105, 5000, 5000), CONFIG, can_switch=True)
    assert decision == Stay()
    assert state == replace(BEGIN, best_bytes=5000, verified_bytes=5000)
    assert isinstance(step(state, seen(110, 5000, 5000), CONFIG, can_switch=True)[1], Switch)


def test_each_swarm_gets_its_turn_even_if_patience_is_long() -> None:
    patient = replace(CONFIG, swarm_patience_s=1000)
    assert step(BEGIN, seen(119.9), patient, can_switch=True)[1] == Stay()
    assert isinstance(step(BEGIN, seen(120), patient, can_switch=True)[1], Switch)


def test_unfinished_pieces_that_a_change_loses_are_news_when_they_come_again() -> None:
    state, _ = step(BEGIN, seen(101, 5000, 3000), CONFIG, can_switch=True)
    state, decision = step(state, seen(111, 5000, 3000), CONFIG, can_switch=True)
    assert isinstance(decision, Switch)
    state, _ = step(state, seen(112, checking=True), CONFIG, can_switch=True)
    state, decision = step(state, seen(113, 3000, 3000), CONFIG, can_switch=True)
    assert decision == Stay()
    assert state.best_bytes == 3000
    assert state.news_at_s == pytest.approx(102)
    state, _ = step(state, seen(114, 3001, 3000), CONFIG, can_switch=True)
    assert state.news_at_s == 114


def test_whoever_gives_a_block_to_everybody_who_joins_does_not_keep_us() -> None:
    state, now_s, joined_s = BEGIN, 100.0, 100.0
    while now_s < 1000:
        now_s += 0.5
        state, decision = step(state, seen(now_s, 1 if now_s > joined_s + 1 else 0), CONFIG, can_switch=True)
        if isinstance(decision, Switch):
            joined_s = now_s
        if isinstance(decision, GiveUp):
            break
    assert now_s == pytest.approx(161, abs=1)


def test_pieces_come_in_order_only_when_nobody_trades() -> None:
    large = 1 << 30
    assert prefer_sequential([], total_bytes=large, mirrors=False)
    assert prefer_sequential([peer(), peer(seed=False, kind=PeerKind.WEB_SEED)], total_bytes=large, mirrors=True)
    for mirrors in (False, True):
        assert not prefer_sequential([peer(), peer(seed=False)], total_bytes=large, mirrors=mirrors)


def test_small_files_from_seeds_alone_come_out_of_order() -> None:
    assert not prefer_sequential([peer(), peer()], total_bytes=32 << 20, mirrors=False)
    assert prefer_sequential([peer(), peer()], total_bytes=32 << 20, mirrors=True)
    assert prefer_sequential([peer(), peer()], total_bytes=(32 << 20) + 1, mirrors=False)


def test_a_web_seed_is_asked_again_after_doubling_pauses() -> None:
    assert [retry_pause_s(failures, CONFIG) for failures in (1, 2, 3, 4, 5, 6, 100_000)] == [2, 4, 8, 16, 32, 60, 60]


def test_each_swarm_has_another() -> None:
    assert {swarm.other for swarm in Swarm} == set(Swarm)
    assert all(swarm.other.other is swarm for swarm in Swarm)


def test_a_block_for_everybody_who_joins_keeps_nobody_for_ever() -> None:
    """Unfinished pieces are lost at each change of swarms; regaining them is news once, not again and again."""
    config = TransferConfig(swarm_patience_s=10, exhausted_after_s=60)
    state = WatchState(Swarm.HYBRID, best_bytes=None, news_at_s=0.0, joined_at_s=0.0)
    partial = 0
    for second in range(600):
        state, decision = step(state, Observation(float(second), partial, 0, checking=False), config, can_switch=True)
        if isinstance(decision, GiveUp):
            break
        partial = 0 if isinstance(decision, Switch) else 16_384
    else:
        raise AssertionError("it never gave up")
    assert second <= 130


def test_each_swarm_has_its_turn_however_short_the_time() -> None:
    config = TransferConfig(swarm_patience_s=10, exhausted_after_s=3)
    state = WatchState(Swarm.HYBRID, best_bytes=None, news_at_s=0.0, joined_at_s=0.0)
    seen: list[object] = []
    for tick in range(40):
        state, decision = step(state, Observation(tick / 10, 0, 0, checking=False), config, can_switch=True)
        seen.append(type(decision))
        if isinstance(decision, GiveUp):
            break
    assert seen.index(Switch) < seen.index(GiveUp)


def test_when_nobody_is_left_to_ask_it_gives_up_at_once() -> None:
    hopeless = Observation(100.5, 0, 0, checking=False, hopeless=True)
    for can_switch in (True, False):
        assert step(BEGIN, hopeless, CONFIG, can_switch=can_switch)[1] == GiveUp(0.5)


def test_when_nobody_is_left_to_ask_the_check_still_comes_first() -> None:
    checking = Observation(100.5, 0, 0, checking=True, hopeless=True)
    assert step(BEGIN, checking, CONFIG, can_switch=True)[1] == Stay()


def test_what_still_arrives_is_waited_for_though_nobody_is_left() -> None:
    state, decision = step(BEGIN, Observation(101, 5, 0, checking=False, hopeless=True), CONFIG, can_switch=True)
    assert decision == Stay()
    assert step(state, Observation(102, 5, 0, checking=False, hopeless=True), CONFIG, can_switch=True)[1] == GiveUp(1)
