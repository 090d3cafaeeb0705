"""What happens in a session's torrent, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ossdist.transfer.metainfo import Address, Metainfo


@dataclass(frozen=True, slots=True)
class PieceVerified:
    """A piece is complete and its hash is right."""

    index: int


@dataclass(frozen=True, slots=True)
class PieceFailed:
    """A piece's hash was wrong; it will be fetched again."""

    index: int


@dataclass(frozen=True, slots=True)
class CheckingDone:
    """What was on disk has been checked; the transfer proper begins."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Every piece is here and verified."""


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    """A magnet link's info dictionary has arrived.

    Attributes:
        metainfo: The torrent, as far as the info dictionary tells.
    """

    metainfo: Metainfo


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer or web seed is being dialled, or one that dialled us has shaken hands.

    `PeerDisconnected` follows if nothing comes of it; `Torrent.peers` has only those with whom it succeeded.
    """

    address: Address


class Ending(Enum):
    """How a connection, or an attempt at one, ended."""

    REFUSED = "refused"
    """The other end, or somebody on the way, does not take it."""
    TIMED_OUT = "timed out"
    """No answer."""
    UNREACHABLE = "unreachable"
    """The system knows no way there."""
    NO_HANDSHAKE = "no handshake"
    """It came about, and the other side never said who it is."""
    RESET = "reset"
    """It was broken off."""
    OTHER = "other"
    """Closed in good order, or by us."""


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """A connection ended.

    Attributes:
        address: With whom.
        reason: In words.
        ending: How.
    """

    address: Address
    reason: str
    ending: Ending = Ending.OTHER


@dataclass(frozen=True, slots=True)
class PeerBanned:
    """A peer or web seed sent wrong data too often and is not used any more."""

    address: Address


@dataclass(frozen=True, slots=True)
class TrackerReplied:
    """A tracker answered.

    Attributes:
        url: Which.
        peers: How many peers it named.
    """

    url: str
    peers: int


@dataclass(frozen=True, slots=True)
class TrackerFailed:
    """A tracker did not answer, or refused."""

    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class WebSeedFailed:
    """A web seed did not answer, refused, or sent wrong data.

    Attributes:
        url: Which.
        reason: What happened.
        banned: It sent wrong data and must not be asked again.
    """

    url: str
    reason: str
    banned: bool = False


@dataclass(frozen=True, slots=True)
class StorageFailed:
    """The disk refused; the torrent has stopped.

    Attributes:
        path: Which file.
        errno: The operating system's number, 0 if it gave none.
        reason: In words.
    """

    path: str
    errno: int
    reason: str


@dataclass(frozen=True, slots=True)
class EventsLost:
    """Some events did not fit the queue: look at the status instead of counting."""


TorrentEvent = (
    PieceVerified
    | PieceFailed
    | CheckingDone
    | Finished
    | MetadataReceived
    | PeerConnected
    | PeerDisconnected
    | PeerBanned
    | TrackerReplied
    | TrackerFailed
    | WebSeedFailed
    | StorageFailed
    | EventsLost
)
