"""A torrent as a value: what a session, a mirror engine and a simulation need to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Address(NamedTuple):
    """Where a peer listens: an IPv4 or IPv6 address as text, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class InfoHashes:
    """Identity of a torrent; a hybrid has both.

    Attributes:
        v1: SHA-1 of the info dictionary (BEP 3), 40 hexadecimal digits.
        v2: SHA-256 of the info dictionary (BEP 52), 64 hexadecimal digits.
    """

    v1: str | None
    v2: str | None

    def __str__(self) -> str:
        return self.v1 or self.v2 or "none"


@dataclass(frozen=True, slots=True)
class TorrentFile:
    """One file of a torrent; pad files are left out.

    Attributes:
        index: Its number in the torrent, pad files counted.
        path: Relative to the save path, with ``/``; a multi-file torrent's name is its first component.
        length: In bytes.
        offset: Where its first byte stands in the torrent's sequence of pieces.
        root: Root of its tree of SHA-256 hashes (v2 part); None for an empty file and in a v1 torrent.
    """

    index: int
    path: str
    length: int
    offset: int
    root: bytes | None = None


@dataclass(frozen=True, slots=True)
class Metainfo:
    """A parsed ``.torrent``.

    Attributes:
        name: The torrent's own name.
        data: The file's bytes, as they were read.
        info_hashes: Its identity.
        piece_length: Bytes of every piece but the last.
        total: Bytes of all pieces, pad files counted.
        files: The payload's files.
        piece_hashes: SHA-1 of each piece (v1 part); empty for a v2-only torrent.
        release: The embedded manifest's bytes, if there is one.
        signatures: The embedded armored signatures by fingerprint.
        trackers: Announce addresses (not signed).
        web_seeds: BEP 19 addresses (not signed).
    """

    name: str
    data: bytes
    info_hashes: InfoHashes
    piece_length: int
    total: int
    files: tuple[TorrentFile, ...]
    piece_hashes: tuple[bytes, ...] = ()
    release: bytes | None = None
    signatures: tuple[tuple[str, bytes], ...] = ()
    trackers: tuple[str, ...] = ()
    web_seeds: tuple[str, ...] = ()

    @property
    def num_pieces(self) -> int:
        """How many pieces there are."""
        return -(-self.total // self.piece_length)

    def piece_size(self, index: int) -> int:
        """Bytes of piece ``index``."""
        return min(self.piece_length, self.total - index * self.piece_length)

    def paths_in(self, index: int) -> tuple[str, ...]:
        """The files of which piece ``index`` holds bytes."""
        start = index * self.piece_length
        end = start + self.piece_size(index)
        return tuple(file.path for file in self.files if file.offset < end and start < file.offset + file.length)
