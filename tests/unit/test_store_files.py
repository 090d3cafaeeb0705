"""Files on disk: what is bounded, and that the system's errors come out as ours."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import DiskFullError, FormatError, StorageError, TargetNotWritableError
from ossdist.store.files import (
    MAX_DOCUMENT_BYTES,
    file_length,
    make_empty,
    read_file,
    sync_file,
    sync_folder,
    write_atomically,
    writing,
)

if TYPE_CHECKING:
    from pathlib import Path

LONG = "n" * 300


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EACCES, TargetNotWritableError),
        (errno.ENOTDIR, TargetNotWritableError),
        (errno.ENOENT, TargetNotWritableError),
        (errno.EROFS, TargetNotWritableError),
        (errno.EIO, StorageError),
    ],
)
def test_errors_of_the_system_are_told_apart(tmp_path: Path, number: int, kind: type[StorageError]) -> None:
    with pytest.raises(StorageError) as caught, writing(tmp_path):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert caught.value.path == tmp_path


def test_an_error_without_a_number_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="strange words"), writing(tmp_path):
        raise OSError("strange words")


def test_reading_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_file(file) == b"12345"
    assert read_file(file, limit_bytes=5) == b"12345"
    with pytest.raises(FormatError, match="longer than 4 bytes"):
        read_file(file, limit_bytes=4)
    with file.open("wb") as stream:
        stream.truncate(MAX_DOCUMENT_BYTES + 1)
    with pytest.raises(FormatError, match="file: longer"):
        read_file(file)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, match in (("pipe", "no regular file"), ("", "directory"), ("none", "No such"), (LONG, "too long")):
        with pytest.raises(StorageError, match=match):
            read_file(tmp_path / name)


def test_length_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert file_length(tmp_path / "file") == 5
    assert file_length(tmp_path) is None
    assert file_length(tmp_path / "none") is None
    assert file_length(tmp_path / "file" / "below") is None
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in (LONG, "loop"):
        with pytest.raises(StorageError, match="cannot read"):
            file_length(tmp_path / name)


def test_writing_is_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_atomically(file, b"one")
    write_atomically(file, b"two")
    assert file.read_bytes() == b"two"
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(StorageError):
        write_atomically(tmp_path / "folder", b"three")
    with pytest.raises(StorageError):
        write_atomically(tmp_path / "none" / "file", b"three")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_empty_files_and_syncing(tmp_path: Path) -> None:
    make_empty(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").read_bytes() == b""
    sync_file(tmp_path / "a" / "b")
    sync_folder(tmp_path / "a")
    with pytest.raises(TargetNotWritableError):
        make_empty(tmp_path / "a" / "b" / "c")
    with pytest.raises(TargetNotWritableError):
        sync_file(tmp_path / "none")
    with pytest.raises(TargetNotWritableError):
        sync_folder(tmp_path / "a" / "b")
