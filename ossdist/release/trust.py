"""Which documents may be believed: pure rules over bytes and checked signatures.

1. The root of trust comes from the caller. It says which keys may sign for which role, and how many must.
2. A signature counts if OpenPGP says that it is good (see `SignatureVerifier`) and its *primary* fingerprint is
   one of the role's keys. One key counts once, whatever it signs twice and in whatever order. A key that has expired
   since it signed still counts for a release, which is signed once, as long as the root lists it; it does not count for
   root and channel, which are signed again and again.
3. A document is decoded only after its signatures have reached the role's threshold.
4. The channel must not have expired at the time that was fixed when the update began, and must not be older
   than one that was accepted before.
5. A release's manifest has exactly the length and SHA-256 that the channel lists, and the name and version that
   were asked for; and it carries the signatures of the release role itself.

Nothing here does any I/O.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ossdist.errors import (
    ExpiredError,
    ManifestMismatchError,
    NotFoundError,
    RollbackError,
    SignatureError,
)
from ossdist.release import layout
from ossdist.release.model import (
    Channel,
    Release,
    ReleaseEntry,
    RoleName,
    Root,
    decode_channel,
    decode_release,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


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
class TrustedChannel:
    """A channel that may be believed."""

    channel: Channel
    signed_by: SignedBy

    def entry(self, name: str, version: str | None) -> ReleaseEntry:
        """The entry of that release, or of the newest one of that name.

        Raises:
            NotFoundError: The channel does not list it.
        """
        found = self.channel.find(name, version)
        if found is None:
            wanted = name if version is None else f"{name} {version}"
            versions = [entry.version for entry in self.channel.releases if entry.name == name]
            known = [f"version {text}" for text in versions] or sorted({entry.name for entry in self.channel.releases})
            where = f"the channel (it has {', '.join(known[-10:]) or 'no release'})"
            raise NotFoundError(f"release {wanted}", where)
        return found


@dataclass(frozen=True, slots=True)
class TrustedRelease:
    """A release whose manifest may be believed.

    Attributes:
        release: The manifest.
        document: Its bytes as they were signed.
        signed_by: Who signed it.
    """

    release: Release
    document: bytes
    signed_by: SignedBy


def count_signatures(root: Root, role: RoleName, signatures: Sequence[CheckedSignature], *, document: str) -> SignedBy:
    """Counts the good signatures of a role's keys.

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
        elif signature.key_expired_at is not None and role != "release":
            refused.append(f"key {signature.fingerprint}: the key expired at {signature.key_expired_at}")
        elif signature.fingerprint not in good:
            good.append(signature.fingerprint)
    if len(good) < rule.threshold:
        raise SignatureError(document=document, role=role, threshold=rule.threshold, good=good, refused=refused)
    return SignedBy(role=role, threshold=rule.threshold, keys=tuple(sorted(good)))


def accept_channel(
    root: Root,
    data: bytes,
    signatures: Sequence[CheckedSignature],
    *,
    now: datetime,
    known_serial: int = 0,
) -> TrustedChannel:
    """Accepts a channel document, or says why not.

    Args:
        root: The root of trust.
        data: The document's bytes.
        signatures: What OpenPGP says of its signatures.
        now: The time at which the update began.
        known_serial: The highest channel serial accepted before, 0 for none.

    Raises:
        SignatureError: Not enough good signatures of the channel role.
        FormatError: It is signed, but malformed.
        ExpiredError: Root or channel has expired.
        RollbackError: Its serial is below ``known_serial``.
    """
    accepted = accept_own_channel(root, data, signatures, now=now)
    channel = accepted.channel
    _refuse_expired(layout.CHANNEL, channel.expires, now)
    if channel.serial < known_serial:
        raise RollbackError(document=layout.CHANNEL, serial=channel.serial, known=known_serial)
    return accepted


def accept_own_channel(
    root: Root, data: bytes, signatures: Sequence[CheckedSignature], *, now: datetime
) -> TrustedChannel:
    """Accepts a channel as its publisher does, before signing its successor: it may have expired, the root not.

    Raises:
        SignatureError: Not enough good signatures of the channel role.
        FormatError: It is signed, but malformed.
        ExpiredError: The root has expired.
    """
    _refuse_expired(layout.ROOT, root.expires, now)
    signed_by = count_signatures(root, "channel", signatures, document=layout.CHANNEL)
    return TrustedChannel(decode_channel(data), signed_by)


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
    _require(entry.path, "length", entry.length, len(data))
    _require(entry.path, "sha256", entry.sha256, hashlib.sha256(data).hexdigest())
    accepted = accept_standalone_release(root, data, signatures, document=entry.path)
    _require(entry.path, "name", entry.name, accepted.release.name)
    _require(entry.path, "version", entry.version, accepted.release.version)
    return accepted


def accept_standalone_release(
    root: Root, data: bytes, signatures: Sequence[CheckedSignature], *, document: str
) -> TrustedRelease:
    """Accepts a manifest by its own signatures alone, where no channel is at hand.

    Whether it is the newest, or was withdrawn since, only the channel can tell.

    Raises:
        SignatureError: Not enough good signatures of the release role.
        FormatError: It is signed, but malformed.
        UnsafePathError: It names a path that must not be used.
    """
    return decode_signed_release(
        data, count_signatures(root, "release", signatures, document=document), document=document
    )


def decode_signed_release(data: bytes, signed_by: SignedBy, *, document: str) -> TrustedRelease:
    """The second step of `accept_standalone_release`, for who has to tell the two apart.

    Args:
        data: The manifest's bytes.
        signed_by: Who signed exactly these bytes, as `count_signatures` has found for the release role.
        document: How to call it in errors.

    Raises:
        FormatError: It is malformed.
        UnsafePathError: It names a path that must not be used.
    """
    return TrustedRelease(decode_release(data, document=document), data, signed_by)


def _require(document: str, what: str, expected: object, actual: object) -> None:
    if expected != actual:
        raise ManifestMismatchError(document=document, what=what, expected=expected, actual=actual)


def _refuse_expired(document: str, expires: datetime, now: datetime) -> None:
    if now >= expires:
        raise ExpiredError(document=document, expires=expires, now=now)
