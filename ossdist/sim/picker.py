"""Which piece to ask for next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random


class PiecePicker:
    """Chooses among the pieces that are neither here nor asked for.

    Args:
        have: Which pieces are here; it changes while the picker is used.
        rng: Decides between pieces that are equally rare.

    Attributes:
        sequential: In order. Otherwise the rarest first (Legout et al., "Rarest First and Choke Algorithms Are
            Enough", 2006).
        copies: Of each piece, among connected peers.
    """

    def __init__(self, have: Sequence[bool], rng: Random) -> None:
        self.sequential = False
        self.copies = [0] * len(have)
        self._have = have
        self._asked: set[int] = set()
        self._order = list(range(len(have)))
        rng.shuffle(self._order)

    def take(self, offered: Callable[[int], bool]) -> int | None:
        """Chooses a piece that is offered, and remembers that it was asked for; None if there is none."""
        wanted = (
            index
            for index in (range(len(self._have)) if self.sequential else self._order)
            if not self._have[index] and index not in self._asked and offered(index)
        )
        chosen = (
            next(wanted, None) if self.sequential else min(wanted, key=lambda index: self.copies[index], default=None)
        )
        if chosen is not None:
            self._asked.add(chosen)
        return chosen

    def release(self, index: int) -> None:
        """A piece is not asked for any more: it came, or it will not come."""
        self._asked.discard(index)

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
