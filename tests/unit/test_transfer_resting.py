"""Which web seeds rest, and until when, by example."""

from __future__ import annotations

from ossdist.config import TransferConfig
from ossdist.transfer.resting import RestingWebSeeds
from ossdist.transfer.tally import Tally

CONFIG = TransferConfig(web_seed_retry_s=2, web_seed_retry_max_s=60)
FIRST, SECOND = "http://first.example/", "http://second.example/"
NOTHING = Tally()


def gave(bytes_done: int) -> Tally:
    return Tally(by_source={FIRST: bytes_done})


def test_one_that_never_failed_does_not_rest() -> None:
    resting = RestingWebSeeds(CONFIG)
    assert resting.awake([FIRST, SECOND]) == (FIRST, SECOND)
    assert resting.put_back(NOTHING, now_s=1000) == ()


def test_one_that_failed_rests_and_is_put_back_once() -> None:
    resting = RestingWebSeeds(CONFIG)
    resting.take_out(FIRST, NOTHING, now_s=100, for_good=False)
    assert resting.awake([FIRST, SECOND]) == (SECOND,)
    assert resting.put_back(NOTHING, now_s=101.9) == ()
    assert resting.put_back(NOTHING, now_s=102) == (FIRST,)
    assert resting.awake([FIRST, SECOND]) == (FIRST, SECOND)
    assert resting.put_back(NOTHING, now_s=1000) == ()


def test_each_failure_in_a_row_doubles_the_pause() -> None:
    resting, now_s = RestingWebSeeds(CONFIG), 0.0
    for pause_s in (2, 4, 8, 16, 32, 60, 60):
        resting.take_out(FIRST, gave(5), now_s=now_s, for_good=False)
        assert resting.put_back(gave(5), now_s=now_s + pause_s - 0.1) == ()
        now_s += pause_s
        assert resting.put_back(gave(5), now_s=now_s) == (FIRST,)


def test_one_that_gave_something_begins_with_a_short_pause() -> None:
    resting = RestingWebSeeds(CONFIG)
    for now_s in (0, 10, 20):
        resting.take_out(FIRST, gave(5), now_s=now_s, for_good=False)
        resting.put_back(gave(5), now_s=now_s + 8)
    resting.put_back(gave(6), now_s=30)
    resting.take_out(FIRST, gave(6), now_s=40, for_good=False)
    assert resting.put_back(gave(6), now_s=42) == (FIRST,)


def test_what_another_one_gave_shortens_nothing() -> None:
    resting = RestingWebSeeds(CONFIG)
    resting.take_out(SECOND, gave(5), now_s=0, for_good=False)
    assert resting.put_back(gave(9), now_s=2) == (SECOND,)
    resting.take_out(SECOND, gave(9), now_s=2, for_good=False)
    assert resting.put_back(gave(9), now_s=5.9) == ()


def test_one_with_wrong_data_never_comes_back() -> None:
    resting = RestingWebSeeds(CONFIG)
    resting.take_out(FIRST, NOTHING, now_s=0, for_good=True)
    assert resting.put_back(gave(9), now_s=1e9) == ()
    assert resting.awake([FIRST]) == ()


def test_all_are_banned_only_if_each_is() -> None:
    resting = RestingWebSeeds(CONFIG)
    assert resting.all_banned([])
    assert not resting.all_banned([FIRST])
    resting.take_out(FIRST, NOTHING, now_s=0, for_good=True)
    assert resting.all_banned([FIRST])
    resting.take_out(SECOND, NOTHING, now_s=0, for_good=False)
    assert not resting.all_banned([FIRST, SECOND])
    resting.take_out(SECOND, NOTHING, now_s=9, for_good=True)
    assert resting.all_banned([FIRST, SECOND])
