"""What a release signs of its torrents, and whether a torrent is the signed one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.errors import TorrentMismatchError
from ossdist.release import layout, model
from ossdist.transfer.metainfo import InfoHashes

if TYPE_CHECKING:
    from ossdist.release.model import Release
    from ossdist.transfer.metainfo import Metainfo, TorrentFile

_BYTES_A_PIECE = 20 + 2 * 32
"""SHA-1, SHA-256, and what bencoding and the layers' keys add."""

_BYTES_A_FILE = 2 * layout.MAX_PATH_BYTES + 512
_BYTES_BESIDE = 256 << 10
"""Trackers, web seeds, names."""


def torrent_name(name: str, version: str, paths: tuple[str, ...]) -> str:
    """A release's torrent's own name: the file's if there is one file in no folder, else the folder's."""
    if len(paths) == 1 and "/" not in paths[0]:
        return paths[0]
    return layout.folder_name(name, version)


def paths_in_torrent(release: Release) -> dict[str, str]:
    """Each file's path in the release's torrents, by its path in the release."""
    paths = tuple(file.path for file in release.files)
    name = torrent_name(release.name, release.version, paths)
    return {path: path if path == name else f"{name}/{path}" for path in paths}


def web_seed(release: Release, mirror: str) -> str:
    """The BEP 19 address of a release's payload at the mirror ``mirror``.

    For a single file that is its own address; for several it is the folder above the torrent's.
    """
    name = torrent_name(release.name, release.version, tuple(file.path for file in release.files))
    if len(release.files) == 1 and name == release.files[0].path:
        return layout.url(mirror, layout.file_path(release.name, release.version, name))
    return layout.url(mirror, "files/")


def torrent_limit_bytes(release: Release, *, v1: bool) -> int:
    """How long a release's ``.torrent`` can be at most."""
    piece_length = release.v1.piece_length if v1 else release.hybrid.piece_length
    pieces = release.length // piece_length + 2 * len(release.files)
    signatures = 64 * model.MAX_SIGNATURE_BYTES
    return (
        pieces * _BYTES_A_PIECE
        + len(release.files) * _BYTES_A_FILE
        + model.MAX_RELEASE_BYTES
        + signatures
        + _BYTES_BESIDE
    )


def require_signed(release: Release, metainfo: Metainfo, *, v1: bool) -> None:
    """Compares a torrent with what the release signs of it.

    Raises:
        TorrentMismatchError: Info-hash, piece length, file list or a length is another.
    """
    torrent = layout.torrent_path(release.name, release.version, v1=v1)

    def require(what: str, expected: object, actual: object) -> None:
        if expected != actual:
            raise TorrentMismatchError(torrent, what=what, expected=expected, actual=actual)

    if v1:
        require("info-hash v1", release.v1.info_hash_v1, metainfo.info_hashes.v1)
        require("info-hash v2", None, metainfo.info_hashes.v2)
        require("piece length", release.v1.piece_length, metainfo.piece_length)
    else:
        signed = InfoHashes(release.hybrid.info_hash_v1, release.hybrid.info_hash_v2)
        require("info-hash v1", signed.v1, metainfo.info_hashes.v1)
        require("info-hash v2", signed.v2, metainfo.info_hashes.v2)
        require("piece length", release.hybrid.piece_length, metainfo.piece_length)
    paths = paths_in_torrent(release)
    expected = {paths[file.path]: file.length for file in release.files}
    require("file list", expected, {file.path: file.length for file in metainfo.files})


def files_in(metainfo: Metainfo, release: Release) -> dict[str, TorrentFile]:
    """A release's files in its torrent, which `require_signed` has accepted, by their paths in the release."""
    found = {file.path: file for file in metainfo.files}
    return {path: found[inside] for path, inside in paths_in_torrent(release).items()}
