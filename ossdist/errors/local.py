"""This end: the disk, the engine, the programs that are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.errors.base import OssdistError

if TYPE_CHECKING:
    from pathlib import Path


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
