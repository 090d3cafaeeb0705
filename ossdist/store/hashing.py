"""The whole-file hash, taken while the transfer still runs.

A piece's hash proves what came in; this proves what the disk gives back, every byte of it read once, and the length at
the end. SHA-256 has to be fed in order, so it follows the verified bytes from the front, and what is missing at the end
is read then. Bytes that change on the disk after it has passed are not seen: size and time of change would not tell
either, since the session still writes behind it. Whoever has to know how a file stands at a later moment reads it again
(`is_right`).
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.errors import FileHashError, StorageError
from ossdist.stoppable import in_thread
from ossdist.store.files import file_length, reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BATCH_BYTES = 4 << 20

_SLICE_BYTES = 32 << 20
"""How much is hashed in one go in the worker thread, between two looks at how far the file is verified."""


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file and what was signed of it.

    Attributes:
        path: Its path in the release.
        location: Where it stands on disk now.
        length: Signed length in bytes.
        sha256: Signed hash, hexadecimal.
    """

    path: str
    location: Path
    length: int
    sha256: str


class FollowingHasher:
    """Hashes one file behind the transfer.

    Args:
        file: The file.
        chunk_bytes: How much is read at once.
        batch_bytes: How much must be verified before the worker thread is sent for it, except at the end: a trip for
            each small piece would cost more than its hash.
    """

    def __init__(self, file: ExpectedFile, *, chunk_bytes: int, batch_bytes: int = BATCH_BYTES) -> None:
        self._file = file
        self._chunk_bytes = chunk_bytes
        self._batch_bytes = batch_bytes
        self._buffer = memoryview(bytearray(chunk_bytes))
        self._digest = hashlib.sha256()
        self._position = 0

    @property
    def position(self) -> int:
        """How far it has come, in bytes."""
        return self._position

    async def follow(self, verified_until: Callable[[int], int], more: asyncio.Condition) -> None:
        """Hashes the file to its end.

        Args:
            verified_until: How far the file is verified from a position on.
            more: Notified whenever that may have grown.

        Raises:
            StorageError: The file cannot be read.
            FileHashError: Its length or hash is not the signed one.
        """
        while self._position < self._file.length:
            enough = min(self._file.length, self._position + self._batch_bytes)
            async with more:
                await more.wait_for(lambda enough=enough: verified_until(self._position) >= enough)
            end = min(verified_until(self._position), self._position + _SLICE_BYTES)
            await asyncio.to_thread(self._advance, end)
        if self._digest.hexdigest() != self._file.sha256:
            # What was read early may not have been what the disk gives now; only a second reading convicts.
            location, chunk = self._file.location, self._chunk_bytes
            actual = await in_thread(lambda check: hash_file(location, chunk_bytes=chunk, check=check))
            _require(self._file, "sha256", self._file.sha256, actual)
        await asyncio.to_thread(check_length, self._file)

    def _advance(self, end: int) -> None:
        with reading(self._file.location), self._file.location.open("rb", buffering=0) as stream:
            stream.seek(self._position)
            while self._position < end:
                count = stream.readinto(self._buffer[: end - self._position])
                if not count:
                    _require(self._file, "length", self._file.length, self._position)
                self._digest.update(self._buffer[:count])
                self._position += count or 0


def _go_on() -> None:
    """Nobody wants to stop."""


def hash_file(path: Path, *, chunk_bytes: int, check: Callable[[], None] = _go_on) -> str:
    """SHA-256 of a file, hexadecimal. Blocks.

    Args:
        path: The file.
        chunk_bytes: How much is read at once.
        check: Called before each chunk; what it raises ends this.

    Raises:
        StorageError: It cannot be read.
    """
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(chunk_bytes))
    with reading(path), path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            check()
            digest.update(buffer[:count])
    return digest.hexdigest()


def is_right(file: ExpectedFile, *, chunk_bytes: int, check: Callable[[], None] = _go_on) -> bool:
    """Whether a file is there, with the signed length and SHA-256. Blocks.

    Args:
        file: The file.
        chunk_bytes: How much is read at once.
        check: Called before each chunk; what it raises ends this.

    Raises:
        StorageError: It is there but cannot be read, or whether it is there cannot be told.
    """
    if file_length(file.location) != file.length:
        return False
    return hash_file(file.location, chunk_bytes=chunk_bytes, check=check) == file.sha256


def check_length(file: ExpectedFile) -> None:
    """Looks at a file's length. Blocks.

    Raises:
        StorageError: It is not there.
        FileHashError: Its length is not the signed one.
    """
    actual = file_length(file.location)
    if actual is None:
        raise StorageError(f"cannot read {file.location}: it is gone", path=file.location)
    _require(file, "length", file.length, actual)


def _require(file: ExpectedFile, what: str, expected: object, actual: object) -> None:
    if expected != actual:
        raise FileHashError(file.path, what=what, expected=expected, actual=actual)
