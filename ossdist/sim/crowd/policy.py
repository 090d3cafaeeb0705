"""Production's policy inside the model: what a simulated client asks it, and in which words.

Nothing is decided here. Each class turns what the model knows into the values that production's pure functions take,
and calls them; a policy that comes later gets its class here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from ossdist.transfer.resting import RestingWebSeeds
from ossdist.transfer.session import PeerKind
from ossdist.transfer.shares import hashes, most_rivals
from ossdist.transfer.tally import Tally
from ossdist.transfer.watch import GiveUp, Observation, Swarm, WatchState, prefer_sequential, step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from ossdist.config import TransferConfig
    from ossdist.sim.crowd.pieces import Booleans


class _Source(NamedTuple):
    kind: PeerKind
    seed: bool


_LEECHER = _Source(PeerKind.PEER, seed=False)


class Priority(Protocol):
    """Who is served first; credit's standing will be one."""

    def tier(self, source: int, peer: int) -> int:
        """The class of a peer at a source, both by their numbers: higher is served first."""
        ...


@dataclass(frozen=True, slots=True)
class EverybodyEqual:
    """No incentives but BitTorrent's own."""

    def tier(self, source: int, peer: int) -> int:  # noqa: ARG002  # it makes no difference
        """All are of one class."""
        return 0


@dataclass(slots=True)
class ContributorsFirst:
    """Who has sent more of its share than a part of what it got is served first.

    It stands in for credit until its ledger is there: the ratio of what a peer has sent to what it has got, as
    everybody sees it.

    Attributes:
        sent: Bytes that each peer has sent so far.
        got: Bytes that each peer has got so far.
        least: The ratio from which on a peer is served first.
        grace_bytes: Before a newcomer has got so much, it is.
    """

    sent: Sequence[float]
    got: Sequence[float]
    least: float = 0.2
    grace_bytes: float = 16e6

    def tier(self, source: int, peer: int) -> int:  # noqa: ARG002  # it is the same everywhere
        """1 for contributors and newcomers, 0 for the others."""
        return int(self.got[peer] < self.grace_bytes or self.sent[peer] >= self.least * self.got[peer])


class Shares:
    """`ossdist.transfer.shares` for all peers of a swarm: every peer's hashes are kept, and compared as arrays.

    Args:
        pieces: How many pieces there are.
    """

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces
        self._hashes: dict[int, NDArray[np.uint32]] = {}

    def own_pieces(self, peer: int, rivals: AbstractSet[int]) -> Booleans | None:
        """The same as production's `own_pieces`; None if there is nobody to share with.

        Args:
            peer: A peer's number.
            rivals: Those of the other downloaders that it knows.
        """
        if not rivals:
            return None
        others = np.stack([self._hashes_of(rival) for rival in sorted(rivals)[: most_rivals(self._pieces)]])
        return self._hashes_of(peer) > others.max(axis=0)

    def _hashes_of(self, peer: int) -> NDArray[np.uint32]:
        found = self._hashes.get(peer)
        if found is None:
            found = self._hashes[peer] = np.array(hashes(peer_id(peer), self._pieces), dtype=np.uint32)
        return found


def peer_id(peer: int) -> bytes:
    """By which others know a peer."""
    return peer.to_bytes(20)


class Watching:
    """One client's `ossdist.transfer.watch` and `ossdist.transfer.resting`.

    Args:
        config: When it acts.
        mirrors: The addresses of its mirrors.
        now_s: Virtual time.

    Attributes:
        tally: What came from each mirror, by its address.
    """

    def __init__(self, config: TransferConfig, mirrors: Sequence[str], *, now_s: float) -> None:
        self._config = config
        self._mirrors = tuple(mirrors)
        self._state = WatchState(Swarm.HYBRID, best_bytes=0, news_at_s=now_s, joined_at_s=now_s)
        self._resting = RestingWebSeeds(config)
        self.tally = Tally()

    def gives_up(self, bytes_done: int, *, now_s: float) -> bool:
        """One look: whether the transfer ends here. The model has one swarm of the bytes, not production's two."""
        seen = Observation(now_s, bytes_done, bytes_done, checking=False)
        self._state, decision = step(self._state, seen, self._config, can_switch=False)
        return isinstance(decision, GiveUp)

    def mirror_failed(self, url: str, *, now_s: float, for_good: bool = False) -> None:
        """A mirror refused, or sent wrong data."""
        self._resting.take_out(url, self.tally, now_s=now_s, for_good=for_good)

    def mirrors_to_ask_again(self, *, now_s: float) -> tuple[str, ...]:
        """Mirrors that have rested long enough."""
        return self._resting.put_back(self.tally, now_s=now_s)

    def awake_mirrors(self) -> tuple[str, ...]:
        """Mirrors that do not rest."""
        return self._resting.awake(self._mirrors)

    def in_order(self, *, knows_leechers: bool, total_bytes: int) -> bool:
        """Whether it asks for pieces in order."""
        peers = (_LEECHER,) if knows_leechers else ()
        return prefer_sequential(peers, total_bytes=total_bytes, mirrors=bool(self._mirrors))
