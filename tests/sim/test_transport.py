"""Chunks over links, in virtual time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from ossdist.sim.crowd.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Generator


class Post:
    """A transport, and when each flow was through."""

    def __init__(self, *, step_s: float = 0.001) -> None:
        self.env = simpy.Environment()
        self.transport = Transport(self.env, step_s=step_s, tolerance=0.0, on_done=self.done)
        self.through: dict[int, list[float]] = {}
        self.more: dict[int, list[float]] = {}

    def done(self, flow: int) -> None:
        """Notes it, and sends what is to follow."""
        self.through.setdefault(flow, []).append(self.env.now)
        if self.more.get(flow):
            self.transport.follow(flow, self.more[flow].pop(0))


def test_a_flow_takes_size_by_rate() -> None:
    post = Post()
    flow = post.transport.begin(500.0, [post.transport.add_link(100.0)])
    post.env.run(20)
    assert post.through[flow] == pytest.approx([5.0], abs=0.002)


def test_two_flows_share_and_the_longer_one_then_has_all() -> None:
    post = Post()
    link = post.transport.add_link(100.0)
    short, long = post.transport.begin(100.0, [link]), post.transport.begin(300.0, [link])
    post.env.run(20)
    assert post.through[short] == pytest.approx([2.0], abs=0.003)
    assert post.through[long] == pytest.approx([4.0], abs=0.005)


def test_chunks_follow_each_other_without_a_pause_however_short_they_are() -> None:
    """Twenty chunks of a hundredth of a step each take no longer than one of their size."""
    post = Post(step_s=0.1)
    flow = post.transport.begin(0.1, [post.transport.add_link(100.0)])
    post.more[flow] = [0.1] * 999
    post.env.run(20)
    assert len(post.through[flow]) == post.transport.chunks == 1000
    assert post.through[flow][-1] == pytest.approx(1.0, abs=0.11)


def test_a_flow_that_ends_early_tells_what_is_missing_and_frees_its_share() -> None:
    post = Post()
    link = post.transport.add_link(100.0)
    one, other = post.transport.begin(1000.0, [link]), post.transport.begin(400.0, [link])
    post.env.run(4.0)
    assert post.transport.rate(one) == pytest.approx(50.0)
    missing = post.transport.end(one)
    assert missing == pytest.approx(800.0, abs=1)
    post.env.run(20)
    assert one not in post.through
    assert post.through[other] == pytest.approx([6.0], abs=0.01)


def test_a_cut_link_stops_a_flow_and_a_mended_one_lets_it_go_on() -> None:
    post = Post()
    link = post.transport.add_link(100.0)
    flow = post.transport.begin(500.0, [link])
    post.env.run(2.0)
    post.transport.set_capacity(link, 0.0)
    post.env.run(10.0)
    assert post.transport.left(flow) == pytest.approx(300.0, abs=1)
    assert post.transport.rate(flow) == 0.0
    post.transport.set_capacity(link, 300.0)
    post.env.run(20)
    assert post.through[flow] == pytest.approx([11.0], abs=0.01)


def test_a_flow_heeds_its_limit_and_every_link_on_its_way() -> None:
    post = Post()
    links = [post.transport.add_link(rate) for rate in (1000.0, 80.0, 500.0)]
    narrow = post.transport.begin(800.0, links)
    limited = post.transport.begin(200.0, [links[0]], limit_bps=20.0)
    post.env.run(30)
    assert post.through[narrow] == post.through[limited] == pytest.approx([10.0], abs=0.01)


@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(0, 5)), min_size=1, max_size=30))
def test_nothing_is_lost_and_the_link_is_never_idle(flows: list[tuple[float, float]]) -> None:
    post = Post()
    link = post.transport.add_link(100.0)

    def come(size: float, at_s: float) -> Generator[simpy.Event, object, None]:
        yield post.env.timeout(at_s)
        post.transport.begin(size, [link])

    for size, at_s in flows:
        post.env.process(come(size, at_s))
    post.env.run(1000)
    assert post.transport.chunks == len(flows)
    last = max(times[-1] for times in post.through.values())
    assert last == pytest.approx(busy_until(flows, 100.0), abs=0.002 * (len(flows) + 1))


def busy_until(flows: list[tuple[float, float]], rate: float) -> float:
    """When a link that is never idle without need is done."""
    end = -math.inf
    for size, at_s in sorted(flows, key=lambda flow: flow[1]):
        end = max(end, at_s) + size / rate
    return end


def test_there_is_room_for_many_flows_and_numbers_are_used_again() -> None:
    post = Post()
    link = post.transport.add_link(1e6)
    first = [post.transport.begin(10.0, [link]) for _ in range(3000)]
    assert len(set(first)) == 3000
    post.env.run(10)
    assert post.transport.begin(10.0, [link]) in first
    assert post.transport.chunks == 3000
    assert post.transport.computations < 50  # not once a flow
