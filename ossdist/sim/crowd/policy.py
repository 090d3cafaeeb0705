"""Production's policy inside the model: what a simulated client asks it, and in which words.

Nothing is decided here. Each class turns what the model knows into the values that production's pure functions take,
and calls them; a policy that comes later gets its class here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from ossdist.errors import MirrorFault
from ossdist.mirrors import balance
from ossdist.mirrors.choice import Candidate, mirrors_to_start
from ossdist.mirrors.health import MOST_WRONG, HealthBook, Sample, failed, succeeded
from ossdist.mirrors.ranking import Wishes, rank
from ossdist.transfer.session import PeerKind
from ossdist.transfer.shares import hashes, most_rivals
from ossdist.transfer.watch import GiveUp, Observation, Swarm, WatchState, prefer_sequential, step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from random import Random

    from numpy.typing import NDArray

    from ossdist.config import MirrorConfig, TransferConfig
    from ossdist.mirrors.sites import Site
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
    """One client's `ossdist.transfer.watch`.

    Args:
        config: When it acts.
        now_s: Virtual time.
    """

    def __init__(self, config: TransferConfig, *, now_s: float) -> None:
        self._config = config
        self._state = WatchState(Swarm.HYBRID, best_bytes=0, news_at_s=now_s, joined_at_s=now_s)

    def gives_up(self, bytes_done: int, *, now_s: float) -> bool:
        """One look: whether the transfer ends here. The model has one swarm of the bytes, not production's two."""
        seen = Observation(now_s, bytes_done, bytes_done, checking=False)
        self._state, decision = step(self._state, seen, self._config, can_switch=False)
        return isinstance(decision, GiveUp)

    def in_order(self, *, knows_leechers: bool, total_bytes: int) -> bool:
        """Whether it asks for pieces in order."""
        peers = (_LEECHER,) if knows_leechers else ()
        return prefer_sequential(peers, total_bytes=total_bytes, mirrors=False)


class MirrorChoice:
    """One client's `ossdist.mirrors`: ranking, health, choice, and what peers are spared of.

    Args:
        config: How mirrors are asked.
        sites: All that there are.
        now_s: Virtual time.
        rng: Draws lots.
    """

    def __init__(self, config: MirrorConfig, sites: Sequence[Site], *, now_s: float, rng: Random) -> None:
        self._config = config
        self._health = HealthBook()
        self._order = rank(sites, Wishes(), {}, rng=rng).urls
        self._out: set[str] = set()
        self._wrong: dict[str, int] = {}
        self._balance = balance.begin(_seen(now_s, 0.0, 0.0))
        self._sparing = balance.BalanceConfig(
            head_start_s=config.head_start_s,
            target_bytes_per_s=config.target_bytes_per_s,
            most_share=config.most_share,
        )

    def asked(self, *, now_s: float, bytes_from_peers: float, bytes_from_mirrors: float) -> bool:
        """One look: whether mirrors are asked now. The model asks them at full speed, or not at all."""
        seen = _seen(now_s, bytes_from_peers, bytes_from_mirrors)
        self._balance, budget = balance.step(self._balance, seen, self._sparing)
        return budget.bytes_per_s > 0

    def to_start(self, active: AbstractSet[str], *, now_s: float) -> tuple[str, ...]:
        """The mirrors to begin with, besides those that are being asked."""
        candidates = [
            Candidate(
                url=url,
                breaker=self._health[url].breaker(now_s),
                active=url in active,
                failed=self._health[url].failures > 0,
                out=url in self._out,
            )
            for url in self._order
        ]
        return mirrors_to_start(candidates, at_once=self._config.at_once)

    def failed(self, url: str, *, now_s: float, wrong_data: bool = False) -> None:
        """A mirror refused, or sent a wrong piece; who does that twice is out."""
        fault = MirrorFault.WRONG_DATA if wrong_data else MirrorFault.UNREACHABLE
        self._health[url] = failed(self._health[url], fault, fault.value, now=now_s)
        if wrong_data:
            self._wrong[url] = self._wrong.get(url, 0) + 1
            if self._wrong[url] >= MOST_WRONG:
                self._out.add(url)

    def gave(self, url: str, size: int, seconds: float, *, now_s: float) -> None:
        """A mirror gave a piece."""
        sample = Sample(connect_s=None, first_byte_s=0.0, body_bytes=size, body_s=seconds)
        if url not in self._wrong:
            self._health[url] = succeeded(self._health[url], sample, now=now_s)


def _seen(now_s: float, bytes_from_peers: float, bytes_from_mirrors: float) -> balance.Seen:
    return balance.Seen(
        now_s=now_s,
        peers_possible=True,  # nobody knows better before he has tried
        bytes_from_peers=int(bytes_from_peers),
        bytes_from_mirrors=int(bytes_from_mirrors),
    )
