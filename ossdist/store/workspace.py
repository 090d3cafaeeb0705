"""The folder in which a download grows, beside its target, until it is verified and moved to its final name.

It lies in the target folder itself, so that the last step is a rename on one file system. It survives failures and
crashes for the next try; only success, or data that are themselves the fault, remove it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
from typing import TYPE_CHECKING, Literal, Self

import msgspec

from ossdist.errors import DiskFullError, TargetBusyError
from ossdist.store.files import read_at_most, reading, write_atomically, writing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

log = logging.getLogger(__name__)

MAX_RESUME_BYTES = 64 << 20


class _FileStamp(msgspec.Struct, frozen=True, array_like=True):
    path: str
    size: int
    mtime_ns: int


class _ResumeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["ossdist-resume-1"]
    clean: bool
    files: tuple[_FileStamp, ...]
    data: bytes


class Resume(msgspec.Struct, frozen=True):
    """What an earlier try left behind.

    Attributes:
        data: The session's own state.
        trusted: It ended cleanly and no file has changed since: the state says which pieces are there. Otherwise
            only its list of peers is of use, and the files have to be checked.
    """

    data: bytes
    trusted: bool


class Workspace:
    """One download's folder. A context manager, which holds an exclusive lock on it.

    Args:
        target: The folder in which the verified files will stand; made if it is missing.
        key: Tells downloads into the same target apart: a signed info-hash.

    Raises:
        TargetNotWritableError: The target folder cannot be made or written to.
        TargetBusyError: Another process works on the same download there.
    """

    def __init__(self, target: Path, key: str) -> None:
        self._root = _folder(target, key)
        self._resume_path = self._root / "resume"
        self._resume: bytes | None = None
        with writing(target):
            self.data.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(self._lock)
                if isinstance(error, BlockingIOError):
                    raise TargetBusyError(target) from error
                raise

    @staticmethod
    def exists(target: Path, key: str) -> bool:
        """Whether there is one already."""
        with reading(target):
            return _folder(target, key).is_dir()

    @property
    def data(self) -> Path:
        """Where the session writes the files."""
        return self._root / "data"

    @property
    def has_data(self) -> bool:
        """An earlier try left something.

        Raises:
            StorageError: The folder cannot be read.
        """
        with reading(self.data):
            try:
                return any(self.data.iterdir())
            except FileNotFoundError:
                return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def require_room(self, paths: Sequence[tuple[str, int]]) -> None:
        """Checks that what is still missing fits on the disk.

        Args:
            paths: Path below `data` and final length of each file.

        Raises:
            DiskFullError: It does not.
            StorageError: How much room there is cannot be told.
        """
        needed = 0
        for path, length in paths:
            with contextlib.suppress(OSError):
                length = max(0, length - (self.data / path).stat().st_blocks * 512)  # noqa: PLW2901
            needed += length
        with reading(self._root):
            room = os.statvfs(self._root)
        free = room.f_bavail * room.f_frsize
        if needed > free:
            raise DiskFullError(self._root.parent, needed_bytes=needed, free_bytes=free)

    # --- resuming --------------------------------------------------------------------------------------

    def load_resume(self) -> Resume | None:
        """What an earlier try left behind; None if there is nothing of use.

        A damaged resume file is no error: the files are checked then.

        Raises:
            StorageError: The folder cannot be read or written to.
        """
        try:
            content = read_at_most(self._resume_path, MAX_RESUME_BYTES)
            stored = msgspec.msgpack.decode(content, type=_ResumeFile)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("%s cannot be used, the files are checked instead: %s", self._resume_path, error)
            return None
        trusted = stored.clean and stored.files == self._stamps()
        # From now on this try writes to the files: a crash must not find the old promise.
        self._write_resume(stored.data, clean=False)
        return Resume(stored.data, trusted)

    def save_resume(self, data: bytes) -> None:
        """Keeps the session's state while it runs.

        Raises:
            StorageError: It cannot be written.
        """
        self._write_resume(data, clean=False)
        self._resume = data

    def close_cleanly(self) -> None:
        """Says that the last saved state describes the files exactly: the session has let go of them.

        Raises:
            StorageError: It cannot be written.
        """
        if self._resume is not None:
            self._write_resume(self._resume, clean=True)

    def forget_resume(self) -> None:
        """Removes the saved state: it no longer describes the files, which the next try checks then.

        Raises:
            StorageError: It cannot be removed.
        """
        self._resume = None
        with writing(self._resume_path):
            self._resume_path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the folder and everything in it."""
        shutil.rmtree(self._root, ignore_errors=True)

    def discard_data(self) -> None:
        """Removes data that are themselves the fault; the next try begins anew.

        Raises:
            StorageError: The saved state cannot be removed.
        """
        self.forget_resume()
        shutil.rmtree(self.data, ignore_errors=True)

    def _stamps(self) -> tuple[_FileStamp, ...]:
        stamps: list[_FileStamp] = []
        with reading(self.data):
            for path in sorted(self.data.rglob("*")):
                found = path.stat()
                if stat.S_ISREG(found.st_mode):
                    stamps.append(_FileStamp(str(path.relative_to(self.data)), found.st_size, found.st_mtime_ns))
        return tuple(stamps)

    def _write_resume(self, data: bytes, *, clean: bool) -> None:
        stored = _ResumeFile("ossdist-resume-1", clean, self._stamps() if clean else (), data)
        write_atomically(self._resume_path, msgspec.msgpack.encode(stored))


def _folder(target: Path, key: str) -> Path:
    return target / f".ossdist-{key[:16]}"
