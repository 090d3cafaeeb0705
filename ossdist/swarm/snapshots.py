"""libtorrent's status and peer structures as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libtorrent as lt

from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import PeerKind, PeerStatus, TorrentState, TorrentStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STATUS_FLAGS = lt.status_flags_t.query_distributed_copies | lt.status_flags_t.query_accurate_download_counters

_STATES = {
    int(lt.torrent_status.downloading_metadata): TorrentState.METADATA,
    int(lt.torrent_status.downloading): TorrentState.DOWNLOADING,
    int(lt.torrent_status.finished): TorrentState.SEEDING,
    int(lt.torrent_status.seeding): TorrentState.SEEDING,
}
"""Everything else is some way of checking."""


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
    )


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
    )


_UTP = 1 << 17
"""``peer_info::utp_socket``; the Python binding does not name it."""
