"""Somebody signed wrongly, nobody did, or our own key cannot sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.errors.base import OssdistError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class TrustError(OssdistError):
    """A signed document must not be believed.

    Attributes:
        document: Which document, for instance ``channel.json``.
    """

    def __init__(self, message: str, *, document: str) -> None:
        super().__init__(message)
        self.document = document


class SignatureError(TrustError):
    """Fewer good signatures than the role's threshold.

    Attributes:
        role: The role that had to sign (``root``, ``channel``, ``release``).
        threshold: How many of the role's keys must have signed.
        good: Primary fingerprints of the role's keys whose signature is good.
        refused: What was wrong with every other signature, in the order in which they were given.
    """

    def __init__(
        self, *, document: str, role: str, threshold: int, good: Sequence[str], refused: Sequence[str]
    ) -> None:
        why = "; ".join(refused) if refused else "none by a key of this role was found beside it"
        super().__init__(
            f"{document}: {len(good)} good signature(s) of role {role!r}, {threshold} needed ({why}). "
            "Do not use it; fetch it again from another mirror, or ask the publisher which keys sign, and whether your "
            "root of trust is the channel's present one.",
            document=document,
        )
        self.role = role
        self.threshold = threshold
        self.good = tuple(good)
        self.refused = tuple(refused)


class UpstreamSignatureError(TrustError):
    """The project that made a file did not sign it, although the release says so.

    Attributes:
        path: The file's path in the release.
        refused: What is wrong with each signature.
    """

    def __init__(self, *, document: str, path: str, refused: Sequence[str]) -> None:
        super().__init__(
            f"{document}: the upstream signature of {path} does not hold ({'; '.join(refused)}). Do not use the file; "
            "its publisher has to publish what upstream signed, name the right upstream key, or leave it unsigned.",
            document=document,
        )
        self.path = path
        self.refused = tuple(refused)


class ExpiredError(TrustError):
    """The document was valid once, and is not any more.

    Attributes:
        expires: When its time ended.
        now: The time that it was compared with.
    """

    def __init__(self, *, document: str, expires: datetime, now: datetime, advice: str = "") -> None:
        advice = advice or "The mirror may be stale or held back: try another one, and check this machine's clock."
        super().__init__(
            f"{document} expired at {expires.isoformat()} (now {now.isoformat()}). {advice}", document=document
        )
        self.expires = expires
        self.now = now


class RollbackError(TrustError):
    """The document's serial is lower than one that was already accepted.

    Attributes:
        serial: The serial offered.
        known: The highest serial accepted before.
    """

    def __init__(self, *, document: str, serial: int, known: int) -> None:
        super().__init__(
            f"{document} has serial {serial}, but serial {known} was accepted before. The mirror is stale or "
            "replays an old state: try another one.",
            document=document,
        )
        self.serial = serial
        self.known = known


class PostdatedError(TrustError):
    """The document says that it was signed in the future.

    Attributes:
        issued: When it says that it was signed.
        now: The time that it was compared with.
    """

    def __init__(self, *, document: str, issued: datetime, now: datetime) -> None:
        super().__init__(
            f"{document} is dated {issued.isoformat()}, in the future (now {now.isoformat()}). Check this machine's "
            "clock; if it is right, tell the publisher.",
            document=document,
        )
        self.issued = issued
        self.now = now


class EquivocationError(TrustError):
    """Two different documents are signed with the same serial: readers are shown different channels.

    Attributes:
        serial: The serial.
    """

    def __init__(self, *, document: str, serial: int) -> None:
        super().__init__(
            f"{document} has serial {serial}, but another document with this serial was accepted before. Somebody "
            "shows different readers different channels: do not use it, and tell the publisher.",
            document=document,
        )
        self.serial = serial


class RemovedReleaseError(TrustError):
    """A release that was listed before is not listed any more, is listed with other bytes, or came back.

    Attributes:
        release: Its name and version.
    """

    def __init__(self, release: str, what: str, *, document: str) -> None:
        super().__init__(
            f"{document}: release {release} {what}. A release may only be withdrawn, never removed or changed: do not "
            "use this channel, and tell the publisher.",
            document=document,
        )
        self.release = release


class WithdrawnError(TrustError):
    """The publisher has withdrawn the release.

    Attributes:
        release: Its name and version.
        reason: The publisher's.
    """

    def __init__(self, release: str, reason: str, *, document: str) -> None:
        super().__init__(
            f"release {release} was withdrawn by its publisher: {reason.rstrip('.')}. Choose another version.",
            document=document,
        )
        self.release = release
        self.reason = reason


class RotationError(TrustError):
    """A root of trust does not follow the one before it.

    Attributes:
        serial: Its serial.
        known: The serial of the one before it.
    """

    def __init__(self, *, document: str, serial: int, known: int) -> None:
        super().__init__(
            f"{document} has serial {serial}, but root {known} must be followed by {known + 1}. The mirror mixes "
            "states or was tampered with: try another one.",
            document=document,
        )
        self.serial = serial
        self.known = known


class ForeignDocumentError(TrustError):
    """A well signed document belongs to another channel.

    Attributes:
        expected: The channel that was asked for.
        actual: The channel that the document names.
    """

    def __init__(self, *, document: str, expected: str, actual: str) -> None:
        super().__init__(
            f"{document} belongs to channel {actual!r}, not to {expected!r}. Your root of trust is another "
            "channel's, or the mirror mixes channels or was tampered with: compare the root, and try another mirror.",
            document=document,
        )
        self.expected = expected
        self.actual = actual


class UnknownRootError(TrustError):
    """What is remembered of a channel does not go back to the root that the caller gave.

    Attributes:
        place: Where it is remembered.
    """

    def __init__(self, place: str, reason: str, *, document: str) -> None:
        super().__init__(
            f"{document}: {reason}, says {place}. If the root that you gave is the right one, move that file away: "
            "older documents of the channel will then be accepted once.",
            document=document,
        )
        self.place = place


class ManifestMismatchError(TrustError):
    """A release's manifest is not the one that the channel lists.

    Attributes:
        expected: The signed value.
        actual: The value found.
    """

    def __init__(self, *, document: str, what: str, expected: object, actual: object) -> None:
        super().__init__(
            f"{document}: the channel lists {what} {expected}, found {actual}. The mirror mixes states or "
            "was tampered with: try another one.",
            document=document,
        )
        self.expected = expected
        self.actual = actual


class SigningError(OssdistError):
    """A key of ours cannot sign: its secret part is missing, it has expired, the passphrase is wrong.

    Attributes:
        key: Fingerprint of the key, or the user id of one that could not be made.
        reason: What went wrong.
    """

    def __init__(self, key: str, reason: str, *, advice: str = "") -> None:
        advice = advice or "`gpg --list-secret-keys` shows the keys that can sign."
        super().__init__(f"key {key} cannot be used: {reason}. Nothing was signed. {advice}")
        self.key = key
        self.reason = reason
