"""A release on its way into a channel's folder: its files copied and hashed, its torrents made. Everything blocks."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ossdist.release import layout, model
from ossdist.release.torrents import torrent_name, web_seed
from ossdist.release_spec import manifest_of, opened, upstream_signatures
from ossdist.store.files import writing
from ossdist.swarm.metainfo import dress, make_torrents

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from datetime import datetime
    from pathlib import Path

    from ossdist.release_spec import ReleaseSpec
    from ossdist.swarm.metainfo import Torrents
    from ossdist.transfer.metainfo import Metainfo

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StagedRelease:
    """A release that nobody sees yet.

    Attributes:
        payload: The folder of its files.
        release: Its manifest.
        document: The manifest's bytes, to be signed.
        torrents: Its torrents.
    """

    payload: Path
    release: model.Release
    document: bytes
    torrents: Torrents

    @property
    def path(self) -> str:
        """Where the manifest will stand."""
        return layout.release_path(self.release.name, self.release.version)

    def dressed(self, signatures: Mapping[str, bytes]) -> dict[str, bytes]:
        """Both torrents with everything that a client needs, by their paths.

        Args:
            signatures: The manifest's, by fingerprint.
        """
        return {
            **dress_for(self.release, self.torrents.hybrid, self.document, signatures, v1=False),
            **dress_for(self.release, self.torrents.v1, self.document, signatures, v1=True),
        }


def stage(
    spec: ReleaseSpec,
    staging: Path,
    *,
    channel: str,
    issued: datetime,
    upstream_keys: Mapping[str, str],
    on_progress: Callable[[float], None],
    check: Callable[[], None],
) -> StagedRelease:
    """Copies and hashes a release's files and makes its torrents and manifest.

    Args:
        spec: The release.
        staging: An empty folder.
        channel: The channel's name.
        issued: Its date.
        upstream_keys: Armored, by primary fingerprint.
        on_progress: Called with the finished share of the torrents' hashing, 0 to 1.
        check: Called again and again; what it raises ends this.

    Raises:
        NotFoundError: A file does not exist.
        StorageError: A file cannot be read, or the folder cannot be written to.
        FormatError: A client would refuse the manifest.
    """

    def checked_progress(done: float) -> None:
        check()
        on_progress(done)

    payload = staging / layout.folder_name(spec.name, spec.version)
    signatures = upstream_signatures(spec)
    files = [
        msgspec.structs.replace(file, upstream_signature=signatures.get(file.path))
        for file in _copy_in(spec.files, payload, check)
    ]
    torrents = make_torrents(
        payload,
        [(file.path, file.length) for file in files],
        name=torrent_name(spec.name, spec.version, tuple(spec.files)),
        piece_length=spec.piece_length,
        on_progress=checked_progress,
    )
    hybrid, v1 = _torrent_identities(torrents)
    release = manifest_of(
        spec, files, channel=channel, hybrid=hybrid, v1=v1, issued=issued, upstream_keys=upstream_keys
    )
    document = model.encode(release)
    staged = StagedRelease(payload, release, document, torrents)
    model.decode_release(document, document=staged.path)  # what a client would refuse is refused here already
    return staged


def dress_for(
    release: model.Release, metainfo: Metainfo, document: bytes, signatures: Mapping[str, bytes], *, v1: bool
) -> dict[str, bytes]:
    """A release's torrent with everything that a client needs, by its path."""
    seeds = [web_seed(release, mirror.url) for mirror in release.mirrors]
    dressed = dress(metainfo, trackers=release.trackers, web_seeds=seeds, release=document, signatures=signatures)
    return {layout.torrent_path(release.name, release.version, v1=v1): dressed.data}


def _copy_in(files: Mapping[str, Path], payload: Path, check: Callable[[], None]) -> list[model.File]:
    """Copies the payload, and hashes what was written."""
    copied: list[model.File] = []
    for path, source in sorted(files.items()):
        target = payload / path
        digest, length = hashlib.sha256(), 0
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as writer:
                for chunk in _chunks(source):
                    check()
                    writer.write(chunk)
                    digest.update(chunk)
                    length += len(chunk)
                writer.flush()
                os.fsync(writer.fileno())
        copied.append(model.File(path=path, length=length, sha256=digest.hexdigest()))
    return copied


def _chunks(source: Path) -> Generator[bytes]:
    with opened(source) as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            yield chunk


def _torrent_identities(torrents: Torrents) -> tuple[model.HybridTorrent, model.V1Torrent]:
    hybrid, v1 = torrents.hybrid.info_hashes, torrents.v1.info_hashes
    return (
        model.HybridTorrent(
            info_hash_v1=hybrid.v1 or "",
            info_hash_v2=hybrid.v2 or "",
            piece_length=torrents.hybrid.piece_length,
        ),
        model.V1Torrent(info_hash_v1=v1.v1 or "", piece_length=torrents.v1.piece_length),
    )
