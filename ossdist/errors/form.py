"""A document, name or torrent is malformed, or bytes are not those that were signed."""

from __future__ import annotations

from ossdist.errors.base import OssdistError


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
