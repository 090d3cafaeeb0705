"""Every error that OSSDist raises on purpose, split by whose fault it is.

::

    OssdistError
    +-- TrustError                  somebody signed wrongly, or nobody did
    |   +-- SignatureError          a signature is missing, bad, or by a key that the root does not list
    |   +-- UpstreamSignatureError  the project that made a file did not sign it, though the release says so
    |   +-- ExpiredError            the document's time is over
    |   +-- PostdatedError          the document claims to have been signed in the future
    |   +-- RollbackError           the document is older than one already seen
    |   +-- EquivocationError       two different documents claim the same serial
    |   +-- RemovedReleaseError     a release that was listed has vanished, or was changed, without being withdrawn
    |   +-- WithdrawnError          the publisher has withdrawn the release
    |   +-- RotationError           a new root does not follow the old one
    |   +-- ForeignDocumentError    a document belongs to another channel
    |   +-- UnknownRootError        what is remembered of the channel does not go back to the root that was given
    |   `-- ManifestMismatchError   a signed document is not the one that the channel lists
    +-- SigningError                our own key cannot sign
    +-- FormatError                 a document, name or torrent is malformed
    |   `-- UnsafePathError         a path that would leave its folder, or stands there twice
    +-- IntegrityError              bytes are not those that were signed
    |   +-- FileHashError           a whole file's length or SHA-256
    |   `-- TorrentMismatchError    a torrent's info-hash, file list or lengths
    +-- SourceError                 nobody gives us the bytes
    |   +-- NotFoundError           the channel, release or file does not exist there
    |   +-- MirrorError             one HTTP source failed
    |   +-- TooLargeError           an answer is longer than it may be
    |   `-- SourcesExhaustedError   no peer and no mirror gives anything any more
    +-- StorageError                the disk, at this end
    |   +-- DiskFullError
    |   +-- TargetNotWritableError
    |   +-- TargetBusyError         another process works on the same target
    |   `-- DamagedStateError       what is remembered of a channel cannot be read any more
    +-- AlreadyPublishedError       a name that is published already and never changes
    +-- SwarmError                  the BitTorrent engine refused something
    `-- ProgramMissingError         a program that we call (gpg) is not installed

A caller's mistake stays ``ValueError`` or ``TypeError``. Messages say what happened, to what, and what to do;
the data stand in attributes.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path


class OssdistError(Exception):
    """Base of all errors of this library. They can be pickled, so they come back from worker processes."""

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[OssdistError], args: tuple[object, ...], data: Mapping[str, object]) -> OssdistError:
    # Exception's own way would call __init__ with the finished message.
    error = kind.__new__(kind, *args)
    error.__dict__.update(data)
    return error


# --- trust -----------------------------------------------------------------------------------------------


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


# --- form ------------------------------------------------------------------------------------------------


class FormatError(OssdistError):
    """A document, name, version or torrent does not have the form that it must have.

    Attributes:
        document: Which document.
    """

    def __init__(self, message: str, *, document: str) -> None:
        super().__init__(f"{document}: {message}")
        self.document = document


class UnsafePathError(FormatError):
    """A path is absolute, climbs with ``..``, is not portable, or stands in the manifest twice.

    Attributes:
        path: The offending path.
    """

    def __init__(self, path: str, reason: str, *, document: str) -> None:
        super().__init__(
            f"path {path!r} {reason}. The whole manifest is refused: rename the file, or tell the publisher to.",
            document=document,
        )
        self.path = path


# --- integrity -------------------------------------------------------------------------------------------


class IntegrityError(OssdistError):
    """Bytes are not those that were signed."""


class FileHashError(IntegrityError):
    """A whole file's length or SHA-256 is not the signed one.

    Attributes:
        path: The file.
        what: ``length`` or ``sha256``.
        expected: The signed value.
        actual: The value found.
    """

    def __init__(self, path: str, *, what: str, expected: object, actual: object) -> None:
        super().__init__(
            f"{path}: {what} is {actual}, signed is {expected}. The file was not installed; fetch it again."
        )
        self.path = path
        self.what = what
        self.expected = expected
        self.actual = actual


class TorrentMismatchError(IntegrityError):
    """A torrent does not carry what the signed release says.

    Attributes:
        torrent: Which torrent.
        what: Which property.
        expected: The signed value.
        actual: The value found.
    """

    def __init__(self, torrent: str, *, what: str, expected: object, actual: object) -> None:
        super().__init__(
            f"{torrent}: {what} is {actual}, signed is {expected}. The torrent was swapped or damaged: "
            "fetch it from another mirror."
        )
        self.torrent = torrent
        self.what = what
        self.expected = expected
        self.actual = actual


# --- sources ---------------------------------------------------------------------------------------------


class SourceError(OssdistError):
    """Nobody gives us the bytes."""


class NotFoundError(SourceError):
    """Something does not exist where we looked.

    Attributes:
        what: What was looked for.
        where: Where.
    """

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} does not exist in {where}. Check the name, the version and the address.")
        self.what = what
        self.where = where


class MirrorFault(Enum):
    """What is wrong with an HTTP source."""

    UNREACHABLE = "unreachable"
    """Its name, address or port: no connection, or one that breaks."""
    TLS = "tls"
    """No TLS connection, or a certificate that is not trusted."""
    SILENT = "silent"
    """It took the connection, and says nothing."""
    SLOW = "slow"
    """Bytes drip."""
    NOT_FOUND = "not found"
    """It does not have the file (404, 410)."""
    REFUSED = "refused"
    """It does not want to give it to us (other 4xx)."""
    BUSY = "busy"
    """Not now (429, 503)."""
    BROKEN = "broken"
    """It failed (other 5xx), or what it says is no HTTP."""
    NO_RANGES = "no ranges"
    """It answers with the whole file when asked for a part."""
    WRONG_RANGE = "wrong range"
    """It gives another part than it was asked for (RFC 9110, section 14.4), or none (416)."""
    WRONG_LENGTH = "wrong length"
    """Its file has another length than the signed one."""
    CUT_SHORT = "cut short"
    """The body ended early."""
    CODED = "coded"
    """The body is compressed or otherwise coded, though nobody asked for that."""
    REDIRECT = "redirect"
    """Too many redirects, or one to where we do not go: from https to http, or to no address."""
    NOT_THE_FILE = "not the file"
    """A page instead of the file, such as a captive portal's."""
    WRONG_DATA = "wrong data"
    """A piece's hash."""


class MirrorError(SourceError):
    """One HTTP source failed.

    Attributes:
        url: The address that was asked.
        reason: What went wrong.
        fault: Its kind.
        retry_after_s: When it wants to be asked again, in seconds from now; None if it did not say.
    """

    def __init__(
        self,
        url: str,
        reason: str,
        *,
        fault: MirrorFault = MirrorFault.UNREACHABLE,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{url}: {reason}. Try again later or use another mirror.")
        self.url = url
        self.reason = reason
        self.fault = fault
        self.retry_after_s = retry_after_s


class TooLargeError(SourceError):
    """An answer is longer than it may be; the rest was not read.

    Attributes:
        url: The address that was asked.
        limit_bytes: The bound.
    """

    def __init__(self, url: str, limit_bytes: int) -> None:
        super().__init__(f"{url}: the answer is longer than the {limit_bytes} bytes allowed. Use another mirror.")
        self.url = url
        self.limit_bytes = limit_bytes


class SourcesExhaustedError(SourceError):
    """No peer and no mirror has given anything for as long as the configuration allows.

    Attributes:
        release: Which release.
        bytes_done: How much was fetched and verified; it stays on disk for the next try.
        bytes_total: How much the release has.
        attempts: What was tried, each with what came of it.
    """

    def __init__(
        self, release: str, *, bytes_done: int, bytes_total: int, waited_s: float, attempts: Mapping[str, str]
    ) -> None:
        tried = "; ".join(f"{source}: {outcome}" for source, outcome in attempts.items()) or (
            "nobody to ask: no tracker and no mirror is named, and no peer was given or found"
        )
        super().__init__(
            f"{release}: sources exhausted, no data for {waited_s:.1f} s at {bytes_done} of {bytes_total} "
            f"bytes ({tried}). What is there is kept: run it again when a seed or mirror is back."
        )
        self.release = release
        self.bytes_done = bytes_done
        self.bytes_total = bytes_total
        self.attempts = dict(attempts)


# --- this end --------------------------------------------------------------------------------------------


class StorageError(OssdistError):
    """The disk at this end.

    Attributes:
        path: Where.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class DiskFullError(StorageError):
    """Not enough room.

    Attributes:
        needed_bytes: How much is still needed, when it is known.
        free_bytes: How much is free, when it is known.
    """

    def __init__(self, path: Path, *, needed_bytes: int | None = None, free_bytes: int | None = None) -> None:
        needed = f": {needed_bytes} bytes needed" if needed_bytes is not None else ""
        amount = needed + (f", {free_bytes} free" if needed and free_bytes is not None else "")
        super().__init__(
            f"no room left on the disk of {path}{amount}. Free some space and run it again: what was fetched is kept.",
            path=path,
        )
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class TargetNotWritableError(StorageError):
    """The target folder cannot be written to."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot write to {path}: {reason}. Choose another folder or mend its rights.", path=path)
        self.reason = reason


class TargetBusyError(StorageError):
    """Another process downloads the same release into the same folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is in use by another download of the same release. Wait for it, or choose another folder.",
            path=path,
        )


class DamagedStateError(StorageError):
    """What is remembered of a channel cannot be read any more. It is never begun anew silently.

    Attributes:
        reason: What is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged: {reason}. It holds which state of the channel was accepted last. Restore it, or move "
            "it away: then an older state would be accepted once.",
            path=path,
        )
        self.reason = reason


class AlreadyPublishedError(OssdistError):
    """Something is published already, and what is published never changes.

    Attributes:
        what: What.
        where: Where it stands.
    """

    def __init__(self, what: str, where: str) -> None:
        super().__init__(
            f"{what} is published in {where} already, and never changes. Choose another version or folder."
        )
        self.what = what
        self.where = where


class SwarmError(OssdistError):
    """The BitTorrent engine refused something."""


class ProgramMissingError(OssdistError):
    """A program that we call is not installed, or does not answer.

    Attributes:
        program: Its name.
    """

    def __init__(self, program: str, reason: str, hint: str) -> None:
        super().__init__(f"{program}: {reason}. {hint}")
        self.program = program
