"""Who has which piece: one row a peer, one column a piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ossdist.sim.crowd.fairness import Integers

    Booleans = NDArray[np.bool_]

MOST_PIECES = 1 << 20

_MOST_COPIES = 2
"""How many sources are asked for one piece when nothing else is left (end-game, BEP 3)."""

_OWN_WEIGHT = np.float32(0.75)
"""A piece of one's own goes before what is up to a third rarer, as in `ossdist.swarm.torrent`."""

_LEAST_DIFFERENCE = np.float32(0.2)
"""Chance decides between pieces that differ by less: one copy of one's own, 0.75, from one of another's, 1."""


class PieceTable:
    """The pieces of one release, and where they are.

    Args:
        length: Of the release, in bytes.
        piece_length: Of each piece but the last.
        peers: How many rows to begin with.
        noise: Decides between pieces that are equally rare; at least as many random numbers from 0 to 1 as pieces.

    Attributes:
        count: How many pieces there are.
        piece_length: See above.
        have: Which pieces each peer has.
        missing: How many pieces each peer lacks.
    """

    def __init__(self, length: int, piece_length: int, *, peers: int, noise: NDArray[np.float32]) -> None:
        self.count = -(-length // piece_length)
        self.have: Booleans = np.zeros((peers, self.count), dtype=np.bool_)
        self.missing: Integers = np.full(peers, self.count, dtype=np.int64)
        self._length = length
        self.piece_length = piece_length
        self._asked = np.zeros((peers, self.count), dtype=np.uint8)
        self._copies = np.zeros((peers, self.count), dtype=np.float32)
        self._noise = np.concatenate([noise[: self.count], noise[: self.count]])

    def size(self, piece: int) -> int:
        """Bytes of a piece."""
        return min(self.piece_length, self._length - piece * self.piece_length)

    def add_peers(self, count: int) -> None:
        """Makes room for more peers."""
        for name in ("have", "_asked", "_copies"):
            rows = getattr(self, name)
            setattr(self, name, np.concatenate([rows, np.zeros((count, self.count), dtype=rows.dtype)]))
        self.missing = np.concatenate([self.missing, np.full(count, self.count, dtype=np.int64)])

    def fill(self, peer: int) -> None:
        """A peer has everything from the start."""
        self.have[peer] = True
        self.missing[peer] = 0

    def inherit(self, peer: int, before: int) -> None:
        """A peer is another one under a new name, with its pieces."""
        self.have[peer] = self.have[before]
        self.missing[peer] = self.missing[before]

    # --- choosing ----------------------------------------------------------------------------------------

    def pick(self, peer: int, source: int, *, in_order: bool, own: Booleans | None = None) -> int | None:
        """The piece that a peer should ask a source for; None if the source has nothing for it.

        The rarest among the peer's neighbours first (Legout et al., "Rarest First and Choke Algorithms Are Enough",
        2006); once everything is asked for, what is still under way from another source (end-game).

        Args:
            peer: Who asks.
            source: Who is asked.
            in_order: The first piece instead of the rarest.
            own: Which pieces go before others that are about as rare (see `ossdist.transfer.shares`).
        """
        useful = self.have[source] & ~self.have[peer]
        open_pieces = np.flatnonzero(useful & (self._asked[peer] == 0))
        if not len(open_pieces):
            if (~self.have[peer] & (self._asked[peer] == 0)).any():
                return None  # somebody else may have what is still open
            open_pieces = np.flatnonzero(useful & (self._asked[peer] < _MOST_COPIES))
            if not len(open_pieces):
                return None
        elif in_order:
            return int(open_pieces[0])
        shift = (peer * 7919) % self.count  # everybody breaks ties in another way
        rarity = self._copies[peer, open_pieces]
        if own is not None:
            rarity = rarity * np.where(own[open_pieces], _OWN_WEIGHT, np.float32(1))
        rarity = rarity + self._noise[shift : shift + self.count][open_pieces] * _LEAST_DIFFERENCE
        return int(open_pieces[np.argmin(rarity)])

    def ask(self, peer: int, piece: int) -> None:
        """A piece is under way to a peer."""
        self._asked[peer, piece] += 1

    def is_open(self, peer: int, piece: int) -> bool:
        """Whether a peer neither has a piece nor has asked for it."""
        return not (self.have[peer, piece] or self._asked[peer, piece])

    def is_asked(self, peer: int, piece: int) -> bool:
        """Whether a piece is under way to a peer, or asked for."""
        return bool(self._asked[peer, piece])

    def release(self, peer: int, piece: int) -> None:
        """It is not any more."""
        self._asked[peer, piece] -= 1

    def got(self, peer: int, piece: int, neighbours: Integers) -> bool:
        """A peer has a piece now, and its neighbours know.

        Returns:
            Whether it is new to the peer.
        """
        if self.have[peer, piece]:
            return False
        self.have[peer, piece] = True
        self.missing[peer] -= 1
        self._copies[neighbours, piece] += 1
        return True

    # --- neighbours --------------------------------------------------------------------------------------

    def meet(self, one: int, other: int) -> None:
        """Two peers are connected, and tell each other what they have."""
        self._copies[one] += self.have[other]
        self._copies[other] += self.have[one]

    def part(self, one: int, other: int) -> None:
        """They are not any more."""
        self._copies[one] -= self.have[other]
        self._copies[other] -= self.have[one]

    def interested(self, source: int, peers: Integers) -> Booleans:
        """Which of some peers want something that a source has."""
        if self.missing[source] == 0:
            return self.missing[peers] > 0
        return (self.have[source] & ~self.have[peers]).any(axis=1)

    def full_copies(self, peers: Integers) -> float:
        """Distributed copies among some peers: the rarest piece's, and the share of pieces that have one more."""
        if not len(peers):
            return 0.0
        copies = self.have[peers].sum(axis=0)
        least = int(copies.min())
        return least + float((copies > least).mean())
