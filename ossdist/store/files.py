"""Files on this machine's disk: read within bounds, written whole, with the system's errors turned into ours."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from ossdist.errors import DiskFullError, FormatError, StorageError, TargetNotWritableError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

MAX_DOCUMENT_BYTES = 4 << 20
"""The most that `read_file` reads of a file when it is told no other limit."""

_LEAST_ROOM_BYTES = 64 << 10
"""What is left where a piece no longer fits."""

_NOT_WRITABLE = frozenset({errno.EROFS, errno.ENOENT})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def writing(path: Path) -> Generator[None]:
    """Turns what the system says in its body into our own errors.

    Args:
        path: What is written, for the message.

    Raises:
        DiskFullError: There is no room left.
        TargetNotWritableError: It is no place to write to.
        StorageError: Anything else.
    """
    try:
        yield
    except OSError as error:
        raise _writing_failed(path, error) from error


@contextlib.contextmanager
def reading(path: Path) -> Generator[None]:
    """Turns what the system says in its body into our own errors.

    Args:
        path: What is read, for the message.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}", path=path) from error


def read_file(path: Path, *, limit_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Reads a small file whole.

    Args:
        path: The file.
        limit_bytes: The longest that it may be.

    Raises:
        StorageError: It cannot be read, or is no regular file.
        FormatError: It is longer.
    """
    with reading(path):
        data = read_at_most(path, limit_bytes + 1)
    if len(data) > limit_bytes:
        raise FormatError(f"longer than {limit_bytes} bytes", document=path.name)
    return data


def read_at_most(path: Path, count: int) -> bytes:
    """The first bytes of a regular file; it never waits for the other end of a pipe.

    Args:
        path: The file.
        count: How many bytes, fewer if it is shorter.

    Raises:
        OSError: The system's own, for a caller that tells them apart.
    """
    with open_regular(path) as stream:
        return stream.read(count)


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file to be read; it never waits for the other end of a pipe.

    Raises:
        OSError: The system's own, for a caller that tells them apart.
    """
    stream = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return stream


def file_length(path: Path) -> int | None:
    """Length of a regular file in bytes; None if there is none of that name.

    Raises:
        StorageError: Whether there is one cannot be told.
    """
    with reading(path):
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def is_full(folder: Path) -> bool:
    """Whether there is no room left to speak of on the disk of a folder; False if it cannot be told."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _LEAST_ROOM_BYTES


@dataclass(frozen=True, slots=True)
class FileStamp:
    """By what a file is known to be the one that was looked at before, without reading it.

    Attributes:
        length: In bytes.
        mtime_ns: When it was written last.
        inode: Which one it is.
    """

    length: int
    mtime_ns: int
    inode: int


def stamp(path: Path) -> FileStamp | None:
    """The stamp of a regular file; None if there is none of that name, or it cannot be told."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that its name never stands for half of it, not even after a power loss.

    Raises:
        StorageError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        try:
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    sync_folder(path.parent)


def make_empty(path: Path) -> None:
    """Makes an empty file, unless there is one.

    Raises:
        StorageError: It cannot be made.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def sync_file(path: Path) -> None:
    """Waits until a file's bytes are on the disk.

    Raises:
        StorageError: The disk refuses.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Waits until a folder's names are on the disk.

    Raises:
        StorageError: The disk refuses.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _writing_failed(path: Path, error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError) or error.errno in _NOT_WRITABLE:
        return TargetNotWritableError(path, reason)
    if error.errno in _FULL:
        return DiskFullError(path)
    return StorageError(f"cannot write {path}: {reason}", path=path)
