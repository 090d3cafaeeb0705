"""How much mirrors give beside peers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.mirrors.balance import BalanceConfig, BalanceState, Phase, Seen, begin, due_s, step

MB = 1e6
POLL_S = 0.5


@dataclass
class Line:
    """A transfer: peers who bring `peers`, mirrors who could bring `mirrors`, and a line that carries `carries`."""

    config: BalanceConfig = field(default_factory=BalanceConfig)
    peers: float = 0.0
    mirrors: float = 10 * MB
    carries: float = math.inf
    possible: bool = True
    now_s: float = 100.0
    from_peers: float = 0.0
    from_mirrors: float = 0.0
    budget: float = 0.0
    causes: list[str] = field(default_factory=list[str])
    state: BalanceState | None = None

    @property
    def seen(self) -> Seen:
        return Seen(
            now_s=self.now_s,
            peers_possible=self.possible,
            bytes_from_peers=int(self.from_peers),
            bytes_from_mirrors=int(self.from_mirrors),
        )

    def go(self, seconds: float) -> Phase:
        for _ in range(int(seconds / POLL_S)):
            if self.state is None:
                self.state = begin(self.seen)
            self.state, budget = step(self.state, self.seen, self.config)
            self.budget = budget.bytes_per_s
            if budget.cause:
                self.causes.append(budget.cause)
            given_by_mirrors = min(self.mirrors, self.budget)
            total = self.peers + given_by_mirrors
            part = min(1.0, self.carries / total) if total else 1.0
            self.from_peers += self.peers * part * POLL_S
            self.from_mirrors += given_by_mirrors * part * POLL_S
            self.now_s += POLL_S
        assert self.state is not None
        return self.state.phase


def test_without_peers_mirrors_begin_at_once_at_full_speed() -> None:
    line = Line(possible=False)
    assert line.go(POLL_S) is Phase.HELPING
    assert math.isinf(line.budget)
    assert line.causes == ["there are no peers to ask"]


def test_peers_have_a_head_start() -> None:
    line = Line(BalanceConfig(head_start_s=3.0), peers=1 * MB)
    assert line.go(3.0) is Phase.WAITING
    assert line.from_mirrors == 0
    assert line.go(0.5) is Phase.HELPING
    assert "1.0 MB/s" in line.causes[0]


def test_the_end_of_the_head_start_is_a_time_to_look() -> None:
    config = BalanceConfig(head_start_s=1.3)
    line = Line(config, peers=1 * MB)
    line.go(POLL_S)
    assert line.state is not None
    assert due_s(line.state, config) == pytest.approx(101.3)
    line.go(2.0)
    assert math.isinf(due_s(line.state, config))


def test_peers_who_give_nothing_are_not_waited_for() -> None:
    line = Line(BalanceConfig(head_start_s=1.0))
    assert line.go(1.5) is Phase.HELPING
    assert "nothing" in line.causes[0]


def test_peers_who_stop_are_replaced_soon() -> None:
    line = Line(BalanceConfig(target_bytes_per_s=2 * MB), peers=5 * MB)
    assert line.go(10) is Phase.SPARED
    line.peers = 0.0
    assert line.go(3.0) is Phase.HELPING
    assert math.isinf(line.budget)


@pytest.mark.parametrize("phase", [0.0, 0.5, 1.0, 1.5, 2.0, 3.5])
@pytest.mark.parametrize("target", [2 * MB, None])
def test_peers_who_only_trickle_are_replaced_soon(target: float | None, phase: float) -> None:
    """Whenever it begins in a window."""
    line = Line(BalanceConfig(target_bytes_per_s=target), peers=5 * MB, carries=5 * MB)
    line.go(8)
    while line.state is not None and line.state.phase is not Phase.SPARED:
        line.go(POLL_S)
    line.go(phase)
    line.peers = 0.01 * MB
    assert line.go(3.0) is Phase.HELPING
    assert line.causes[-1].startswith("peers bring ")


def test_peers_who_bring_a_little_less_are_not_gone() -> None:
    line = Line(BalanceConfig(target_bytes_per_s=2 * MB), peers=5 * MB)
    line.go(5)
    line.peers = 2.1 * MB
    assert line.go(20) is Phase.SPARED


def test_with_a_target_mirrors_give_what_is_missing_of_it() -> None:
    line = Line(BalanceConfig(target_bytes_per_s=5 * MB), peers=2 * MB)
    line.go(20)
    assert line.budget == pytest.approx(3 * MB, rel=0.01)
    assert (line.from_peers + line.from_mirrors) / 20 == pytest.approx(5 * MB, rel=0.1)


def test_with_a_target_peers_who_reach_it_are_enough() -> None:
    line = Line(BalanceConfig(target_bytes_per_s=5 * MB), peers=6 * MB)
    assert line.go(20) is Phase.SPARED
    assert line.from_mirrors == 0
    line.peers = 1 * MB
    assert line.go(10) is Phase.HELPING
    line.peers = 6 * MB
    assert line.go(10) is Phase.SPARED
    assert [cause.rpartition(", ")[2] for cause in line.causes] == [
        "which is enough",
        "which is not enough",
        "which is enough",
    ]


def test_mirrors_that_only_take_from_peers_are_withdrawn() -> None:
    """Peers fill the line: with mirrors nothing comes sooner."""
    line = Line(peers=10 * MB, carries=10 * MB)
    assert line.go(6) is Phase.SPARED
    before = line.from_mirrors
    line.go(5)
    assert line.from_mirrors == before
    line.go(200)
    assert line.from_mirrors / (line.from_mirrors + line.from_peers) < 0.15


def test_mirrors_that_help_go_on() -> None:
    line = Line(peers=5 * MB, mirrors=5 * MB, carries=10 * MB)
    line.go(200)
    assert line.from_peers + line.from_mirrors > 0.9 * 200 * 10 * MB


@pytest.mark.parametrize("after", [5.0, 7.5, 20.0, 40.0])
@pytest.mark.parametrize("target", [2 * MB, None])
def test_peers_who_come_back_spare_mirrors_again(target: float | None, after: float) -> None:
    """Within 20 s mirrors give less than a tenth."""
    line = Line(BalanceConfig(target_bytes_per_s=target), peers=5 * MB, carries=5 * MB, mirrors=5 * MB)
    line.go(12)
    line.peers = 0.0
    line.go(after)
    assert line.state is not None
    assert line.state.phase is Phase.HELPING
    line.peers = 5 * MB
    line.go(18)
    before = (line.from_peers, line.from_mirrors)
    line.go(2)
    assert line.from_mirrors - before[1] < 0.1 * (line.from_peers - before[0])


@pytest.mark.parametrize("fell_at", [0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 2.5, 3.5])
@pytest.mark.parametrize("away", [1.5, 2.0, 3.0, 6.0])
@pytest.mark.parametrize("left", [0.0, 0.01 * MB])
def test_peers_who_were_away_for_a_moment_spare_mirrors_again(fell_at: float, away: float, left: float) -> None:
    """Whenever in a window they fall and come back, and whether they give nothing meanwhile or next to nothing."""
    line = Line(peers=5 * MB, carries=5 * MB, mirrors=5 * MB)
    line.go(6 + fell_at)
    assert line.state is not None
    line.peers = left
    while line.state.phase is not Phase.HELPING:
        line.go(POLL_S)
    line.go(away)
    line.peers = 5 * MB
    line.go(18)
    before = (line.from_peers, line.from_mirrors)
    line.go(2)
    assert line.from_mirrors - before[1] < 0.1 * (line.from_peers - before[0])


def test_a_trickle_does_not_look_like_coming_back() -> None:
    """Its blocks come one by one: nothing for a while, and then much for its means."""
    line = Line(peers=5 * MB, carries=5 * MB, mirrors=5 * MB)
    line.go(8)
    for tick in range(200):
        line.peers = 32_768.0 if tick % 4 == 0 else 0.0
        line.go(POLL_S)
    assert sum("now, and" in cause for cause in line.causes) == 0


@pytest.mark.parametrize("late_s", [0.5, 1.0, 3.0])
def test_peers_who_begin_slowly_cost_no_trial(late_s: float) -> None:
    """A transfer of twelve seconds in which both help: leaving peers alone for a while would only take longer."""
    line = Line(mirrors=5 * MB, carries=10 * MB)
    line.go(late_s)
    line.peers = 5 * MB
    line.go(12 - late_s)
    assert sum("alone" in cause for cause in line.causes) == 0


def test_peers_who_come_late_are_noticed() -> None:
    """At first there were none, so nobody knows what they bring alone."""
    line = Line(mirrors=10 * MB, carries=10 * MB)
    line.go(20)
    assert line.from_peers == 0
    line.peers = 20 * MB
    line.go(60)
    before = (line.from_peers, line.from_mirrors)
    line.go(60)
    assert line.from_peers - before[0] > 4 * (line.from_mirrors - before[1])


@pytest.mark.parametrize("most", [0.0, 0.1, 0.5])
def test_mirrors_give_no_more_than_their_part(most: float) -> None:
    line = Line(BalanceConfig(most_share=most), peers=2 * MB)
    line.go(300)
    share = line.from_mirrors / (line.from_mirrors + line.from_peers)
    assert share <= most + 0.05
    assert share >= 0.8 * most


def test_the_part_is_no_bound_where_peers_give_nothing() -> None:
    line = Line(BalanceConfig(most_share=0.1), peers=2 * MB)
    line.go(60)
    line.peers = 0.0
    assert line.go(5) is Phase.HELPING


@given(
    st.lists(st.tuples(st.floats(0, 20 * MB), st.floats(0, 20 * MB), st.floats(0.5, 60)), min_size=1, max_size=12),
    st.none() | st.floats(1, 20 * MB),
    st.floats(0, 1),
)
def test_whatever_comes_nobody_waits_for_ever(
    weather: list[tuple[float, float, float]], target: float | None, most: float
) -> None:
    line = Line(BalanceConfig(target_bytes_per_s=target, most_share=most))
    for peers, mirrors, seconds in weather:
        line.peers, line.mirrors = peers, mirrors
        line.go(max(POLL_S, seconds))
        assert line.budget >= 0
    line.peers, line.mirrors = 0.0, 1 * MB
    before = line.from_mirrors
    line.go(5)
    assert line.from_mirrors > before
    assert all(line.causes)
