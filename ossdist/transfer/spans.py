"""Which parts of which files a piece is made of. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ossdist.transfer.metainfo import Metainfo, TorrentFile


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a piece that stands in one file; what no span covers is padding, all zeros (BEP 47).

    Attributes:
        file: The file.
        file_offset: Where it stands in the file.
        piece_offset: Where it stands in the piece.
        length: In bytes.
    """

    file: TorrentFile
    file_offset: int
    piece_offset: int
    length: int


def spans(metainfo: Metainfo, index: int) -> Iterator[Span]:
    """The parts of piece ``index``, in order."""
    begin = index * metainfo.piece_length
    end = begin + metainfo.piece_size(index)
    # Files follow each other, so their ends are in order as well.
    first_file = bisect_right(metainfo.files, begin, key=lambda file: file.offset + file.length)
    for position in range(first_file, len(metainfo.files)):
        file = metainfo.files[position]
        if file.offset >= end:
            return
        first, last = max(begin, file.offset), min(end, file.offset + file.length)
        if first < last:
            yield Span(file, first - file.offset, first - begin, last - first)


def split_pieces(metainfo: Metainfo, first: int, data: bytes | bytearray | memoryview) -> list[memoryview]:
    """The pieces that stand one after the other in some bytes.

    Args:
        metainfo: The torrent.
        first: The first of them.
        data: Whole pieces.

    Raises:
        ValueError: There is no such piece, or the last one has another length.
    """
    view = memoryview(data)
    pieces: list[memoryview] = []
    index = first
    while True:
        if not 0 <= index < metainfo.num_pieces:
            raise ValueError(f"there is no piece {index}")
        size = metainfo.piece_size(index)
        if len(view) < size:
            raise ValueError(f"piece {index} has {size} bytes, not {len(view)}")
        pieces.append(view[:size])
        view = view[size:]
        index += 1
        if not view:
            return pieces
