"""libtorrent's status and peer structures as values."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import libtorrent as lt

from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import (
    PeerKind,
    PeerStatus,
    PieceDemand,
    TorrentState,
    TorrentStatus,
)
from ossdist.transfer.torrent_events import StorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_STATUS_FLAGS = lt.status_flags_t.query_distributed_copies | lt.status_flags_t.query_accurate_download_counters

_STATES = {
    int(lt.torrent_status.downloading_metadata): TorrentState.METADATA,
    int(lt.torrent_status.downloading): TorrentState.DOWNLOADING,
    int(lt.torrent_status.finished): TorrentState.SEEDING,
    int(lt.torrent_status.seeding): TorrentState.SEEDING,
}
"""Everything else is some way of checking."""

_PAD_FILE = lt.file_storage.flag_pad_file


def torrent_status(status: lt.torrent_status) -> TorrentStatus:
    """A torrent's status as a value."""
    return TorrentStatus(
        state=_STATES.get(int(status.state), TorrentState.CHECKING),
        paused=status.paused,
        error=status.errc.message() if status.errc.value() != 0 else "",
        bytes_done=status.total_wanted_done,
        bytes_total=status.total_wanted,
        payload_download=status.total_payload_download,
        payload_upload=status.total_payload_upload,
        download_bytes_per_s=status.download_payload_rate,
        upload_bytes_per_s=status.upload_payload_rate,
        peers=status.num_peers,
        seeds=status.num_seeds,
        failed_bytes=status.total_failed_bytes,
        redundant_bytes=status.total_redundant_bytes,
        distributed_copies=status.distributed_copies,
        errno=os_error_number(status.errc),
    )


def os_error_number(error: lt.error_code) -> int:
    """The operating system's number of an error, 0 if it is somebody else's."""
    return error.value() if error.category().name() in {"generic", "system"} else 0


class StatusReader:
    """Reads a torrent's status, with payload counters that only grow. Its methods run in any thread.

    libtorrent counts from zero again when a torrent that was paused goes on, and when it is checked again.

    Args:
        save_path: Where the torrent's files stand.

    Attributes:
        writes: It is meant to write to its files.
        failure: What was last heard of the disk's refusing.
    """

    def __init__(self, save_path: Path) -> None:
        self.writes = True
        self.failure: StorageFailed | None = None
        self._save_path = save_path
        self._lock = threading.Lock()
        self._before = self._last = (0, 0)

    def read(self, handle: lt.torrent_handle) -> TorrentStatus:
        """What it is like now."""
        with self._lock:
            found = handle.status(_STATUS_FLAGS)
            status = torrent_status(found)
            if status.error and found.error_file >= 0:  # below are places that are no files
                status = replace(status, error_path=file_path(handle, found.error_file, self._save_path))
            elif not status.error and self.writes and found.flags & lt.torrent_flags.upload_mode:
                # A full disk, for instance, is no error to libtorrent: it stops writing, and does not say why.
                failure = self.failure or StorageFailed("", 0, "it cannot be written to")
                status = replace(status, error=failure.reason, errno=failure.errno, error_path=failure.path)
            down, up = status.payload_download, status.payload_upload
            if down < self._last[0] or up < self._last[1]:
                self._before = (self._before[0] + self._last[0], self._before[1] + self._last[1])
            self._last = (down, up)
            return replace(status, payload_download=self._before[0] + down, payload_upload=self._before[1] + up)

    def around(self, handle: lt.torrent_handle, act: Callable[[], None]) -> None:
        """Does something after which libtorrent may count from zero."""
        self.read(handle)
        act()
        self.read(handle)


def file_path(handle: lt.torrent_handle, index: int, save_path: Path) -> str:
    """Where a file of a torrent stands.

    Raises:
        ValueError: There is no such file.
    """
    info = handle.torrent_file()
    layout = info.layout() if info is not None else None
    if layout is None or not 0 <= index < layout.num_files() or layout.file_flags(index) & _PAD_FILE:
        raise ValueError(f"there is no file {index}")
    renamed = handle.get_renamed_files()
    return renamed.file_path(layout, index, str(save_path))


_REQUESTED = 1
"""``block_info::requested``."""


def piece_demand(handle: lt.torrent_handle) -> PieceDemand:
    """What peers are doing about a torrent's missing pieces."""
    requested = {
        part["piece_index"]
        for part in handle.get_download_queue()
        if any(block["state"] == _REQUESTED for block in part["blocks"])
    }
    if not handle.status().num_peers:
        return PieceDemand(frozenset(requested))
    copies, have = handle.piece_availability(), handle.status(lt.status_flags_t.query_pieces).pieces
    lacking = tuple(index for index, count in enumerate(copies) if not count and not have[index])
    return PieceDemand(frozenset(requested), lacking)


def peer_statuses(
    peers: Iterable[lt.peer_info], web_seed_at: Callable[[Address], str | None]
) -> tuple[PeerStatus, ...]:
    """Connected peers as values; those that are still dialling or shaking hands, or hung up just now, are left out.

    Args:
        peers: libtorrent's.
        web_seed_at: The web seed that stands at an address.
    """
    pending = lt.peer_info.connecting | lt.peer_info.handshake
    return tuple(
        _peer_status(peer, web_seed_at)
        for peer in peers
        if not peer.flags & pending and peer.local_endpoint()[1]  # a closed socket has no port
    )


def _peer_status(peer: lt.peer_info, web_seed_at: Callable[[Address], str | None]) -> PeerStatus:
    address = Address(*peer.ip)
    web_seed = bool(peer.connection_type & lt.peer_info.web_seed)
    # A web seed's own word for itself is its server's name; one that a redirect led to has no address but this.
    client = web_seed_at(address) or f"http://{address}/" if web_seed else peer.client.decode("utf-8", "replace")
    return PeerStatus(
        address=address,
        kind=PeerKind.WEB_SEED if web_seed else PeerKind.PEER,
        key=f"{client} {Address(*peer.local_endpoint())}" if web_seed else f"{address} {peer.pid}",
        client=client,
        seed=bool(peer.flags & lt.peer_info.seed),
        choking=bool(peer.flags & lt.peer_info.remote_choked),
        snubbed=bool(peer.flags & lt.peer_info.snubbed),
        payload_download=peer.total_download,
        payload_upload=peer.total_upload,
        download_bytes_per_s=peer.payload_down_speed,
        upload_bytes_per_s=peer.payload_up_speed,
        utp=bool(peer.flags & _UTP),
        encrypted=bool(peer.flags & lt.peer_info.rc4_encrypted),
        peer_id=b"" if web_seed else peer.pid.to_bytes(),
    )


_UTP = 1 << 17
"""``peer_info::utp_socket``; the Python binding does not name it."""
