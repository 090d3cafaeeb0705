"""The signed documents: root, channel and release, as strict typed values.

Decoding is strict: an unknown field, a wrong type, a duplicate key, a value out of bounds or an unsafe path
refuses the whole document. The bytes that were signed are the bytes that are decoded; `encode` is for the
publisher only.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from packageurl import PackageURL

from ossdist.errors import FormatError
from ossdist.release import layout
from ossdist.release.wording import explain

MAX_ROOT_BYTES = 1 << 20
MAX_CHANNEL_BYTES = 16 << 20
MAX_RELEASE_BYTES = 4 << 20
MAX_SIGNATURE_BYTES = 16 << 10
"""Bounds for documents whose length nobody has signed yet (the endless-data attack of TUF's list)."""

Sha1Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}\Z")]
Sha256Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Fingerprint = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-F]{40}\Z")]
"""Primary fingerprint of an OpenPGP v4 key, 40 upper-case hexadecimal digits."""
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}\Z")]
Length = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Serial = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
PieceLength = Annotated[int, msgspec.Meta(ge=16 << 10, le=128 << 20)]
Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
RoleName = Literal["root", "channel", "release"]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts of signed documents."""


class Role(_Document, frozen=True, kw_only=True):
    """Which keys may sign for a role, and how many of them must.

    Attributes:
        keys: Primary fingerprints.
        threshold: How many different ones of them must have signed.
    """

    keys: Annotated[tuple[Fingerprint, ...], msgspec.Meta(min_length=1, max_length=64)]
    threshold: Annotated[int, msgspec.Meta(ge=1, le=64)]


class Roles(_Document, frozen=True, kw_only=True):
    """The three roles."""

    root: Role
    channel: Role
    release: Role

    def get(self, name: RoleName) -> Role:
        """The role called ``name``."""
        match name:
            case "root":
                return self.root
            case "channel":
                return self.channel
            case "release":
                return self.release


class Root(_Document, frozen=True, kw_only=True):
    """The root of trust: keys, and what each may sign.

    Attributes:
        format: Always ``ossdist-root-1``.
        serial: Counts up by one at each rotation.
        expires: When this root must have been replaced.
        keys: Armored public keys by primary fingerprint.
        roles: Who signs what.
    """

    format: Literal["ossdist-root-1"] = "ossdist-root-1"
    serial: Serial
    expires: Timestamp
    keys: dict[Fingerprint, Annotated[str, msgspec.Meta(max_length=64 << 10)]]
    roles: Roles


class ReleaseEntry(_Document, frozen=True, kw_only=True):
    """One release in the channel.

    Attributes:
        name: The package.
        version: Its version, as text; never compared to find out what is newer.
        serial: The channel's serial when this release was added: higher is newer.
        length: Bytes of its manifest.
        sha256: Of its manifest.
    """

    name: Name
    version: Version
    serial: Serial
    length: Annotated[int, msgspec.Meta(ge=1, le=MAX_RELEASE_BYTES)]
    sha256: Sha256Hex

    @property
    def path(self) -> str:
        """Where the manifest stands in the channel's folder."""
        return layout.release_path(self.name, self.version)


class Channel(_Document, frozen=True, kw_only=True):
    """Every release that the channel offers.

    Attributes:
        format: Always ``ossdist-channel-1``.
        serial: Counts up with each change.
        issued: When it was signed.
        expires: Until when it may be believed.
        releases: All of them.
    """

    format: Literal["ossdist-channel-1"] = "ossdist-channel-1"
    serial: Serial
    issued: Timestamp
    expires: Timestamp
    releases: tuple[ReleaseEntry, ...]

    def find(self, name: str, version: str | None = None) -> ReleaseEntry | None:
        """The release of that name and version, or the newest of that name; None if there is none."""
        candidates = [
            entry for entry in self.releases if entry.name == name and (version is None or entry.version == version)
        ]
        return max(candidates, key=lambda entry: entry.serial, default=None)


class File(_Document, frozen=True, kw_only=True):
    """One payload file.

    Attributes:
        path: Relative to the folder into which the release is installed, with ``/``.
        length: In bytes.
        sha256: Of the whole file.
    """

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=layout.MAX_PATH_BYTES)]
    length: Length
    sha256: Sha256Hex


class HybridTorrent(_Document, frozen=True, kw_only=True):
    """Identity of the v1+v2 torrent (BEP 3, BEP 52)."""

    info_hash_v1: Sha1Hex
    info_hash_v2: Sha256Hex
    piece_length: PieceLength


class V1Torrent(_Document, frozen=True, kw_only=True):
    """Identity of the v1 torrent of the same bytes, for clients that refuse hybrids."""

    info_hash_v1: Sha1Hex
    piece_length: PieceLength


class Mirror(_Document, frozen=True, kw_only=True):
    """A copy of the channel's folder that an HTTP server offers. Field names are Metalink's (RFC 5854).

    Attributes:
        url: Base address of the folder.
        location: ISO 3166-1 alpha-2 country, if known.
        priority: Lower is preferred, 1 is the best.
    """

    url: Url
    location: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}\Z")] | None = None
    priority: Annotated[int, msgspec.Meta(ge=1, le=999_999)] = 1


class Dependency(_Document, frozen=True, kw_only=True):
    """Something that must be there for the package to work.

    Attributes:
        purl: Which package, without a version (package-url/purl-spec).
        versions: Which versions of it, as the package's ecosystem writes it; empty for any.
    """

    purl: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    versions: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class Release(_Document, frozen=True, kw_only=True):
    """The manifest of one release.

    Attributes:
        format: Always ``ossdist-release-1``.
        name: The package, in the channel's words.
        version: Its version.
        purl: Its identity in its ecosystem (package-url/purl-spec).
        issued: When it was signed.
        files: The payload.
        hybrid: The torrent for clients that know BitTorrent v2.
        v1: The torrent for those that do not.
        trackers: Announce addresses.
        mirrors: HTTP copies.
        dependencies: What it needs.
    """

    format: Literal["ossdist-release-1"] = "ossdist-release-1"
    name: Name
    version: Version
    purl: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    issued: Timestamp
    files: Annotated[tuple[File, ...], msgspec.Meta(min_length=1, max_length=10_000)]
    hybrid: HybridTorrent
    v1: V1Torrent
    trackers: Annotated[tuple[Url, ...], msgspec.Meta(max_length=64)] = ()
    mirrors: Annotated[tuple[Mirror, ...], msgspec.Meta(max_length=1000)] = ()
    dependencies: Annotated[tuple[Dependency, ...], msgspec.Meta(max_length=10_000)] = ()

    @property
    def length(self) -> int:
        """Bytes of all files together."""
        return sum(file.length for file in self.files)

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"{self.name} {self.version}"


_D = TypeVar("_D", Root, Channel, Release)


def decode_root(data: bytes, *, document: str = layout.ROOT) -> Root:
    """Decodes a root document.

    Args:
        data: Its bytes.
        document: What to call it in a message.

    Raises:
        FormatError: It is not one, or it names a key or threshold that cannot be met.
    """
    root = _decode(data, Root, document=document, limit_bytes=MAX_ROOT_BYTES)
    for name in ("root", "channel", "release"):
        role = root.roles.get(name)
        if len(set(role.keys)) != len(role.keys):
            raise FormatError(f"role {name!r} lists a key twice", document=document)
        if role.threshold > len(role.keys):
            raise FormatError(f"role {name!r} needs {role.threshold} of {len(role.keys)} keys", document=document)
        missing = [key for key in role.keys if key not in root.keys]
        if missing:
            raise FormatError(f"role {name!r} lists {missing[0]}, which is not in keys", document=document)
    return root


def decode_channel(data: bytes) -> Channel:
    """Decodes a channel document.

    Raises:
        FormatError: It is not one, or it lists a release with a serial above its own, or two releases that would
            stand in the same folder.
    """
    channel = _decode(data, Channel, document=layout.CHANNEL, limit_bytes=MAX_CHANNEL_BYTES)
    seen: dict[str, ReleaseEntry] = {}
    for entry in channel.releases:
        # "a-1" 2 and "a" 1-2 share a folder, and on some servers "A" and "a" do.
        other = seen.setdefault(layout.folder_name(entry.name, entry.version).casefold(), entry)
        if other is not entry:
            raise FormatError(
                f"{entry.name} {entry.version} is listed twice, or shares its folder with {other.name} {other.version}",
                document=layout.CHANNEL,
            )
        if entry.serial > channel.serial:
            raise FormatError(
                f"{entry.name} {entry.version} has serial {entry.serial}, above the channel's own",
                document=layout.CHANNEL,
            )
    return channel


def decode_release(data: bytes, *, document: str = "release.json") -> Release:
    """Decodes a release's manifest.

    Raises:
        FormatError: It is not one, or a purl or an address in it is malformed.
        UnsafePathError: A file's path is unsafe or stands there twice.
    """
    release = _decode(data, Release, document=document, limit_bytes=MAX_RELEASE_BYTES)
    layout.check_paths((file.path for file in release.files), document=document)
    if release.length == 0:
        raise FormatError("all files are empty: there is nothing to distribute", document=document)
    check_purl(release.purl, document=document)
    for dependency in release.dependencies:
        check_purl(dependency.purl, document=document)
    for mirror in release.mirrors:
        check_url(mirror.url, schemes=("http", "https"), document=document)
        if "?" in mirror.url or "#" in mirror.url:
            raise FormatError(f"mirror {mirror.url!r} has a query, so no path can follow it", document=document)
    for tracker in release.trackers:
        check_url(tracker, schemes=("http", "https", "udp"), document=document)
    return release


def encode(value: Root | Channel | Release) -> bytes:
    """Encodes a document as indented JSON, the same bytes for the same value."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2) + b"\n"


def check_identity(name: str, version: str) -> None:
    """Refuses a name or version that may not stand in a path.

    Raises:
        FormatError: With the reason.
    """
    for what, value, kind in (("name", name, Name), ("version", version, Version)):
        try:
            msgspec.convert(value, type=kind)
        except msgspec.ValidationError as error:
            raise FormatError(f"the {what} {value!r} is not allowed: {explain(error)}", document="release") from error


def check_purl(purl: str, *, document: str) -> None:
    """Refuses text that is no package URL.

    Raises:
        FormatError: With the reason.
    """
    try:
        PackageURL.from_string(purl)
    except ValueError as error:
        raise FormatError(f"{purl!r} is not a package URL: {error}", document=document) from error


def check_url(address: str, *, schemes: tuple[str, ...], document: str) -> None:
    """Refuses an address of another scheme, without a host, or with a user's name in it.

    Raises:
        FormatError: With the reason.
    """
    try:
        parts = urlsplit(address)
        acceptable = (
            parts.scheme in schemes
            and bool(parts.hostname)
            and parts.username is None
            and (parts.port is None or parts.port > 0)
            and address.isprintable()
            and " " not in address
        )
    except ValueError:
        acceptable = False
    if not acceptable:
        raise FormatError(
            f"{address!r} is not an address with a host and one of the schemes {', '.join(schemes)}",
            document=document,
        )


def _decode(data: bytes, kind: type[_D], *, document: str, limit_bytes: int) -> _D:
    if len(data) > limit_bytes:
        raise FormatError(f"{len(data)} bytes, at most {limit_bytes} are allowed", document=document)
    try:
        text = data.decode()
        value = msgspec.json.decode(data, type=kind)
        # msgspec takes the last of two equal keys; another reader may take the first. One signature must not
        # mean two things, so such a document is refused.
        json.loads(text, object_pairs_hook=_refuse_duplicate_keys)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FormatError(explain(error), document=document) from error
    return value


def _refuse_duplicate_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result
