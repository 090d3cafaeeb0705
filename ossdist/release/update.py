"""One update of what is believed of a channel: newer roots, then the channel, then its index. Pure rules.

The order and most rules are TUF's (docs/adr/0005). Bytes and checked signatures come in, values or a refusal come out:

1. Root N+1 follows root N: signed by the thresholds of both, serial exactly one higher, same channel.
2. The last root and the channel must not have expired at the time that was fixed when the update began.
3. The channel is not older than the one that is remembered; with the same serial it is the same document.
4. Each page of the index is the listed one. What was listed stays listed, unchanged; it may be withdrawn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.errors import (
    EquivocationError,
    ExpiredError,
    ManifestMismatchError,
    NotFoundError,
    PostdatedError,
    RemovedReleaseError,
    RollbackError,
    RotationError,
    WithdrawnError,
)
from ossdist.release import layout
from ossdist.release.channel import Channel, ChannelDocument, Page, ReleaseEntry, assemble, decode_channel, decode_page
from ossdist.release.model import Root, decode_root
from ossdist.release.trust import MAX_FUTURE, CheckedSignature, SignedBy, count_signatures, refuse_foreign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ossdist.release.memory import ChannelMemory


@dataclass(frozen=True, slots=True)
class AcceptedChannel:
    """A channel's document that may be believed; its index is still to be read.

    Attributes:
        document: It.
        signed_by: Who signed it.
    """

    document: ChannelDocument
    signed_by: SignedBy


@dataclass(frozen=True, slots=True)
class TrustedChannel:
    """A channel that may be believed."""

    channel: Channel
    signed_by: SignedBy

    def withdrawn_after(self, entry: ReleaseEntry) -> tuple[tuple[str, str], ...]:
        """Newer releases of the same name that were withdrawn: their versions, each with the reason."""
        return tuple(
            (other.version, other.withdrawn)
            for other in self.channel.releases
            if other.name == entry.name and other.serial > entry.serial and other.withdrawn is not None
        )

    def entry(self, name: str, version: str | None) -> ReleaseEntry:
        """The entry of that release, or of the newest one of that name.

        Raises:
            NotFoundError: The channel does not list it.
            WithdrawnError: It was withdrawn, or every release of that name was.
        """
        found = self.channel.find(name, version)
        versions = [entry for entry in self.channel.releases if entry.name == name]
        if found is None and version is None and versions:
            found = versions[-1]  # they are all withdrawn
        if found is None:
            wanted = name if version is None else f"{name} {version}"
            known = [f"version {entry.version}" for entry in versions]
            known = known or sorted({entry.name for entry in self.channel.releases})
            where = f"the channel (it has {', '.join(known[-10:]) or 'no release'})"
            raise NotFoundError(f"release {wanted}", where)
        if found.withdrawn is not None:
            raise WithdrawnError(found.title, found.withdrawn, document=layout.CHANNEL)
        return found


# --- the root --------------------------------------------------------------------------------------------


def follow_root(root: Root, data: bytes, signatures: Sequence[CheckedSignature], *, document: str) -> Root:
    """The first half of a rotation: the keys of root N sign for root N+1. `confirm_root` is the second.

    Args:
        root: Root N.
        data: The document of root N+1.
        signatures: What OpenPGP says of its signatures under the keys of root N.
        document: Its path, for messages.

    Raises:
        SignatureError: Fewer good signatures of root N's role ``root`` than its threshold.
        FormatError: It is signed, but malformed.
        ForeignDocumentError: It is another channel's.
        RotationError: Its serial is not N+1.
    """
    count_signatures(root, "root", signatures, document=document)
    following = decode_root(data, document=document)
    refuse_foreign(document, following.channel, root)
    if following.serial != root.serial + 1:
        raise RotationError(document=document, serial=following.serial, known=root.serial)
    return following


def confirm_root(root: Root, signatures: Sequence[CheckedSignature], *, document: str) -> SignedBy:
    """The second half of a rotation: the keys of root N+1 sign for themselves.

    Args:
        root: Root N+1, of `follow_root`.
        signatures: What OpenPGP says of its signatures under its own keys.
        document: Its path, for messages.

    Raises:
        SignatureError: Fewer good signatures of its role ``root`` than its threshold.
    """
    return count_signatures(root, "root", signatures, document=document)


def keeps_channel(old: Root, new: Root) -> bool:
    """Whether what old signers of the channel said still binds: the same keys sign it, and as many of them."""
    return (set(old.roles.channel.keys), old.roles.channel.threshold) == (
        set(new.roles.channel.keys),
        new.roles.channel.threshold,
    )


def require_current(root: Root, *, now: datetime, advice: str = "") -> None:
    """Refuses to go on under a root whose time is over.

    Args:
        root: The root.
        now: The time.
        advice: What the error tells to do; a user's way out if empty.

    Raises:
        ExpiredError: It has expired.
    """
    _refuse_expired(layout.ROOT, root.expires, now, advice)


# --- the channel -----------------------------------------------------------------------------------------


def accept_channel(
    root: Root,
    data: bytes,
    signatures: Sequence[CheckedSignature],
    *,
    now: datetime,
    known: ChannelMemory | None = None,
) -> AcceptedChannel:
    """Accepts a channel's document, or says why not.

    Args:
        root: The root of trust.
        data: The document's bytes.
        signatures: What OpenPGP says of its signatures.
        now: The time at which the update began.
        known: The channel that was accepted last, if any.

    Raises:
        SignatureError: Not enough good signatures of the channel role.
        FormatError: It is signed, but malformed.
        ForeignDocumentError: It is another channel's.
        ExpiredError: Root or channel has expired.
        PostdatedError: It is dated in the future.
        RollbackError: Its serial is below the known one's.
        EquivocationError: Its serial is the known one's, its bytes are not.
    """
    require_current(root, now=now)
    signed_by = count_signatures(root, "channel", signatures, document=layout.CHANNEL)
    document = decode_channel(data)
    refuse_foreign(layout.CHANNEL, document.channel, root)
    _refuse_expired(layout.CHANNEL, document.expires, now)
    if document.issued > now + MAX_FUTURE:
        raise PostdatedError(document=layout.CHANNEL, issued=document.issued, now=now)
    if known is not None:
        serial = decode_channel(known.document).serial
        if document.serial < serial:
            raise RollbackError(document=layout.CHANNEL, serial=document.serial, known=serial)
        if document.serial == serial and data != known.document:
            raise EquivocationError(document=layout.CHANNEL, serial=serial)
    return AcceptedChannel(document, signed_by)


def accept_own_channel(root: Root, data: bytes, signatures: Sequence[CheckedSignature]) -> AcceptedChannel:
    """Accepts a channel as its publisher does, before signing its successor: it or a key of it may have expired.

    Raises:
        SignatureError: Not enough good signatures of the channel role.
        FormatError: It is signed, but malformed.
        ForeignDocumentError: It is another channel's.
    """
    signed_by = count_signatures(root, "channel", signatures, document=layout.CHANNEL, expired_keys=True)
    document = decode_channel(data)
    refuse_foreign(layout.CHANNEL, document.channel, root)
    return AcceptedChannel(document, signed_by)


def accept_index(
    accepted: AcceptedChannel, pages: Sequence[bytes], *, known: ChannelMemory | None = None
) -> TrustedChannel:
    """Accepts the pages of a channel's index, or says why not.

    Args:
        accepted: The channel's document.
        pages: The pages' bytes, in the order in which the document lists them.
        known: The channel that was accepted last, if any.

    Raises:
        ManifestMismatchError: A page is not the listed one.
        FormatError: A page is malformed, or the releases contradict each other.
        RemovedReleaseError: A release that the known channel lists has vanished, has changed, or came back.
    """
    for page, data in zip(accepted.document.index, pages, strict=True):
        require_page(page, data)
    listed = [page.sha256 for page in accepted.document.index]
    decoded = [decode_page(data, document=page.path) for page, data in zip(accepted.document.index, pages, strict=True)]
    channel = assemble(accepted.document, decoded)
    if known is not None:
        before = _changed_entries(known, frozenset(listed))
        _require_still_listed(before, {(entry.name, entry.version): entry for entry in channel.releases})
    return TrustedChannel(channel, accepted.signed_by)


def require_page(page: Page, data: bytes) -> None:
    """Refuses a page that is not the listed one.

    Raises:
        ManifestMismatchError: With what differs.
    """
    if len(data) != page.length:
        raise ManifestMismatchError(document=page.path, what="length", expected=page.length, actual=len(data))
    actual = hashlib.sha256(data).hexdigest()
    if actual != page.sha256:
        raise ManifestMismatchError(document=page.path, what="sha256", expected=page.sha256, actual=actual)


def _changed_entries(known: ChannelMemory, listed: frozenset[str]) -> Iterable[ReleaseEntry]:
    """The entries of known pages that are not listed any more as they were."""
    for data in known.index:
        if hashlib.sha256(data).hexdigest() not in listed:
            yield from decode_page(data, document=layout.CHANNEL).releases


def _require_still_listed(before: Iterable[ReleaseEntry], after: Mapping[tuple[str, str], ReleaseEntry]) -> None:
    for entry in before:
        found = after.get((entry.name, entry.version))
        if found is None:
            raise RemovedReleaseError(entry.title, "is not listed any more", document=layout.CHANNEL)
        if (found.serial, found.length, found.sha256) != (entry.serial, entry.length, entry.sha256):
            raise RemovedReleaseError(entry.title, "is listed with other bytes than before", document=layout.CHANNEL)
        if entry.withdrawn is not None and found.withdrawn is None:
            raise RemovedReleaseError(entry.title, "had been withdrawn and came back", document=layout.CHANNEL)


def _refuse_expired(document: str, expires: datetime, now: datetime, advice: str = "") -> None:
    if now >= expires:
        raise ExpiredError(document=document, expires=expires, now=now, advice=advice)
