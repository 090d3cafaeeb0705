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
    checking: bool


LOOKS = st.lists(
    st.builds(
        Look,
        after_s=st.floats(0.01, 20, allow_nan=False),
        gained=st.sampled_from([0, 0, 0, -5, 1, 7]),
        checking=st.sampled_from([False, False, False, True]),
    ),
    max_size=60,
)


@given(config=CONFIGS, looks=LOOKS, can_switch=st.booleans())
def test_it_gives_up_exactly_when_it_must(config: TransferConfig, looks: list[Look], *, can_switch: bool) -> None:
    now_s, bytes_done, best = 0.0, 0, 0
    checked_before = False
    quiet_s = here_s = 0.0  # since news, and since that or joining, without the time of checks
    state = WatchState(Swarm.HYBRID, best_bytes=0, news_at_s=now_s, joined_at_s=now_s)
    for look in looks:
        now_s += look.after_s
        bytes_done = max(0, bytes_done + look.gained)
        before = state
        state, decision = step(
            state, Observation(now_s, bytes_done, checking=look.checking), config, can_switch=can_switch
        )
        if look.checking:
            assert not isinstance(decision, GiveUp | Switch)
            quiet_s, here_s, checked_before = max(0.0, quiet_s - here_s), 0.0, True
            continue
        quiet_s, here_s = quiet_s + look.after_s, here_s + look.after_s
        if checked_before:
            best, checked_before = bytes_done, False
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
            assert here_s >= config.swarm_patience_s - slack_s
            assert decision.swarm is state.swarm is before.swarm.other
            assert state.news_at_s == before.news_at_s  # switching wins no time
            here_s = 0.0
        else:
            assert state.swarm is before.swarm
            assert not can_switch or here_s < config.swarm_patience_s + slack_s


@given(CONFIGS, st.integers(1, 1000))
def test_pauses_grow_up_to_their_limit(config: TransferConfig, failures: int) -> None:
    pause_s = retry_pause_s(failures, config)
    assert 0 < pause_s <= config.web_seed_retry_max_s
    assert pause_s <= retry_pause_s(failures + 1, config) <= 2 * pause_s
    assert retry_pause_s(1, config) == min(config.web_seed_retry_s, config.web_seed_retry_max_s)
