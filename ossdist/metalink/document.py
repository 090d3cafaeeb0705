"""A Metalink document as typed values (RFC 5854), and what may stand in one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

MAX_PRIORITY = 999_999
"""The last one; 1 is the first (RFC 5854, section 4.2.15)."""

DIGEST_BYTES = {"md5": 16, "sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Names of hash functions (IANA's hash function textual names), and how long their values are."""

TORRENT = "torrent"
"""The media type by which RFC 5854, section 4.2.8, calls a ``.torrent``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUrl:
    """An address of a file.

    Attributes:
        url: It; http or https.
        location: Country of the server, ISO 3166-1 alpha-2 in lower case; empty if unknown.
        priority: 1 to `MAX_PRIORITY`, lower is preferred; None if nothing is said, which comes last.
    """

    url: str
    location: str = ""
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaUrl:
    """An address of a document that describes a file.

    Attributes:
        url: It; http or https.
        mediatype: What the document is; `TORRENT` for a torrent.
        priority: As in `FileUrl`.
        name: The file's path inside it, if it describes several.
    """

    url: str
    mediatype: str
    priority: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Hashes of a file's parts.

    Attributes:
        length: Bytes of every part but the last.
        type: Which hash function; a key of `DIGEST_BYTES`.
        hashes: Hexadecimal in lower case, in order.
    """

    length: int
    type: str
    hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetalinkFile:
    """One file.

    Attributes:
        name: Its path, relative, with ``/``; checked like a manifest's.
        size: In bytes; None if nothing is said.
        hashes: Of the whole file: function (a key of `DIGEST_BYTES`) and value in lower-case hexadecimal.
        pieces: Of its parts.
        urls: Where it is.
        metaurls: Where it is described.
        identity: What it is part of: a package's name.
        version: That one's version.
        signature: Its armored detached OpenPGP signature; empty if there is none.
    """

    name: str
    size: int | None = None
    hashes: tuple[tuple[str, str], ...] = ()
    pieces: tuple[Pieces, ...] = ()
    urls: tuple[FileUrl, ...] = ()
    metaurls: tuple[MetaUrl, ...] = ()
    identity: str = ""
    version: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metalink:
    """A Metalink document.

    Attributes:
        files: One or more.
        generator: Who wrote it.
        origin: Where it is published; empty if nothing is said.
        dynamic: What is at `origin` changes.
        published: When it was published first.
        updated: When it was changed last.
    """

    files: tuple[MetalinkFile, ...]
    generator: str = ""
    origin: str = ""
    dynamic: bool = False
    published: datetime | None = None
    updated: datetime | None = None
