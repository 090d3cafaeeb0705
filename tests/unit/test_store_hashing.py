"""Whole-file hashes: behind a transfer, and of files that are there."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import FileHashError, StorageError
from ossdist.store.hashing import ExpectedFile, FollowingHasher, is_right
from ossdist.store.reuse import copy_file
from tests.asynchronous import asynchronous

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(256)) * 40
CHUNK_BYTES = 1000


def expected(location: Path, data: bytes = DATA) -> ExpectedFile:
    return ExpectedFile("name", location, len(data), hashlib.sha256(data).hexdigest())


async def follow(file: ExpectedFile) -> FollowingHasher:
    hasher = FollowingHasher(file, chunk_bytes=CHUNK_BYTES, batch_bytes=1)
    await hasher.follow(lambda _: file.length, asyncio.Condition())
    return hasher


@asynchronous
async def test_follows_what_is_verified(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(len(DATA)))
    verified, more = 0, asyncio.Condition()
    asked: asyncio.Queue[int] = asyncio.Queue()

    def verified_until(position: int) -> int:
        asked.put_nowait(position)
        return verified

    hasher = FollowingHasher(expected(file), chunk_bytes=CHUNK_BYTES, batch_bytes=1)
    following = asyncio.create_task(hasher.follow(verified_until, more))
    for end in (0, 1, 5000, len(DATA)):
        with file.open("r+b") as stream:
            stream.write(DATA[:end])
        async with more:
            verified = end
            more.notify_all()
        async with asyncio.timeout(10):
            while end < len(DATA) and await asked.get() < end:
                pass
        assert hasher.position <= end
    await asyncio.wait_for(following, 10)
    assert hasher.position == len(DATA)


@asynchronous
async def test_file_of_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    await follow(expected(tmp_path / "file", b""))


@asynchronous
async def test_only_a_second_reading_convicts(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(len(DATA)))
    more = asyncio.Condition()

    def mended_behind(position: int) -> int:
        if position >= 5000:
            file.write_bytes(DATA)
            return len(DATA)
        return 5000

    await FollowingHasher(expected(file), chunk_bytes=CHUNK_BYTES, batch_bytes=1).follow(mended_behind, more)
    file.write_bytes(bytes(len(DATA)))
    with pytest.raises(FileHashError) as caught:
        await follow(expected(file))
    assert caught.value.what == "sha256"
    assert caught.value.actual == hashlib.sha256(bytes(len(DATA))).hexdigest()


@pytest.mark.parametrize("found", [DATA[:-1], DATA + b"x", b""])
@asynchronous
async def test_another_length(tmp_path: Path, found: bytes) -> None:
    (tmp_path / "file").write_bytes(found)
    with pytest.raises(FileHashError) as caught:
        await follow(expected(tmp_path / "file"))
    assert (caught.value.what, caught.value.actual) == ("length", len(found))


@pytest.mark.parametrize("data", [DATA, b""])
@asynchronous
async def test_missing_file(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        await follow(expected(tmp_path / "none", data))


def test_files_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(DATA)
    assert is_right(expected(file), chunk_bytes=CHUNK_BYTES)
    assert not is_right(expected(file, DATA[:-1]), chunk_bytes=CHUNK_BYTES)
    assert not is_right(expected(file, bytes(len(DATA))), chunk_bytes=CHUNK_BYTES)
    for elsewhere in (tmp_path, tmp_path / "none", file / "below"):
        assert not is_right(expected(elsewhere), chunk_bytes=CHUNK_BYTES)
    with pytest.raises(StorageError, match="too long"):
        is_right(expected(tmp_path / ("n" * 300)), chunk_bytes=CHUNK_BYTES)


class _EnoughError(Exception):
    """Nobody wants the result any more."""


def test_reading_and_copying_end_at_the_next_chunk(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    asked: list[None] = []

    def check() -> None:
        asked.append(None)
        if len(asked) == 2:
            raise _EnoughError

    with pytest.raises(_EnoughError):
        is_right(expected(tmp_path / "file"), chunk_bytes=len(DATA) // 10, check=check)
    assert len(asked) == 2
    with pytest.raises(_EnoughError):
        copy_file(tmp_path / "file", tmp_path / "copy", check=check_at_once)


def check_at_once() -> None:
    raise _EnoughError
