"""A file's pieces, hashed while it is read: the v1 part of a torrent (BEP 3) and the v2 part (BEP 52)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ossdist.release.report import Check, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from hashlib import _Hash  # pyright: ignore[reportPrivateUsage]  # typeshed's only name for it before 3.13

    from ossdist.transfer.metainfo import Metainfo, TorrentFile

_LEAF_BYTES = 16 << 10
"""BEP 52: a file's tree of hashes has one leaf for every 16 KiB."""


class PieceHasher:
    """Compares a file's v1 pieces with its torrent's. A piece that holds bytes of other files is left out.

    Args:
        metainfo: The torrent.
        file: The file in it.
    """

    def __init__(self, metainfo: Metainfo, file: TorrentFile) -> None:
        self._metainfo = metainfo
        self._file = file
        self._first, skip_bytes = divmod(file.offset, metainfo.piece_length)
        self._head_shared = skip_bytes > 0
        self._blocks = _BlockHasher(_sha1, metainfo.piece_length, skip_bytes=skip_bytes)

    def feed(self, data: memoryview) -> None:
        """Takes the file's next bytes."""
        self._blocks.feed(data)

    def check(self) -> Check:
        """What came of it, after exactly the file's length was fed."""
        room = self._blocks.room_bytes
        ends_torrent = self._file.offset + self._file.length == self._metainfo.total
        padded = self._metainfo.info_hashes.v2 is not None and not ends_torrent
        if padded:  # a hybrid fills the rest of a file's last piece with zeros (BEP 47)
            self._blocks.feed(memoryview(bytes(room)))
        actual = self._blocks.finish()
        tail_shared = room > 0 and not padded and not ends_torrent
        whole = range(int(self._head_shared), len(actual) - int(tail_shared))
        wrong = [n + self._first for n in whole if actual[n] != self._metainfo.piece_hashes[n + self._first]]
        shared = len(actual) - len(whole)
        note = f"; {shared} shared with other files left out" if shared else ""
        if wrong:
            detail = f"{len(wrong)} of {len(whole)} are wrong, the first is {wrong[0]}{note}"
            return Check("pieces v1", Outcome.FAIL, detail, required=False)
        if not whole:
            return Check("pieces v1", Outcome.SKIPPED, f"no piece holds this file alone{note}", required=False)
        return Check("pieces v1", Outcome.PASS, f"{len(whole)} pieces, SHA-1{note}", required=False)


class TreeHasher:
    """Compares the root of a file's tree of hashes with the one in its torrent.

    Args:
        root: The torrent's.
    """

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._leaves = _BlockHasher(hashlib.sha256, _LEAF_BYTES)

    def feed(self, data: memoryview) -> None:
        """Takes the file's next bytes."""
        self._leaves.feed(data)

    def check(self) -> Check:
        """What came of it, after the whole file was fed; a file of no bytes has no tree."""
        leaves = self._leaves.finish()
        if merkle_root(leaves) == self._root:
            detail = f"SHA-256 tree over {len(leaves)} blocks, root {self._root.hex()}"
            return Check("pieces v2", Outcome.PASS, detail, required=False)
        detail = f"the SHA-256 tree has another root than the signed {self._root.hex()}"
        return Check("pieces v2", Outcome.FAIL, detail, required=False)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root of a tree of SHA-256 hashes, its leaves filled up with zeros to a power of two (BEP 52).

    Args:
        leaves: At least one hash of 32 bytes.
    """
    layer, filler = list(leaves), bytes(32)
    while len(layer) > 1:
        if len(layer) % 2:
            layer.append(filler)
        layer = [hashlib.sha256(layer[n] + layer[n + 1]).digest() for n in range(0, len(layer), 2)]
        filler = hashlib.sha256(filler + filler).digest()
    return layer[0]


class _BlockHasher:
    """The hash of each block of a stream."""

    def __init__(self, algorithm: Callable[[], _Hash], block_bytes: int, *, skip_bytes: int = 0) -> None:
        """``skip_bytes`` of the first block belong to something that comes before the stream."""
        self._algorithm = algorithm
        self._block_bytes = block_bytes
        self._room = block_bytes - skip_bytes
        self._open = algorithm()
        self.digests: list[bytes] = []

    def feed(self, data: memoryview) -> None:
        while data:
            part = data[: self._room]
            self._open.update(part)
            self._room -= len(part)
            data = data[len(part) :]
            if not self._room:
                self._close()

    def finish(self) -> list[bytes]:
        if self._room < self._block_bytes:
            self._close()
        return self.digests

    @property
    def room_bytes(self) -> int:
        """What is missing to the end of a block that has begun."""
        return self._room % self._block_bytes

    def _close(self) -> None:
        self.digests.append(self._open.digest())
        self._open, self._room = self._algorithm(), self._block_bytes


def _sha1() -> _Hash:
    return hashlib.sha1(usedforsecurity=False)
