"""Which documents may be believed: pure rules over bytes and checked signatures.

1. The root of trust comes from the caller. It says which keys may sign for which role, and how many must.
2. A signature counts if OpenPGP says that it is good (see `SignatureVerifier`) and its *primary* fingerprint is
   one of the role's keys. One key counts once, whatever it signs twice and in whatever order. A key that has expired
   since it signed still counts for a release, which is signed once, as long as the root lists it; it does not count for
   root and channel, which are signed again and again.
3. A document is decoded only after its signatures have reached the role's threshold.
4. A release's manifest has exactly the length and SHA-256 that the channel lists, and the name and version that
   were asked for; and it carries the signatures of the release role itself.
5. A document says to which channel it belongs: one key may sign for several.

`ossdist.release.update` has the rules for root and channel. Nothing here does any I/O.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from ossdist.errors import ForeignDocumentError, ManifestMismatchError, SignatureError
from ossdist.release.model import Release, RoleName, Root, decode_release

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ossdist.release.channel import ReleaseEntry

MAX_FUTURE = timedelta(minutes=5)
"""How far a signature or document may be dated ahead of our clock."""


@dataclass(frozen=True, slots=True)
class CheckedSignature:
    """What OpenPGP says of one signature over one document.

    Attributes:
        fingerprint: Primary fingerprint of the key that made it, or None where that is not known.
        refusal: Why it does not count; None if it is good.
        signed_at: When it was made, as it says itself.
        key_expired_at: When the key expired, if it has, after it made this signature.
    """

    fingerprint: str | None
    refusal: str | None = None
    signed_at: datetime | None = field(default=None, compare=False)
    key_expired_at: datetime | None = None


class SignatureVerifier(Protocol):
    """Checks detached OpenPGP signatures against the keys of one root. Adapter: `ossdist.release.signing`."""

    def verify(self, document: bytes, signatures: Sequence[bytes]) -> list[CheckedSignature]:
        """Checks every armored signature in ``signatures`` over exactly ``document``.

        A refused signature is a result, not an error. One armored block may hold several signatures; all of
        them are returned.

        Raises:
            ProgramMissingError: gpg cannot be run.
        """
        ...


class Signer(Protocol):
    """Makes detached OpenPGP signatures. Adapter: `ossdist.release.signing`."""

    def sign(self, document: bytes, fingerprint: str) -> bytes:
        """An armored detached signature of exactly ``document`` by the key with that primary fingerprint.

        Raises:
            SigningError: The key cannot sign.
            ProgramMissingError: gpg cannot be run.
        """
        ...

    def export_public_key(self, fingerprint: str) -> str:
        """The armored public key.

        Raises:
            SigningError: There is no such key.
            ProgramMissingError: gpg cannot be run.
        """
        ...


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Who vouches for a document.

    Attributes:
        role: The role that had to sign.
        threshold: How many of its keys had to.
        keys: Primary fingerprints of those that did.
    """

    role: RoleName
    threshold: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """The channel that lists a release.

    Attributes:
        serial: Its serial.
        expires: Until when it may be believed.
        signed_by: Who signed it.
    """

    serial: int
    expires: datetime
    signed_by: SignedBy


@dataclass(frozen=True, slots=True)
class TrustedRelease:
    """A release whose manifest may be believed.

    Attributes:
        release: The manifest.
        document: Its bytes as they were signed.
        signed_by: Who signed it.
        root: The root under which that was judged.
        listing: The channel that lists it; None if no channel was asked.
    """

    release: Release
    document: bytes
    signed_by: SignedBy
    root: Root
    listing: Listing | None = None


def count_signatures(
    root: Root, role: RoleName, signatures: Sequence[CheckedSignature], *, document: str, expired_keys: bool = False
) -> SignedBy:
    """Counts the good signatures of a role's keys.

    Args:
        root: The root of trust.
        role: The role that has to sign.
        signatures: What OpenPGP says of the document's signatures.
        document: Which document, for messages.
        expired_keys: A key that has expired since it signed counts too.

    Raises:
        SignatureError: Fewer than the role's threshold.
    """
    rule = root.roles.get(role)
    good: list[str] = []
    refused: list[str] = []
    for signature in signatures:
        if signature.refusal is not None:
            refused.append(signature.refusal)
        elif signature.fingerprint not in rule.keys:
            refused.append(f"key {signature.fingerprint} is not one of role {role!r}")
        elif signature.key_expired_at is not None and not expired_keys:
            refused.append(f"key {signature.fingerprint}: the key expired at {signature.key_expired_at}")
        elif signature.fingerprint not in good:
            good.append(signature.fingerprint)
    if len(good) < rule.threshold:
        raise SignatureError(document=document, role=role, threshold=rule.threshold, good=good, refused=refused)
    return SignedBy(role=role, threshold=rule.threshold, keys=tuple(sorted(good)))


def accept_release(
    root: Root, entry: ReleaseEntry, data: bytes, signatures: Sequence[CheckedSignature]
) -> TrustedRelease:
    """Accepts the manifest that a trusted channel lists as ``entry``, or says why not.

    Raises:
        ManifestMismatchError: Its length, hash, name or version is not what the channel lists.
        SignatureError: Not enough good signatures of the release role.
        FormatError: It is signed, but malformed.
        UnsafePathError: It names a path that must not be used.
    """
    require_listed(entry, data)
    accepted = accept_standalone_release(root, data, signatures, document=entry.path)
    _require(entry.path, "name", entry.name, accepted.release.name)
    _require(entry.path, "version", entry.version, accepted.release.version)
    return accepted


def require_listed(entry: ReleaseEntry, data: bytes) -> None:
    """Refuses a manifest that is not the one that a trusted channel lists as ``entry``.

    Raises:
        ManifestMismatchError: Its length or hash is another.
    """
    _require(entry.path, "length", entry.length, len(data))
    _require(entry.path, "sha256", entry.sha256, hashlib.sha256(data).hexdigest())


def accept_standalone_release(
    root: Root, data: bytes, signatures: Sequence[CheckedSignature], *, document: str
) -> TrustedRelease:
    """Accepts a manifest by its own signatures alone, where no channel is at hand.

    Whether it is the newest, or was withdrawn since, only the channel can tell.

    Raises:
        SignatureError: Not enough good signatures of the release role.
        FormatError: It is signed, but malformed.
        UnsafePathError: It names a path that must not be used.
        ForeignDocumentError: It is another channel's.
    """
    signed_by = count_release_signatures(root, signatures, document=document)
    return decode_signed_release(root, data, signed_by, document=document)


def count_release_signatures(root: Root, signatures: Sequence[CheckedSignature], *, document: str) -> SignedBy:
    """The first step of `accept_standalone_release`: a release is signed once, so a key may have expired since.

    Raises:
        SignatureError: Not enough good signatures of the release role.
    """
    return count_signatures(root, "release", signatures, document=document, expired_keys=True)


def decode_signed_release(root: Root, data: bytes, signed_by: SignedBy, *, document: str) -> TrustedRelease:
    """The second step of `accept_standalone_release`, for who has to tell the two apart.

    Args:
        root: The root of trust.
        data: The manifest's bytes.
        signed_by: Who signed exactly these bytes, as `count_release_signatures` has found.
        document: How to call it in errors.

    Raises:
        FormatError: It is malformed.
        UnsafePathError: It names a path that must not be used.
        ForeignDocumentError: It is another channel's.
    """
    release = decode_release(data, document=document)
    refuse_foreign(document, release.channel, root)
    return TrustedRelease(release, data, signed_by, root)


def _require(document: str, what: str, expected: object, actual: object) -> None:
    if expected != actual:
        raise ManifestMismatchError(document=document, what=what, expected=expected, actual=actual)


def refuse_foreign(document: str, channel: str, root: Root) -> None:
    """Refuses a document of another channel than the root's.

    Raises:
        ForeignDocumentError: With both names.
    """
    if channel != root.channel:
        raise ForeignDocumentError(document=document, expected=root.channel, actual=channel)
