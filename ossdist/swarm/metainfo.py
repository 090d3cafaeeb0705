"""Makes and reads ``.torrent`` files.

A release gets two torrents of the same bytes: a hybrid (BEP 52, v1 and v2 in one) and a v1 one for clients that
refuse hybrids. Both are deterministic: the same files and settings give the same bytes. The manifest and its
signatures stand outside the info dictionary, under the key ``ossdist``, so that they do not change the info-hash;
clients that do not know the key ignore it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import libtorrent as lt

from ossdist.errors import FormatError, StorageError
from ossdist.transfer.metainfo import InfoHashes, Metainfo, TorrentFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

EMBEDDED_KEY = b"ossdist"
MAX_TORRENT_BYTES = 64 << 20
"""Larger ``.torrent`` files are refused unread; 64 MiB hold over a million pieces of a hybrid."""

MIN_PIECE_LENGTH = 16 << 10
MAX_PIECE_LENGTH = 4 << 20
_TARGET_PIECES = 2048


@dataclass(frozen=True, slots=True)
class Torrents:
    """The two torrents of one release.

    Attributes:
        hybrid: v1 and v2.
        v1: v1 alone.
    """

    hybrid: Metainfo
    v1: Metainfo


def piece_length_for(total: int) -> int:
    """The piece length for a payload of ``total`` bytes: about two thousand pieces, 16 KiB to 4 MiB each.

    Small pieces spread faster through a flash crowd (a peer can share a piece as soon as it has it whole, and
    16 to 32 KiB were best for 50 MB); large ones keep the torrent and the protocol's overhead small.
    """
    length = MIN_PIECE_LENGTH
    while length < MAX_PIECE_LENGTH and total / length > _TARGET_PIECES:
        length *= 2
    return length


def make_torrents(
    base: Path,
    files: Sequence[tuple[str, int]],
    *,
    name: str,
    piece_length: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> Torrents:
    """Hashes files and makes both torrents, without trackers, web seeds or signatures.

    Args:
        base: Folder in which the files stand.
        files: Path below ``base`` (with ``/``) and length of each, in the order that the torrent shall have.
        name: The torrent's name. One file whose path is ``name`` gives a single-file torrent.
        piece_length: A power of two of at least 16 KiB; 0 chooses by `piece_length_for`.
        on_progress: Called with the finished share, 0 to 1, from the calling thread.

    Raises:
        StorageError: A file cannot be read.
        FormatError: libtorrent cannot make a torrent of these files.
    """
    length = piece_length or piece_length_for(sum(size for _, size in files))
    single = len(files) == 1 and files[0][0] == name
    entries = [lt.create_file_entry(path if single else f"{name}/{path}", size) for path, size in files]
    parent = base if single else base.parent
    if not single and base.name != name:
        raise ValueError(f"the files of a multi-file torrent must stand in a folder of its name, {name!r}")

    def half(done: float) -> None:
        if on_progress is not None:
            on_progress(done / 2)

    def second_half(done: float) -> None:
        if on_progress is not None:
            on_progress(0.5 + done / 2)

    hybrid_flags = lt.create_torrent.canonical_files_no_tail_padding
    hybrid = _make(parent, entries, length, hybrid_flags, half)
    v1 = _make(parent, entries, length, lt.create_torrent.v1_only, second_half)
    return Torrents(hybrid=load_metainfo(hybrid), v1=load_metainfo(v1))


def dress(
    metainfo: Metainfo,
    *,
    trackers: Sequence[str] = (),
    web_seeds: Sequence[str] = (),
    release: bytes | None = None,
    signatures: Mapping[str, bytes] | None = None,
) -> Metainfo:
    """Gives a torrent everything that stands outside its info dictionary; the info-hashes stay.

    Args:
        metainfo: The torrent.
        trackers: Announce addresses, one tier each (BEP 12).
        web_seeds: BEP 19 addresses.
        release: The signed manifest's bytes, kept byte for byte.
        signatures: Its armored signatures by fingerprint.
    """
    document = _top_level(metainfo.data)
    for key in (b"announce", b"announce-list", b"url-list", EMBEDDED_KEY):
        document.pop(key, None)
    if trackers:
        document[b"announce"] = trackers[0].encode()
        document[b"announce-list"] = [[tracker.encode()] for tracker in trackers]
    if web_seeds:
        document[b"url-list"] = [seed.encode() for seed in web_seeds]
    if release is not None:
        signed = {key.encode(): value for key, value in (signatures or {}).items()}
        document[EMBEDDED_KEY] = {b"release": release, b"signatures": signed}
    return load_metainfo(_bencode(document))


def load_metainfo(data: bytes, *, document: str = ".torrent") -> Metainfo:
    """Reads a ``.torrent``.

    Args:
        data: Its bytes, from anywhere: they are hostile until checked.
        document: How to call it in errors.

    Raises:
        FormatError: It is not a torrent, or too large.
    """
    if len(data) > MAX_TORRENT_BYTES:
        raise FormatError(f"{len(data)} bytes, at most {MAX_TORRENT_BYTES} are allowed", document=document)
    try:
        params = lt.load_torrent_buffer(data)
        top = _top_level(data)
    except (RuntimeError, ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"not a torrent: {error}", document=document) from error
    info = params.ti
    if info is None:
        raise FormatError("not a torrent: it has no info dictionary", document=document)
    release, signatures = _embedded(top, document=document)
    return metainfo_of(
        info,
        data=data,
        release=release,
        signatures=signatures,
        trackers=tuple(params.trackers),
        web_seeds=tuple(params.url_seeds),
    )


def metainfo_of(
    info: lt.torrent_info,
    *,
    data: bytes,
    release: bytes | None = None,
    signatures: tuple[tuple[str, bytes], ...] = (),
    trackers: tuple[str, ...] = (),
    web_seeds: tuple[str, ...] = (),
) -> Metainfo:
    """The value of a torrent that libtorrent has parsed."""
    layout = info.layout()
    hashes = info_hashes_of(info.info_hashes())
    files = tuple(
        TorrentFile(
            index=index,
            path=layout.file_path(index),
            length=layout.file_size(index),
            offset=layout.file_offset(index),
            root=layout.root(index).to_bytes() if hashes.v2 and layout.file_size(index) else None,
        )
        for index in range(layout.num_files())
        if not layout.file_flags(index) & lt.file_storage.flag_pad_file
    )
    pieces = tuple(info.hash_for_piece(index) for index in range(info.num_pieces())) if hashes.v1 else ()
    return Metainfo(
        name=info.name(),
        data=data,
        info_hashes=hashes,
        piece_length=info.piece_length(),
        total=info.total_size(),
        files=files,
        piece_hashes=pieces,
        release=release,
        signatures=signatures,
        trackers=trackers,
        web_seeds=web_seeds,
    )


def info_hashes_of(hashes: lt.info_hash_t) -> InfoHashes:
    """libtorrent's pair of info-hashes as a value."""
    return InfoHashes(
        v1=str(hashes.v1) if hashes.has_v1() else None,
        v2=str(hashes.v2) if hashes.has_v2() else None,
    )


def _make(
    parent: Path,
    entries: list[lt.create_file_entry],
    piece_length: int,
    flags: int,
    on_progress: Callable[[float], None],
) -> bytes:
    try:
        torrent = lt.create_torrent(entries, piece_length, flags)
        pieces = torrent.num_pieces()
        torrent.set_creation_date(0)
        # Without a callback the whole pass would hold the interpreter's lock.
        lt.set_piece_hashes(torrent, str(parent), lambda index: on_progress((index + 1) / pieces))
        return _bencode(torrent.generate())
    except RuntimeError as error:
        missing = next((entry.filename for entry in entries if not (parent / entry.filename).is_file()), None)
        if missing is not None:
            raise StorageError(f"cannot read {missing}: {error}", path=parent / missing) from error
        raise FormatError(f"libtorrent makes no torrent of these files: {error}", document="torrent") from error


def _bencode(document: object) -> bytes:
    # The binding's recursive type for bencoded values has holes that the checker sees.
    return lt.bencode(cast("Any", document))  # pyright: ignore[reportUnknownMemberType]


def _top_level(data: bytes) -> dict[bytes, object]:
    document = cast("object", lt.bdecode(data))  # pyright: ignore[reportUnknownMemberType]
    if not isinstance(document, dict):
        raise ValueError("the outermost value is no dictionary")
    return cast("dict[bytes, object]", document)


def _embedded(top: Mapping[bytes, object], *, document: str) -> tuple[bytes | None, tuple[tuple[str, bytes], ...]]:
    block = top.get(EMBEDDED_KEY)
    if block is None:
        return None, ()
    if isinstance(block, dict):
        fields = cast("dict[bytes, object]", block)
        release, signatures = fields.get(b"release"), fields.get(b"signatures")
        if isinstance(release, bytes) and isinstance(signatures, dict):
            pairs = cast("dict[bytes, object]", signatures)
            if all(isinstance(value, bytes) for value in pairs.values()) and all(key.isalnum() for key in pairs):
                return release, tuple((key.decode("ascii"), cast("bytes", pairs[key])) for key in pairs)
    raise FormatError("the embedded release is malformed", document=document)
