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

from ossdist.errors.base import OssdistError
from ossdist.errors.form import FileHashError, FormatError, IntegrityError, TorrentMismatchError, UnsafePathError
from ossdist.errors.local import (
    AlreadyPublishedError,
    DamagedStateError,
    DiskFullError,
    ProgramMissingError,
    StorageError,
    SwarmError,
    TargetBusyError,
    TargetNotWritableError,
)
from ossdist.errors.sources import (
    MirrorError,
    MirrorFault,
    NotFoundError,
    SourceError,
    SourcesExhaustedError,
    TooLargeError,
)
from ossdist.errors.trust import (
    EquivocationError,
    ExpiredError,
    ForeignDocumentError,
    ManifestMismatchError,
    PostdatedError,
    RemovedReleaseError,
    RollbackError,
    RotationError,
    SignatureError,
    SigningError,
    TrustError,
    UnknownRootError,
    UpstreamSignatureError,
    WithdrawnError,
)

__all__ = [
    "AlreadyPublishedError",
    "DamagedStateError",
    "DiskFullError",
    "EquivocationError",
    "ExpiredError",
    "FileHashError",
    "ForeignDocumentError",
    "FormatError",
    "IntegrityError",
    "ManifestMismatchError",
    "MirrorError",
    "MirrorFault",
    "NotFoundError",
    "OssdistError",
    "PostdatedError",
    "ProgramMissingError",
    "RemovedReleaseError",
    "RollbackError",
    "RotationError",
    "SignatureError",
    "SigningError",
    "SourceError",
    "SourcesExhaustedError",
    "StorageError",
    "SwarmError",
    "TargetBusyError",
    "TargetNotWritableError",
    "TooLargeError",
    "TorrentMismatchError",
    "TrustError",
    "UnknownRootError",
    "UnsafePathError",
    "UpstreamSignatureError",
    "WithdrawnError",
]
