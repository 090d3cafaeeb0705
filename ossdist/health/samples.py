"""Measurements of a transfer's swarm, and a bounded history of them. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ossdist.transfer.torrent_events import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmSample:
    """What is seen of a swarm at one moment. Counters only grow.

    Attributes:
        at_s: Monotonic time.
        peers: Peers that are connected.
        giving: Those of them that do not choke us.
        bytes_from_peers: Payload so far, right or wrong.
        failed_bytes: What of all payload so far was thrown away because a piece's hash was wrong.
        banned: Peers that were banned for wrong data so far.
        copies: Full copies among connected peers, ours not counted; -1 if unknown.
        endings: How connections and attempts at them have ended so far.
        dht_nodes: Nodes of the DHT that are known; -1 without one.
        trackers_good: Trackers whose last word was an answer.
        trackers_bad: Trackers whose last word was none, or a refusal.
    """

    at_s: float
    peers: int = 0
    giving: int = 0
    bytes_from_peers: int = 0
    failed_bytes: int = 0
    banned: int = 0
    copies: float = -1.0
    endings: Mapping[Ending, int] = field(default_factory=dict["Ending", int])
    dht_nodes: int = -1
    trackers_good: int = 0
    trackers_bad: int = 0


class History:
    """The samples of the last while.

    Args:
        keep_s: How long one is kept.
        most: How many at most; the oldest go first.
    """

    def __init__(self, keep_s: float, *, most: int = 1000) -> None:
        self._keep_s = keep_s
        self._samples: deque[SwarmSample] = deque(maxlen=most)

    def add(self, sample: SwarmSample) -> None:
        """Takes a sample, later than all before."""
        self._samples.append(sample)
        while self._samples[0].at_s < sample.at_s - self._keep_s:
            self._samples.popleft()

    def window(self, length_s: float) -> tuple[SwarmSample, ...]:
        """The samples of the last ``length_s`` seconds, with the one before them, from which rates are taken."""
        if not self._samples:
            return ()
        since_s = self._samples[-1].at_s - length_s
        first = 0
        for index, (_, later) in enumerate(pairwise(self._samples), start=1):
            if later.at_s > since_s:
                break
            first = index
        return tuple(self._samples)[first:]
