"""Which bytes of each file are verified: pieces of a torrent, seen from its files. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ossdist.transfer.metainfo import Metainfo, TorrentFile


class VerifiedPieces:
    """A torrent's verified pieces.

    Args:
        metainfo: The torrent.
    """

    def __init__(self, metainfo: Metainfo) -> None:
        self._metainfo = metainfo
        self._have = bytearray(metainfo.num_pieces)

    def add(self, index: int) -> None:
        """Piece ``index`` is verified."""
        self._have[index] = 1

    def replace(self, have: Sequence[bool]) -> None:
        """Exactly these pieces are verified."""
        self._have[:] = bytes(have)

    def add_all(self) -> None:
        """Every piece is verified."""
        self._have[:] = b"\1" * len(self._have)

    @property
    def have(self) -> tuple[bool, ...]:
        """Which pieces are verified."""
        return tuple(map(bool, self._have))

    @property
    def total(self) -> int:
        """Bytes of all verified pieces, at most the torrent's."""
        return min(self._metainfo.total, self._have.count(1) * self._metainfo.piece_length)

    def verified_until(self, file: TorrentFile, position: int) -> int:
        """How far the file is verified without a gap from ``position`` on; ``position`` itself if it is not."""
        length = self._metainfo.piece_length
        first = (file.offset + position) // length
        gap = self._have.find(0, first)
        end = self._metainfo.total if gap < 0 else gap * length
        return max(position, min(file.length, end - file.offset))
