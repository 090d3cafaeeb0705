"""What a publisher is asked to publish, and everything about it that can be refused at once."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from ossdist.errors import FormatError, NotFoundError, StorageError
from ossdist.release import armor, layout, model
from ossdist.store.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

_ANY_PIECE_LENGTH = 16 << 10
_ANY_CHANNEL = "channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSpec:
    """What is to be published.

    Attributes:
        name: The package.
        version: Its version.
        files: Where each file is now, by its path in the release.
        purl: Its identity; ``pkg:generic/NAME@VERSION`` if None.
        mirrors: HTTP copies of the channel's folder.
        trackers: Announce addresses.
        dependencies: What it needs.
        piece_length: Of both torrents, a power of two; chosen by size if 0.
        upstream_signatures: Detached OpenPGP signatures, armored or binary, by the project that made the files, by the
            signed file's path in the release.
        upstream_keys: Primary fingerprints of the keys that they are by; the publisher's keyring holds these keys.
    """

    name: str
    version: str
    files: Mapping[str, Path]
    purl: str | None = None
    mirrors: tuple[model.Mirror, ...] = ()
    trackers: tuple[str, ...] = ()
    dependencies: tuple[model.Dependency, ...] = ()
    piece_length: int = 0
    upstream_signatures: Mapping[str, Path] = field(default_factory=dict[str, "Path"])
    upstream_keys: tuple[str, ...] = ()


def check_spec(spec: ReleaseSpec) -> None:
    """Refuses a release that no channel could have. It takes no longer for large files than for small ones.

    `Publisher.publish` does it too, before it copies anything; call it before a channel is made for the release.

    Raises:
        FormatError: A name, version, path, purl, address or upstream signature is malformed, there are no files, or
            all are empty.
        NotFoundError: A file does not exist.
        StorageError: A file cannot be read, or is no regular file.
    """
    title = f"{spec.name} {spec.version}"
    model.check_identity(spec.name, spec.version)
    layout.check_paths(spec.files, document=title)
    signatures = upstream_signatures(spec)
    files: list[model.File] = []
    for path, source in spec.files.items():
        with opened(source) as stream:
            length = stream.seek(0, 2)
        files.append(model.File(path=path, length=length, sha256="0" * 64, upstream_signature=signatures.get(path)))
    length = spec.piece_length or _ANY_PIECE_LENGTH
    candidate = manifest_of(
        spec,
        files,
        channel=_ANY_CHANNEL,
        hybrid=model.HybridTorrent(info_hash_v1="0" * 40, info_hash_v2="0" * 64, piece_length=length),
        v1=model.V1Torrent(info_hash_v1="0" * 40, piece_length=length),
        issued=datetime.now(UTC).replace(microsecond=0),
        upstream_keys=dict.fromkeys(spec.upstream_keys, ""),
    )
    model.decode_release(model.encode(candidate), document=title)


def manifest_of(
    spec: ReleaseSpec,
    files: Sequence[model.File],
    *,
    channel: str,
    hybrid: model.HybridTorrent,
    v1: model.V1Torrent,
    issued: datetime,
    upstream_keys: Mapping[str, str],
) -> model.Release:
    """The manifest of the release.

    Args:
        spec: The release.
        files: Its files, hashed, with their upstream signatures.
        channel: The channel's name.
        hybrid: Identity of its hybrid torrent.
        v1: Identity of its v1 torrent.
        issued: When it is published.
        upstream_keys: Armored, by primary fingerprint.
    """
    return model.Release(
        channel=channel,
        name=spec.name,
        version=spec.version,
        purl=spec.purl or f"pkg:generic/{spec.name}@{spec.version}",
        issued=issued,
        files=tuple(files),
        hybrid=hybrid,
        v1=v1,
        trackers=spec.trackers,
        mirrors=spec.mirrors,
        dependencies=spec.dependencies,
        upstream_keys=dict(upstream_keys),
    )


def upstream_signatures(spec: ReleaseSpec) -> dict[str, str]:
    """The upstream signatures, armored, by the signed file's path.

    Raises:
        FormatError: One is malformed, or for a file that is not published.
        NotFoundError: One does not exist.
        StorageError: One cannot be read.
    """
    armored: dict[str, str] = {}
    for path, source in spec.upstream_signatures.items():
        if path not in spec.files:
            raise FormatError(f"there is no file {path!r} for this upstream signature", document=str(source))
        with opened(source) as stream:
            data = stream.read(model.MAX_SIGNATURE_BYTES + 1)
        if len(data) > model.MAX_SIGNATURE_BYTES:
            raise FormatError(f"it has more than {model.MAX_SIGNATURE_BYTES} bytes", document=str(source))
        try:
            block = armor.armored_signature(data)
            armor.count_signatures(block)
            armored[path] = block.decode()
        except ValueError as error:
            raise FormatError(f"this upstream signature {error}", document=str(source)) from error
    return armored


@contextlib.contextmanager
def opened(source: Path) -> Generator[BinaryIO]:
    """Opens a file that is to be published; the body reads it and does nothing else.

    Raises:
        NotFoundError: It does not exist.
        StorageError: It cannot be read, or is no regular file.
    """
    try:
        with open_regular(source) as stream:
            yield stream
    except FileNotFoundError as error:
        raise NotFoundError(str(source), "the files to publish") from error
    except OSError as error:
        raise StorageError(f"cannot read {source}: {error.strerror}", path=source) from error
