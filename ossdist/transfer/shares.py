"""Which pieces a downloader asks for first, so that a crowd asks a seed for each one once. Pure.

Rarest first looks at what peers have, and not at what they have just asked for. When many begin at once, everything is
equally rare, they ask a seed for the same pieces, and it sends each of them one and a half times and more
(docs/benchmarks.md). So each piece belongs to one of the downloaders that know each other: all of them hash who they
are together with the piece's number, and the largest hash wins (Thaler and Ravishankar, "Using Name-Based Mappings to
Increase Hit Rates", 1998, rendezvous hashing). Nothing is sent for it. Who knows other peers than we do, or has another
client, is no worse off: it is a preference among equals, and what is nobody's is asked for all the same.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_HASHES = 260_000
"""So many are compared: about 25 ms. More would hold up the loop."""

_MOST_RIVALS = 100


def own_pieces(own: bytes, others: Iterable[bytes], pieces: int) -> tuple[bool, ...]:
    """Which pieces are one's own.

    Args:
        own: One's own identity among the peers.
        others: Those of the other downloaders; one that claims to be us is not counted.
        pieces: How many pieces there are.

    Returns:
        For each piece; all False if there is nobody to share with.
    """
    rivals = [hashes(other, pieces) for other in sorted(set(others) - {own})[: most_rivals(pieces)]]
    if not rivals:
        return (False,) * pieces
    mine = hashes(own, pieces)
    return tuple(hashed > best for hashed, best in zip(mine, map(max, zip(*rivals, strict=True)), strict=True))


def most_rivals(pieces: int) -> int:
    """With how many others one compares oneself at most, the first by name."""
    return max(1, min(_MOST_RIVALS, _MOST_HASHES // max(1, pieces)))


def hashes(identity: bytes, pieces: int) -> tuple[int, ...]:
    """One number below 2**32 for each piece, the same on every machine: the downloader with the largest one owns it."""
    return struct.unpack(f">{pieces}I", hashlib.shake_128(identity).digest(4 * pieces))
