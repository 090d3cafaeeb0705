"""What is on this machine already: files of an earlier download, of a channel's folder, and workspaces to be swept."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from typing import TYPE_CHECKING

from ossdist.errors import TargetBusyError
from ossdist.release import layout
from ossdist.release.torrents import paths_in_torrent
from ossdist.stoppable import in_thread
from ossdist.store.files import file_length, open_regular, writing
from ossdist.store.hashing import ExpectedFile, is_right
from ossdist.store.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from ossdist.release.model import Release

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20


def copy_file(source: Path, target: Path, check: Callable[[], None]) -> None:
    """Copies a file, over what may stand there. Blocks.

    Args:
        source: The file.
        target: Where to.
        check: Called before each chunk; what it raises ends this.

    Raises:
        StorageError: It cannot be read or written.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, target.open("wb") as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                check()
                writer.write(chunk)


async def copy_from_channel(folder: Path, release: Release, workspace: Workspace) -> int:
    """Copies a release's files out of a channel's folder into a workspace.

    Nobody has checked these files: one that is missing, unreadable, of another length or outside the folder is passed
    over, and whoever uses the workspace must check the others. What stands in the workspace already gives way to the
    signed file alone. When it is cancelled, it ends before the next chunk.

    Args:
        folder: The channel's folder.
        release: The release.
        workspace: Where to.

    Returns:
        Bytes of the files that were copied.

    Raises:
        StorageError: The workspace cannot be read or written to.
    """
    return await in_thread(lambda check: _copy_missing(folder, release, workspace, check))


def sweep(target: Path, key: str) -> None:
    """Removes the workspace of a download that is complete, unless somebody works in it. Blocks.

    Args:
        target: The download's target folder.
        key: The workspace's key.
    """
    if Workspace.exists(target, key):
        with contextlib.suppress(TargetBusyError), Workspace(target, key) as workspace:
            workspace.remove()


def _copy_missing(folder: Path, release: Release, workspace: Workspace, check: Callable[[], None]) -> int:
    paths = paths_in_torrent(release)
    # Under another name until it is whole: half a file would pass for one that an earlier try has begun.
    unfinished = workspace.data.with_name("copying")
    copied = 0
    for file in release.files:
        target = workspace.data / paths[file.path]
        if file.length == 0:
            continue
        begun = file_length(target) is not None
        expected = ExpectedFile(path=file.path, location=target, length=file.length, sha256=file.sha256)
        if begun and is_right(expected, chunk_bytes=_CHUNK_BYTES, check=check):
            continue
        source = folder / layout.file_path(release.name, release.version, file.path)
        try:
            with writing(target):
                digest = hashlib.sha256()
                with unfinished.open("wb") as stream:
                    for chunk in _chunks(source, folder, file.length):
                        check()
                        stream.write(chunk)
                        digest.update(chunk)
                right = digest.hexdigest() == file.sha256
                if not right:
                    log.warning("%s is damaged: it has not the signed SHA-256", source)
                _require_better(begun=begun, right=right)
                target.parent.mkdir(parents=True, exist_ok=True)
                unfinished.replace(target)
            copied += file.length
        except _NotTakenError as error:
            log.info("%s is not taken from the channel's folder: %s", source, error)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()
    return copied


def _require_better(*, begun: bool, right: bool) -> None:
    """What an earlier try has begun gives way to a file that is right alone; nothing gives way to any file."""
    if begun and not right:
        raise _NotTakenError("it is not the signed one, and a part of that is here already")


class _NotTakenError(Exception):
    """The source is of no use; an `OSError` would be taken for the target's."""


def _chunks(source: Path, folder: Path, length_bytes: int) -> Generator[bytes]:
    """The bytes of a file that lies in a folder and has that length.

    Raises:
        _NotTakenError: There is no such file, or it changes its length.
    """
    try:
        found = source.resolve(strict=True)
        if not found.is_relative_to(folder.resolve(strict=True)):
            raise _NotTakenError("it leads out of the folder")
        with open_regular(found) as stream:
            if os.fstat(stream.fileno()).st_size != length_bytes:
                raise _NotTakenError("its length is not the signed one")
            left = length_bytes
            while left > 0:
                chunk = stream.read(min(left, _CHUNK_BYTES))
                if not chunk:
                    raise _NotTakenError("it became shorter")
                left -= len(chunk)
                yield chunk
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise _NotTakenError(str(error)) from error
