"""Payloads with their torrents, for tests."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.swarm.metainfo import Torrents, dress, make_torrents
from tests.programs.payload import make_file, make_tree, tree_digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ossdist.transfer.metainfo import Metainfo

PIECE_BYTES = 16 << 10
NAME = "payload"


@dataclass(frozen=True)
class Payload:
    """Files on disk and the torrents of them.

    Attributes:
        folder: Where the torrents' files stand: a seed's ``save_path``.
        torrents: Both.
    """

    folder: Path
    torrents: Torrents

    @property
    def hybrid(self) -> Metainfo:
        """The hybrid torrent."""
        return self.torrents.hybrid

    @property
    def v1(self) -> Metainfo:
        """The v1 torrent."""
        return self.torrents.v1

    @property
    def file(self) -> Path:
        """A single-file payload's file."""
        return self.folder / NAME

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file by its path in the torrent."""
        return tree_digests(self.folder)

    @property
    def web_seed_path(self) -> str:
        """What a web seed's address ends with after that of a server of ``folder`` (BEP 19)."""
        return NAME if self.file.is_file() else ""

    def dressed(self, *, trackers: Sequence[str] = (), web_seeds: Sequence[str] = ()) -> Metainfo:
        """The hybrid torrent with addresses of trackers and web seeds inside."""
        return dress(self.hybrid, trackers=trackers, web_seeds=web_seeds)

    def copy(self, folder: Path) -> Payload:
        """The same payload in another folder."""
        shutil.copytree(self.folder, folder)
        return Payload(folder, self.torrents)

    def piece(self, metainfo: Metainfo, index: int) -> bytes:
        """A piece's bytes, pad files as zeros."""
        return read_piece(self.folder, metainfo, index)


def read_piece(folder: Path, metainfo: Metainfo, index: int) -> bytes:
    """A piece's bytes from the files in a folder, pad files as zeros."""
    begin, size = index * metainfo.piece_length, metainfo.piece_size(index)
    piece = bytearray(size)
    for file in metainfo.files:
        first, last = max(begin, file.offset), min(begin + size, file.offset + file.length)
        if first < last:
            with (folder / file.path).open("rb") as stream:
                stream.seek(first - file.offset)
                piece[first - begin : last - begin] = stream.read(last - first)
    return bytes(piece)


def single(folder: Path, size: int = 200_000, *, piece_length: int = PIECE_BYTES, seed: int = 0) -> Payload:
    """One file of random bytes."""
    make_file(folder / NAME, size, seed=seed)
    return Payload(folder, make_torrents(folder, [(NAME, size)], name=NAME, piece_length=piece_length))


def several(folder: Path, size: int = 200_000, *, piece_length: int = PIECE_BYTES, seed: int = 0) -> Payload:
    """A folder of files of odd sizes: an empty one, a tiny one, names beyond ASCII, nested folders."""
    tree = make_tree(folder / NAME, size, seed=seed)
    files = sorted(
        (path.relative_to(tree).as_posix(), path.stat().st_size) for path in tree.rglob("*") if path.is_file()
    )
    return Payload(folder, make_torrents(tree, files, name=NAME, piece_length=piece_length))


def damage(path: Path, offsets: Iterable[int]) -> None:
    """Changes the bytes at these offsets, in the file itself: whoever has it open sees it."""
    with path.open("r+b") as stream:
        for offset in offsets:
            stream.seek(offset)
            byte = stream.read(1)[0]
            stream.seek(offset)
            stream.write(bytes([byte ^ 0xFF]))
