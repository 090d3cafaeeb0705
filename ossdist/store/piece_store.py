"""A torrent's pieces in its files: reads, writes and checks them. Blocks, and raises `OSError` as the disk does."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

from ossdist.transfer.spans import spans

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ossdist.transfer.metainfo import Metainfo


class PieceStore:
    """What a torrent has on disk.

    Args:
        metainfo: The torrent; it must have v1 piece hashes.
        save_path: Folder of its files.
        rename: Other paths by file index.

    Attributes:
        metainfo: The torrent.
        have: Which pieces are here and verified.
        bytes_total: Of all files.
        bytes_done: Of all files, in verified pieces.
    """

    def __init__(self, metainfo: Metainfo, save_path: Path, rename: Iterable[tuple[int, Path]] = ()) -> None:
        self.metainfo = metainfo
        self._paths = {file.index: save_path / file.path for file in metainfo.files}
        self._paths |= {index: save_path / path for index, path in rename}
        self._spans = [tuple(spans(metainfo, index)) for index in range(metainfo.num_pieces)]
        self.bytes_total = sum(file.length for file in metainfo.files)
        self.have = [False] * metainfo.num_pieces
        self.bytes_done = 0
        self._missing = metainfo.num_pieces

    @property
    def complete(self) -> bool:
        """Every piece is here."""
        return self._missing == 0

    def path(self, index: int) -> Path:
        """Where file ``index`` stands.

        Raises:
            ValueError: There is no such file.
        """
        if index not in self._paths or all(file.index != index for file in self.metainfo.files):
            raise ValueError(f"there is no file {index}")
        return self._paths[index]

    def move(self, index: int, path: Path) -> None:
        """Moves file ``index``; replaces what stands there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path(index).replace(path)
        self._paths[index] = path

    def set_have(self, index: int, *, here: bool) -> None:
        """Notes whether a piece is here."""
        if self.have[index] != here:
            self.have[index] = here
            size = sum(span.length for span in self._spans[index])
            self.bytes_done += size if here else -size
            self._missing += -1 if here else 1

    def is_right(self, index: int, data: bytes | memoryview) -> bool:
        """Whether these are the piece's bytes."""
        return hashlib.sha1(data, usedforsecurity=False).digest() == self.metainfo.piece_hashes[index]

    def check(self, index: int) -> bool:
        """Reads and hashes a piece. A missing or short file is no error."""
        try:
            return self.is_right(index, self.read(index))
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
            return False

    def read(self, index: int) -> bytes:
        """A piece's bytes as they are on disk, right or wrong."""
        piece = bytearray(self.metainfo.piece_size(index))
        for span in self._spans[index]:
            path = self._paths[span.file.index]
            with path.open("rb") as stream:
                stream.seek(span.file_offset)
                part = stream.read(span.length)
            if len(part) != span.length:
                raise OSError(errno.ENODATA, "the file is too short", str(path))
            piece[span.piece_offset : span.piece_offset + span.length] = part
        return bytes(piece)

    def write(self, index: int, data: bytes | memoryview) -> None:
        """Writes a piece."""
        view = memoryview(data)
        for span in self._spans[index]:
            path = self._paths[span.file.index]
            descriptor = _open_or_make(path)
            try:
                _write_all(descriptor, view[span.piece_offset : span.piece_offset + span.length], span.file_offset)
            except OSError as error:
                error.filename = str(path)
                raise
            finally:
                os.close(descriptor)

    def make_empty_files(self) -> None:
        """Makes the files that no piece will ever make."""
        for file in self.metainfo.files:
            if file.length == 0:
                os.close(_open_or_make(self._paths[file.index]))

    def has_files_of(self, have: Iterable[bool]) -> bool:
        """Whether every file that has some of these pieces exists."""
        wanted = {span.file.index for part, here in zip(self._spans, have, strict=True) if here for span in part}
        return all(self._paths[index].exists() for index in wanted)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:  # a disk that gets full may take a part first
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count


def _open_or_make(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)
