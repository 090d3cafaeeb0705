"""libtorrent's alerts as typed events: a table from alert type to a pure function.

Every function copies what it needs. An alert that is touched after the next ``pop_alerts`` crashes the process, so
none may leave this module.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import libtorrent as lt

from ossdist.foreign_text import shown
from ossdist.swarm.metainfo import metainfo_of
from ossdist.swarm.snapshots import os_error_number
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import NetworkCounters
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Ending,
    EventsLost,
    Finished,
    MetadataReceived,
    PeerBanned,
    PeerConnected,
    PeerDisconnected,
    PieceFailed,
    PieceVerified,
    StorageFailed,
    TorrentEvent,
    TrackerFailed,
    TrackerReplied,
    WebSeedFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# --- what only this package needs to know ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A peer or web seed could not be reached."""

    address: Address
    reason: str
    ending: Ending = Ending.OTHER


@dataclass(frozen=True, slots=True)
class ProtocolBroken:
    """A peer or web seed said what the protocol does not allow, and was disconnected."""

    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class ResumeDataReady:
    """The answer to a request for resume data."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ResumeDataFailed:
    """There is no resume data to be had."""

    reason: str


@dataclass(frozen=True, slots=True)
class ResumeRejected:
    """The resume data do not fit what is on disk, which is checked instead."""


@dataclass(frozen=True, slots=True)
class FileRenamed:
    """A file has its new name."""

    index: int


@dataclass(frozen=True, slots=True)
class FileRenameFailed:
    """A file keeps its old name."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class TorrentRemoved:
    """The torrent has left the session."""


@dataclass(frozen=True, slots=True)
class ListenFailed:
    """A socket does not listen."""

    interface: str
    reason: str


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """What peers, trackers or routers say that our address is."""

    host: str


@dataclass(frozen=True, slots=True)
class StatsReady:
    """The answer to a request for the session's counters, the DHT taken to be on."""

    counters: NetworkCounters


Answer = (
    PublicAddress
    | StatsReady
    | DialFailed
    | ProtocolBroken
    | ResumeDataReady
    | ResumeDataFailed
    | ResumeRejected
    | FileRenamed
    | FileRenameFailed
    | TorrentRemoved
    | ListenFailed
)


@dataclass(frozen=True, slots=True)
class Routed:
    """An event and the torrent that it belongs to.

    Attributes:
        hashes: The torrent's info-hashes, hexadecimal, as far as they are known; empty for the whole session.
        event: What happened.
    """

    hashes: tuple[str, ...]
    event: TorrentEvent | Answer


def convert(alert: lt.alert) -> Routed | None:
    """Copies an alert into an event; None for one that nobody asks for."""
    convert_one = _TABLE.get(type(alert))
    if convert_one is None:
        return None
    try:
        event = convert_one(alert)
        if isinstance(alert, lt.torrent_removed_alert):
            return Routed(_hashes(alert.info_hashes), event)
        if isinstance(alert, lt.torrent_alert):
            return Routed(_hashes(alert.handle.info_hashes()), event)
    except RuntimeError:  # the torrent was removed after the alert was posted
        return None
    return Routed((), event)


def _hashes(hashes: lt.info_hash_t) -> tuple[str, ...]:
    found: list[str] = []
    if hashes.has_v1():
        found.append(str(hashes.v1))
    if hashes.has_v2():
        found.append(str(hashes.v2))
    return tuple(found)


def _address(endpoint: tuple[str, int]) -> Address:
    return Address(endpoint[0], endpoint[1])


def _metadata_received(alert: lt.metadata_received_alert) -> MetadataReceived:
    # Read here and not later: the torrent may not have its handle yet.
    info = alert.handle.torrent_file()
    if info is None:
        raise RuntimeError("the metadata are gone")
    return MetadataReceived(metainfo_of(info, data=b""))


def _disconnected(alert: lt.peer_disconnected_alert) -> PeerDisconnected | DialFailed:
    ended = DialFailed if alert.op == lt.operation_t.connect else PeerDisconnected
    return ended(_address(alert.endpoint), alert.error.message(), _ending(alert.error))


def _ending(error: lt.error_code) -> Ending:
    if error.category().name() == "libtorrent":
        return _LIBTORRENT_ENDINGS.get(error.value(), Ending.OTHER)
    return _SYSTEM_ENDINGS.get(os_error_number(error), Ending.OTHER)


def _protocol_broken(alert: lt.peer_error_alert) -> ProtocolBroken:
    no_ranges = alert.error.value() == _INVALID_RANGE and alert.error.category().name() == "libtorrent"
    return ProtocolBroken(_address(alert.endpoint), _NO_RANGES if no_ranges else alert.error.message())


def _stats(alert: lt.session_stats_alert) -> StatsReady:
    values = alert.values
    return StatsReady(
        NetworkCounters(
            dials=values["peer.connection_attempts"] + values["peer.boost_connection_attempts"],
            dial_timeouts=values["peer.connect_timeouts"],
            incoming=values["peer.incoming_connections"],
            tcp_peers=values["peer.num_tcp_peers"],
            utp_peers=values["peer.num_utp_peers"],
            dht_nodes=values["dht.dht_nodes"],
            received_bytes=values["net.recv_payload_bytes"],
            sent_bytes=values["net.sent_payload_bytes"],
            failed_bytes=values["net.recv_failed_bytes"],
            redundant_bytes=values["net.recv_redundant_bytes"],
            banned_peers=values["peer.banned_for_hash_failure"],
        )
    )


def _storage_failed(alert: lt.file_error_alert) -> StorageFailed:
    return StorageFailed(path=alert.filename(), errno=os_error_number(alert.error), reason=alert.error.message())


def _torrent_failed(alert: lt.torrent_error_alert) -> StorageFailed:
    return StorageFailed(path="", errno=os_error_number(alert.error), reason=alert.error.message())


def _text(read: Callable[[], str]) -> str:
    """A text that somebody on the network wrote; the binding raises where it is no UTF-8."""
    try:
        return shown(read())
    except UnicodeDecodeError as error:
        return shown(error.object.decode("utf-8", "backslashreplace"))


def _tracker_failed(alert: lt.tracker_error_alert) -> TrackerFailed:
    reason = _text(alert.error_message) or alert.error.message()
    return TrackerFailed(url=alert.tracker_url(), reason=reason)


def _web_seed_failed(alert: lt.url_seed_alert) -> WebSeedFailed:
    reason = _text(alert.error_message)
    if not reason and alert.error.value() != 0:
        reason = alert.error.message()
    banned = alert.error.value() == _PEER_BANNED and alert.error.category().name() == "libtorrent"
    # For an HTTP status libtorrent reports "Success".
    return WebSeedFailed(alert.server_url(), reason or "the server refused the request", banned=banned)


def _listen_failed(alert: lt.listen_failed_alert) -> ListenFailed:
    # A malformed interface comes back as it was given; of a good one only the device's name does.
    given = alert.listen_interface()
    interface = given if ":" in given else str(Address(alert.address, alert.port))
    return ListenFailed(interface, alert.error.message())


_RESUMED = ("info_hashes", "save_path", "have_pieces", "unfinished_pieces", "peers", "banned_peers")


def _resume_data(alert: lt.save_resume_data_alert) -> ResumeDataReady:
    # Without the merkle trees, which the torrent's piece layers replace: 32 bytes a block, 20 MiB of a file of 10 GiB,
    # of which several copies would be made at every saving.
    kept = lt.add_torrent_params()
    for name in _RESUMED:
        setattr(kept, name, getattr(alert.params, name))
    return ResumeDataReady(bytes(lt.write_resume_data_buf(kept)))


# The Python binding does not name ``libtorrent::errors``.
_LIBTORRENT_ENDINGS = {36: Ending.TIMED_OUT, 51: Ending.NO_HANDSHAKE}
_SYSTEM_ENDINGS = {
    errno.ECONNREFUSED: Ending.REFUSED,
    errno.ETIMEDOUT: Ending.TIMED_OUT,
    errno.ENETUNREACH: Ending.UNREACHABLE,
    errno.EHOSTUNREACH: Ending.UNREACHABLE,
    errno.ENETDOWN: Ending.UNREACHABLE,
    errno.ECONNRESET: Ending.RESET,
}
_PEER_BANNED = 91
_INVALID_RANGE = 87

_NO_RANGES = "the server ignores Range requests (RFC 9110, section 14) and sends whole files"


# The keys are alert types and each function takes exactly its key's type, which no type of a dict can say.
_TABLE: dict[type[lt.alert], Callable[[Any], TorrentEvent | Answer]] = {
    lt.piece_finished_alert: lambda alert: PieceVerified(alert.piece_index),
    lt.hash_failed_alert: lambda alert: PieceFailed(alert.piece_index),
    lt.torrent_checked_alert: lambda _: CheckingDone(),
    lt.torrent_finished_alert: lambda _: Finished(),
    lt.metadata_received_alert: _metadata_received,
    lt.peer_connect_alert: lambda alert: PeerConnected(_address(alert.endpoint)),
    lt.peer_disconnected_alert: _disconnected,
    lt.peer_error_alert: _protocol_broken,
    lt.peer_ban_alert: lambda alert: PeerBanned(_address(alert.endpoint)),
    lt.tracker_reply_alert: lambda alert: TrackerReplied(alert.tracker_url(), alert.num_peers),
    lt.tracker_error_alert: _tracker_failed,
    lt.url_seed_alert: _web_seed_failed,
    lt.file_error_alert: _storage_failed,
    lt.torrent_error_alert: _torrent_failed,
    lt.alerts_dropped_alert: lambda _: EventsLost(),
    lt.save_resume_data_alert: _resume_data,
    lt.save_resume_data_failed_alert: lambda alert: ResumeDataFailed(alert.error.message()),
    lt.fastresume_rejected_alert: lambda _: ResumeRejected(),
    lt.file_renamed_alert: lambda alert: FileRenamed(alert.index),
    lt.file_rename_failed_alert: lambda alert: FileRenameFailed(alert.index, alert.error.message()),
    lt.torrent_removed_alert: lambda _: TorrentRemoved(),
    lt.listen_failed_alert: _listen_failed,
    lt.session_stats_alert: _stats,
    lt.external_ip_alert: lambda alert: PublicAddress(alert.external_address),
}
