"""When a transfer changes swarms or gives up, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ossdist.config import TransferConfig
from ossdist.transfer.watch import GiveUp, Observation, Swarm, Switch, WatchState, retry_pause_s, step

SECONDS = st.floats(0.01, 100, allow_nan=False)
CONFIGS = st.builds(
    TransferConfig,
    swarm_patience_s=SECONDS,
    exhausted_after_s=SECONDS,
    web_seed_retry_s=SECONDS,
    web_seed_retry_max_s=SECONDS,
)


@dataclass(frozen=True)
class Look:
    """One look: how long after the last one, and what has changed."""

    after_s: float
    gained: int
    verified: int
    checking: bool


LOOKS = st.lists(
    st.builds(
        Look,
        after_s=st.floats(0.01, 20, allow_nan=False),
        gained=st.sampled_from([0, 0, 0, -5, 1, 7]),
        verified=st.sampled_from([0, 0, 0, 5]),
        checking=st.sampled_from([False, False, False, True]),
    ),
    max_size=60,
)


@given(config=CONFIGS, looks=LOOKS, can_switch=st.booleans())
def test_it_gives_up_exactly_when_it_must(config: TransferConfig, looks: list[Look], *, can_switch: bool) -> None:
    patience_s = min(config.swarm_patience_s, config.exhausted_after_s / 3)
    now_s, bytes_done, verified = 0.0, 0, 0
    best: int | None = None  # of all bytes that were here; what is found first is no news
    most_verified, grew = 0, False
    quiet_s = here_s = 0.0  # since news, and since that or joining, without the time of checks
    state = WatchState(Swarm.HYBRID, best_bytes=None, news_at_s=now_s, joined_at_s=now_s)
    for look in looks:
        now_s += look.after_s
        bytes_done = max(0, bytes_done + look.gained)
        verified = min(bytes_done, verified + look.verified)
        before = state
        seen = Observation(now_s, bytes_done, verified, checking=look.checking)
        state, decision = step(state, seen, config, can_switch=can_switch)
        if look.checking:
            assert not isinstance(decision, GiveUp | Switch)
            quiet_s, here_s = max(0.0, quiet_s - here_s), 0.0
            continue
        quiet_s, here_s = quiet_s + look.after_s, here_s + look.after_s
        if verified > most_verified:
            most_verified, grew = verified, best is not None
        if best is None:
            best = bytes_done
        elif bytes_done > best:
            best, quiet_s, here_s = bytes_done, 0.0, 0.0
            assert not isinstance(decision, GiveUp | Switch)
        slack_s = 1e-6 * (1 + now_s)
        if isinstance(decision, GiveUp):
            assert quiet_s >= config.exhausted_after_s - slack_s
            assert abs(decision.waited_s - quiet_s) <= slack_s
            return
        assert quiet_s < config.exhausted_after_s + slack_s
        if isinstance(decision, Switch):
            assert can_switch
            assert here_s >= patience_s - slack_s
            assert decision.swarm is state.swarm is before.swarm.other
            assert state.news_at_s == before.news_at_s  # switching wins no time
            best, grew, here_s = None if grew else best, False, 0.0
        else:
            assert state.swarm is before.swarm
            assert not can_switch or here_s < patience_s + slack_s


@given(config=CONFIGS, poll_s=st.floats(0.1, 2), stays=st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_without_a_whole_piece_it_ends_in_time(config: TransferConfig, poll_s: float, stays: list[int]) -> None:
    """Blocks that never become a piece, lost and given again at every change, do not keep it for ever."""
    state = WatchState(Swarm.HYBRID, best_bytes=None, news_at_s=0.0, joined_at_s=0.0)
    now_s, stay, most = 0.0, 0, 0
    last_new_s = 0.0
    for _ in range(100_000):
        now_s += poll_s
        bytes_done = stays[stay % len(stays)]
        if bytes_done > most:
            most, last_new_s = bytes_done, now_s
        state, decision = step(state, Observation(now_s, bytes_done, 0, checking=False), config, can_switch=True)
        if isinstance(decision, GiveUp):
            break
        stay += isinstance(decision, Switch)
    assert now_s <= last_new_s + config.exhausted_after_s + poll_s + 1e-6


@given(CONFIGS, st.integers(1, 1000))
def test_pauses_grow_up_to_their_limit(config: TransferConfig, failures: int) -> None:
    pause_s = retry_pause_s(failures, config)
    assert 0 < pause_s <= config.web_seed_retry_max_s
    assert pause_s <= retry_pause_s(failures + 1, config) <= 2 * pause_s
    assert retry_pause_s(1, config) == min(config.web_seed_retry_s, config.web_seed_retry_max_s)
