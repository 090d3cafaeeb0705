"""The folder in which a download grows, beside its target, until it is verified and moved to its final name.

It lies in the target folder itself, so that the last step is a rename on one file system. It survives failures and
crashes for the next try; only success, or data that are themselves the fault, remove it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
from typing import TYPE_CHECKING, Literal, Self

import msgspec

from ossdist.errors import DiskFullError, StorageError, TargetBusyError, TargetNotWritableError

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
        self._root = target / f".ossdist-{key[:16]}"
        self._resume_path = self._root / "resume"
        self._resume: bytes | None = None
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _writing_failed(target, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise TargetBusyError(target) from error

    @property
    def data(self) -> Path:
        """Where the session writes the files."""
        return self._root / "data"

    @property
    def has_data(self) -> bool:
        """An earlier try left something."""
        return any(self.data.iterdir())

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
        """
        needed = 0
        for path, length in paths:
            with contextlib.suppress(OSError):
                length = max(0, length - (self.data / path).stat().st_blocks * 512)  # noqa: PLW2901
            needed += length
        room = os.statvfs(self._root)
        free = room.f_bavail * room.f_frsize
        if needed > free:
            raise DiskFullError(self._root.parent, needed_bytes=needed, free_bytes=free)

    # --- resuming --------------------------------------------------------------------------------------

    def load_resume(self) -> Resume | None:
        """What an earlier try left behind; None if there is nothing of use.

        A damaged resume file is no error: the files are checked then.
        """
        try:
            with self._resume_path.open("rb") as stream:
                content = stream.read(MAX_RESUME_BYTES + 1)
            stored = msgspec.msgpack.decode(content[:MAX_RESUME_BYTES], type=_ResumeFile)
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
        self._resume = data
        self._write_resume(data, clean=False)

    def close_cleanly(self) -> None:
        """Says that the last saved state describes the files exactly: the session has let go of them.

        Raises:
            StorageError: It cannot be written.
        """
        if self._resume is not None:
            self._write_resume(self._resume, clean=True)

    def remove(self) -> None:
        """Removes the folder and everything in it."""
        shutil.rmtree(self._root, ignore_errors=True)

    def discard_data(self) -> None:
        """Removes data that are themselves the fault; the next try begins anew."""
        self._resume = None
        self._resume_path.unlink(missing_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)

    def _stamps(self) -> tuple[_FileStamp, ...]:
        stamps: list[_FileStamp] = []
        for path in sorted(self.data.rglob("*")):
            if path.is_file():
                found = path.stat()
                stamps.append(_FileStamp(str(path.relative_to(self.data)), found.st_size, found.st_mtime_ns))
        return tuple(stamps)

    def _write_resume(self, data: bytes, *, clean: bool) -> None:
        stored = _ResumeFile("ossdist-resume-1", clean, self._stamps() if clean else (), data)
        write_atomically(self._resume_path, msgspec.msgpack.encode(stored))


def read_file(path: Path) -> bytes:
    """Reads a small file whole.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", path=path) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that its name never stands for half of it, not even after a power loss.

    Raises:
        StorageError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _writing_failed(path, error) from error


def make_empty(path: Path) -> None:
    """Makes an empty file, unless there is one.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise _writing_failed(path, error) from error


def sync_file(path: Path) -> None:
    """Waits until a file's bytes are on the disk.

    Raises:
        StorageError: The disk refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _writing_failed(path, error) from error


def sync_folder(path: Path) -> None:
    """Waits until a folder's names are on the disk.

    Raises:
        StorageError: The disk refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _writing_failed(path, error) from error


def _writing_failed(path: Path, error: OSError) -> StorageError:
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError) or error.errno in _NOT_WRITABLE:
        return TargetNotWritableError(path, error.strerror or str(error))
    if error.errno in _FULL:
        return DiskFullError(path)
    return StorageError(f"cannot write {path}: {error.strerror}", path=path)


_NOT_WRITABLE = frozenset({errno.EROFS, errno.ENOENT})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
