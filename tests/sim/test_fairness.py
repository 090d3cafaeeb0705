"""Rates are max-min fair: nothing is overloaded, and nobody could have more without taking from who has no more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.sim.crowd.fairness import max_min

RATES = st.integers(1, 1000).map(float)


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[list[int]], list[float], list[float]]:
    """Routes, capacities and limits; every flow has a link or a limit."""
    capacities = draw(st.lists(RATES, min_size=1, max_size=6))
    route = st.lists(st.integers(0, len(capacities) - 1), min_size=1, max_size=3, unique=True)
    routes = draw(st.lists(route, min_size=1, max_size=12))
    limits = draw(st.lists(RATES | st.just(math.inf), min_size=len(routes), max_size=len(routes)))
    return routes, capacities, limits


def rates_of(
    routes: list[list[int]], capacities: list[float], limits: list[float], *, tolerance: float = 0.0
) -> list[float]:
    """`max_min` for lists."""
    width = max(map(len, routes))
    table = np.array([route + [-1] * (width - len(route)) for route in routes], dtype=np.int64)
    return max_min(table, np.array(capacities), np.array(limits), tolerance=tolerance).tolist()


@given(networks())
def test_no_link_is_overloaded_and_no_limit_exceeded(network: tuple[list[list[int]], list[float], list[float]]) -> None:
    routes, capacities, limits = network
    for tolerance in (0.0, 0.05):
        rates = rates_of(*network, tolerance=tolerance)
        assert all(rate <= limit * (1 + 1e-9) for rate, limit in zip(rates, limits, strict=True))
        for link, capacity in enumerate(capacities):
            load = sum(rate for rate, route in zip(rates, routes, strict=True) if link in route)
            assert load <= capacity * (1 + 1e-9)


@given(networks())
def test_whoever_has_no_limit_has_a_bottleneck_on_which_nobody_has_more(
    network: tuple[list[list[int]], list[float], list[float]],
) -> None:
    """Bertsekas and Gallager, 6.5.2: that is what max-min fair means."""
    routes, capacities, limits = network
    rates = rates_of(*network)
    for rate, route, limit in zip(rates, routes, limits, strict=True):
        if rate >= limit * (1 - 1e-9):
            continue
        bottlenecks = 0
        for link in route:
            others = [each for each, other in zip(rates, routes, strict=True) if link in other]
            full = sum(others) >= capacities[link] * (1 - 1e-6)
            bottlenecks += full and max(others) <= rate * (1 + 1e-6)
        assert bottlenecks


@given(networks())
def test_with_a_tolerance_rates_are_near_the_fair_ones(
    network: tuple[list[list[int]], list[float], list[float]],
) -> None:
    fair, rough = sum(rates_of(*network)), sum(rates_of(*network, tolerance=0.02))
    assert rough == pytest.approx(fair, rel=0.1)


def test_a_known_case() -> None:
    """Three flows over a line of two links: the long one gets its half of the narrow one, the others what is left."""
    rates = rates_of([[0, 1], [0], [1]], [10.0, 4.0], [math.inf] * 3)
    assert rates == pytest.approx([2.0, 8.0, 2.0])


def test_a_cut_link_gives_nothing() -> None:
    assert rates_of([[0], [1]], [0.0, 5.0], [math.inf] * 2) == pytest.approx([0.0, 5.0])


def test_no_flows_have_no_rates() -> None:
    assert max_min(np.zeros((0, 2), dtype=np.int64), np.ones(3), np.zeros(0)).tolist() == []
