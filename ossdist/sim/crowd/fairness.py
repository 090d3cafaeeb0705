"""Max-min fair rates of many flows over shared links. Pure.

A flow crosses several links; a link's capacity is shared by all flows on it. Rates are max-min fair: none can grow
without taking from one that is no larger (Bertsekas and Gallager, "Data Networks", 1992, section 6.5.2). Long-lived TCP
connections of like round-trip times come near that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_MOST_ROUNDS = 10_000


def max_min(routes: Integers, capacities: Floats, limits: Floats, *, tolerance: float = 0.0) -> Floats:
    """Rates of flows.

    Every round settles the flows on all links that are the bottleneck of each of their flows ("water filling"); with a
    tolerance also those that nearly are, so that many links of slightly different loads take few rounds.

    Args:
        routes: Which links each flow crosses, ``(flows, links a flow at most)``; -1 for none.
        capacities: Of each link, in bytes a second.
        limits: The most that each flow takes, in bytes a second; infinite for no limit. What has none needs a link.
        tolerance: How far a rate may be from the fair one, as a share of it; no link is ever overloaded.

    Returns:
        The rate of each flow, in bytes a second.
    """
    flows, width = routes.shape
    rates = np.zeros(flows)
    # One more link without bounds stands for "none".
    links = np.where(routes < 0, len(capacities), routes)
    left = np.append(capacities, np.inf)
    open_flows: Integers = np.arange(flows, dtype=np.int64)
    for _ in range(_MOST_ROUNDS):
        if not len(open_flows):
            break
        crossed = links[open_flows]
        load = np.bincount(crossed.ravel(), minlength=len(left))
        share = np.divide(left, load, out=np.full(len(left), np.inf), where=load > 0)
        share[-1] = np.inf
        fair = np.minimum(share[crossed].min(axis=1), limits[open_flows])
        # A link is settled if no flow on it is held back more by something else.
        least = np.full(len(left), np.inf)
        np.minimum.at(least, crossed.ravel(), np.repeat(fair, width))
        settled = share <= least * (1 + tolerance)
        settled[-1] = False
        done = settled[crossed].any(axis=1) | (fair >= limits[open_flows])
        if not done.any():  # rounding: the smallest is settled in any case
            done[np.argmin(fair)] = True
        chosen = open_flows[done]
        rates[chosen] = fair[done]
        left -= np.bincount(crossed[done].ravel(), weights=np.repeat(fair[done], width), minlength=len(left))
        np.maximum(left, 0.0, out=left)
        left[-1] = np.inf
        open_flows = open_flows[~done]
    return rates
