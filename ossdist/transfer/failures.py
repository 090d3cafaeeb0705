"""What a transfer's failures are called. Pure."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from ossdist.errors import DiskFullError, SourcesExhaustedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ossdist.transfer.job import TransferJob
    from ossdist.transfer.session import TorrentStatus
    from ossdist.transfer.torrent_events import StorageFailed


def exhausted(
    job: TransferJob, status: TorrentStatus, notes: Mapping[str, str], *, peers: int, waited_s: float
) -> SourcesExhaustedError:
    """Nobody gives anything; says of every source what came of it.

    Args:
        job: What was to be transferred, and from whom.
        status: The last look at it.
        notes: What was heard of a source, by its address.
        peers: How many peers were connected at that look.
        waited_s: How long nothing has come.
    """
    attempts = {f"{peers} connected peer(s)": "gave nothing"} if peers else {}
    for url in (*job.trackers, *job.web_seeds):
        attempts[url] = notes.get(url, "no answer that helped")
    for address in job.peers:
        attempts[str(address)] = notes.get(str(address), "no connection, or nothing came")
    return SourcesExhaustedError(
        job.title,
        bytes_done=status.bytes_done,
        bytes_total=status.bytes_total,
        waited_s=waited_s,
        attempts=attempts | dict(notes),
    )


def storage_error(failure: StorageFailed, save_path: Path) -> StorageError:
    """The disk refused.

    Args:
        failure: What the session says of it.
        save_path: Where the files are written, for a failure that names none.
    """
    path = Path(failure.path) if failure.path else save_path
    if failure.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(path)
    return StorageError(
        f"the disk refused {path}: {failure.reason}. What was fetched is kept; mend it and run it again.", path=path
    )
