"""What a client remembers of a channel, in one file on this machine's disk.

The file's first line is the SHA-256 of the rest, which is JSON: a file that was damaged is noticed and reported. It is
never begun anew silently, since that is what an attacker who replays an old channel needs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import TYPE_CHECKING, Literal

import msgspec

from ossdist.errors import DamagedStateError, FormatError
from ossdist.release import channel, model
from ossdist.release.memory import ChannelMemory, RootMark, TrustMemory, mark
from ossdist.store.files import read_at_most, read_file, reading, write_atomically, writing

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

MAX_BYTES = 2 * (model.MAX_ROOT_BYTES + channel.MAX_CHANNEL_BYTES + channel.MAX_INDEX_BYTES)
"""The longest file that is read: documents are stored as JSON strings, whose quotes take two bytes."""


def read_root(root: Path | bytes) -> tuple[bytes, model.Root]:
    """The root of trust that a caller gives, as bytes and decoded.

    Args:
        root: Its document, or the path of it.

    Raises:
        FormatError: It is malformed; a file's name stands in the message.
        StorageError: It cannot be read.
    """
    if isinstance(root, bytes):
        return root, model.decode_root(root)
    data = read_file(root, limit_bytes=model.MAX_ROOT_BYTES)
    return data, model.decode_root(data, document=root.name)


class _StoredRoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    serial: int
    sha256: model.Sha256Hex


class _StoredChannel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    document: str
    index: tuple[str, ...]


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["ossdist-memory-1"]
    root: str
    history: tuple[_StoredRoot, ...]
    channel: _StoredChannel | None


class TrustFile:
    """A `TrustStore` in a file.

    Args:
        path: The file; its folder is made when something is saved.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self._path)

    def load(self) -> TrustMemory | None:
        """See `TrustStore.load`."""
        with reading(self._path):
            try:
                content = read_at_most(self._path, MAX_BYTES + 1)
            except FileNotFoundError:
                return None
        return self._decode(content)

    def save(self, memory: TrustMemory) -> None:
        """See `TrustStore.save`."""
        with self._locked():
            there = self.load()
            if there is None or there.age <= memory.age:
                write_atomically(self._path, _encode(memory))

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        with writing(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(
                self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _decode(self, content: bytes) -> TrustMemory:
        if len(content) > MAX_BYTES:
            raise DamagedStateError(self._path, f"it is longer than {MAX_BYTES} bytes")
        checksum, _, body = content.partition(b"\n")
        if checksum.decode("latin-1") != hashlib.sha256(body).hexdigest():
            raise DamagedStateError(self._path, "its checksum is wrong")
        try:
            memory = _memory(msgspec.json.decode(body, type=_Stored))
            fits = memory.history[-1:] == (mark(memory.root),) and memory.age > (0, 0)
        except (msgspec.MsgspecError, FormatError, ValueError, IndexError) as error:
            raise DamagedStateError(self._path, str(error)) from error
        if not fits:
            raise DamagedStateError(self._path, "its root is not the last of its history")
        return memory


def _memory(stored: _Stored) -> TrustMemory:
    channel = stored.channel
    return TrustMemory(
        root=stored.root.encode(),
        history=tuple(RootMark(root.serial, root.sha256) for root in stored.history),
        channel=None
        if channel is None
        else ChannelMemory(channel.document.encode(), tuple(page.encode() for page in channel.index)),
    )


def _encode(memory: TrustMemory) -> bytes:
    channel = memory.channel
    stored = _Stored(
        format="ossdist-memory-1",
        root=memory.root.decode(),
        history=tuple(_StoredRoot(root.serial, root.sha256) for root in memory.history),
        channel=None
        if channel is None
        else _StoredChannel(channel.document.decode(), tuple(page.decode() for page in channel.index)),
    )
    body = msgspec.json.encode(stored)
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body
