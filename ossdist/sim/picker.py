"""Which piece to ask for next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


class PiecePicker:
    """Chooses among the pieces that are neither here nor asked for.

    Args:
        have: Which pieces are here.
        rng: Decides between pieces that are equally rare.

    Attributes:
        sequential: In order. Otherwise the rarest first (Legout et al., "Rarest First and Choke Algorithms Are
            Enough", 2006).
        copies: Of each piece, among connected peers.
        preferred: Which pieces go before others that are about as rare; empty for none.
        claimed: Pieces that come last, since somebody else is fetching them.
    """

    def __init__(self, have: Sequence[bool], rng: Random) -> None:
        self.sequential = False
        self.copies = [0] * len(have)
        self.preferred: Sequence[bool] = ()
        self.claimed: frozenset[int] = frozenset()
        self._have = list(have)
        order = [index for index, here in enumerate(have) if not here]
        rng.shuffle(order)
        self._open = dict.fromkeys(order)

    def take(self, offered: Sequence[bool]) -> int | None:
        """Chooses a piece that is offered, and remembers that it was asked for; None if there is none."""
        offers = [index for index in self._open if offered[index]]
        wanted = [index for index in offers if index not in self.claimed] or offers
        if not wanted:
            return None
        chosen = min(wanted) if self.sequential else min(wanted, key=self._rank)
        del self._open[chosen]
        return chosen

    def _rank(self, index: int) -> int:
        """Lower is sooner; the weights are those of libtorrent's priorities 5 and 4."""
        return self.copies[index] * (3 if self.preferred and self.preferred[index] else 4)

    @property
    def requested(self) -> frozenset[int]:
        """Pieces that were asked for and are not here."""
        return frozenset(index for index, here in enumerate(self._have) if not here and index not in self._open)

    @property
    def lacking(self) -> tuple[int, ...]:
        """Pieces that are not here and no connected peer has."""
        return tuple(index for index, here in enumerate(self._have) if not here and not self.copies[index])

    def got(self, index: int) -> None:
        """A piece is here now."""
        self._have[index] = True
        self._open.pop(index, None)

    def release(self, index: int) -> None:
        """A piece is not asked for any more: it came, or it will not come."""
        if not self._have[index]:
            self._open[index] = None

    def peer_came(self, have: Sequence[bool]) -> None:
        """A peer with these pieces is connected."""
        for index, here in enumerate(have):
            self.copies[index] += here

    def peer_got(self, index: int) -> None:
        """A connected peer has this piece as well."""
        self.copies[index] += 1

    def peer_left(self, have: Sequence[bool]) -> None:
        """A peer with these pieces is gone."""
        for index, here in enumerate(have):
            self.copies[index] -= here

    def distributed_copies(self) -> float:
        """Full copies among connected peers and here, as a number whose fraction is the part of one copy more."""
        copies = [count + here for count, here in zip(self.copies, self._have, strict=True)]
        if not copies:
            return 0.0
        least = min(copies)
        return least + sum(count > least for count in copies) / len(copies)
