"""The signed documents root and release as strict typed values, and what all documents share (`channel` has its own).

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
MAX_RELEASE_BYTES = 4 << 20
MAX_SIGNATURE_BYTES = 16 << 10
"""Bounds for documents whose length nobody has signed yet (the endless-data attack of TUF's list)."""

Sha1Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}\Z")]
Sha256Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Fingerprint = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-F]{40}\Z")]
"""Primary fingerprint of an OpenPGP v4 key, 40 upper-case hexadecimal digits."""
PublicKey = Annotated[str, msgspec.Meta(max_length=64 << 10)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}\Z")]
Length = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Serial = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
PieceLength = Annotated[int, msgspec.Meta(ge=16 << 10, le=128 << 20)]
Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
RoleName = Literal["root", "channel", "release"]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts of signed documents."""


class Role(Document, frozen=True, kw_only=True):
    """Which keys may sign for a role, and how many of them must.

    Attributes:
        keys: Primary fingerprints.
        threshold: How many different ones of them must have signed.
    """

    keys: Annotated[tuple[Fingerprint, ...], msgspec.Meta(min_length=1, max_length=64)]
    threshold: Annotated[int, msgspec.Meta(ge=1, le=64)]


class Roles(Document, frozen=True, kw_only=True):
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


class Root(Document, frozen=True, kw_only=True):
    """The root of trust: keys, and what each may sign.

    Attributes:
        format: Always ``ossdist-root-1``.
        channel: The channel's name, which never changes: every document of the channel says it.
        serial: Counts up by one at each rotation.
        expires: When this root must have been replaced.
        keys: Armored public keys by primary fingerprint.
        roles: Who signs what.
    """

    format: Literal["ossdist-root-1"] = "ossdist-root-1"
    channel: Name
    serial: Serial
    expires: Timestamp
    keys: dict[Fingerprint, PublicKey]
    roles: Roles


class File(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One payload file.

    Attributes:
        path: Relative to the folder into which the release is installed, with ``/``.
        length: In bytes.
        sha256: Of the whole file.
        upstream_signature: The file's armored detached OpenPGP signature by the project that made it, if there is one.
    """

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=layout.MAX_PATH_BYTES)]
    length: Length
    sha256: Sha256Hex
    upstream_signature: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SIGNATURE_BYTES)] | None = None


class HybridTorrent(Document, frozen=True, kw_only=True):
    """Identity of the v1+v2 torrent (BEP 3, BEP 52)."""

    info_hash_v1: Sha1Hex
    info_hash_v2: Sha256Hex
    piece_length: PieceLength


class V1Torrent(Document, frozen=True, kw_only=True):
    """Identity of the v1 torrent of the same bytes, for clients that refuse hybrids."""

    info_hash_v1: Sha1Hex
    piece_length: PieceLength


class Mirror(Document, frozen=True, kw_only=True, omit_defaults=True):
    """A copy of the channel's folder that an HTTP server offers. Its field names are Metalink's (RFC 5854).

    Attributes:
        url: Base address of the folder.
        location: ISO 3166-1 alpha-2 country, if known.
        priority: Lower is preferred, 1 is the best.
        weight: Its part among mirrors of its priority that are as near, in percent of an ordinary one's; 0 for none.
        serves: Whom it serves: anybody, or clients in its continent, country or network (autonomous system) alone.
    """

    url: Url
    location: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}\Z")] | None = None
    priority: Annotated[int, msgspec.Meta(ge=1, le=999_999)] = 1
    weight: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 100
    serves: Literal["anybody", "continent", "country", "network"] = "anybody"


class Dependency(Document, frozen=True, kw_only=True):
    """Something that must be there for the package to work.

    Attributes:
        purl: Which package, without a version (package-url/purl-spec).
        versions: Which versions of it, as the package's ecosystem writes it; empty for any.
    """

    purl: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    versions: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class Release(Document, frozen=True, kw_only=True):
    """The manifest of one release.

    Attributes:
        format: Always ``ossdist-release-1``.
        channel: The channel's name.
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
        upstream_keys: Armored public keys of the project that made the files, by primary fingerprint.
    """

    format: Literal["ossdist-release-1"] = "ossdist-release-1"
    channel: Name
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
    upstream_keys: Annotated[dict[Fingerprint, PublicKey], msgspec.Meta(max_length=16)] = {}

    @property
    def length(self) -> int:
        """Bytes of all files together."""
        return sum(file.length for file in self.files)

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"{self.name} {self.version}"


_D = TypeVar("_D", bound=Document)


def decode_root(data: bytes, *, document: str = layout.ROOT) -> Root:
    """Decodes a root document.

    Args:
        data: Its bytes.
        document: What to call it in a message.

    Raises:
        FormatError: It is not one, or it names a key or threshold that cannot be met.
    """
    root = decode_document(data, Root, document=document, limit_bytes=MAX_ROOT_BYTES)
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


def decode_release(data: bytes, *, document: str = "release.json") -> Release:
    """Decodes a release's manifest.

    Raises:
        FormatError: It is not one, or a purl or an address in it is malformed.
        UnsafePathError: A file's path is unsafe or stands there twice.
    """
    release = decode_document(data, Release, document=document, limit_bytes=MAX_RELEASE_BYTES)
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
    signed = any(file.upstream_signature is not None for file in release.files)
    if signed != bool(release.upstream_keys):
        there, missing = ("upstream signatures", "key") if signed else ("upstream keys", "signature")
        raise FormatError(f"it has {there}, but no upstream {missing}", document=document)
    return release


def encode(value: Document) -> bytes:
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


def decode_document(data: bytes, kind: type[_D], *, document: str, limit_bytes: int) -> _D:
    """Decodes a document strictly.

    Raises:
        FormatError: It is longer than ``limit_bytes``, is no JSON, has an unknown or a doubled key, or a value of a
            wrong type or out of bounds.
    """
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
