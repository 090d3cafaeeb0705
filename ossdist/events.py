"""What a transfer reports while it runs: frozen values, handed to the caller's ``on_event``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Resolved:
    """The release was found and may be believed.

    Attributes:
        name: The package.
        version: Its version.
        bytes_total: Bytes of all its files.
        withdrawn: Newer releases of that name that nobody should install: their versions, each with the reason.
    """

    name: str
    version: str
    bytes_total: int
    withdrawn: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the transfer is; comes about twice a second.

    Attributes:
        bytes_done: Bytes here.
        bytes_total: Bytes in all.
        bytes_per_s: Payload rate, smoothed.
        eta_s: Seconds to the end at this rate; None while there is no rate.
        peers: Connected peers.
        mirrors: Connected mirrors.
        bytes_from_peers: Payload from peers so far.
        bytes_from_mirrors: Payload from mirrors so far.
    """

    bytes_done: int
    bytes_total: int
    bytes_per_s: float
    eta_s: float | None
    peers: int
    mirrors: int
    bytes_from_peers: int
    bytes_from_mirrors: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """There are verified data already.

    Attributes:
        bytes_done: How much of them an earlier try has left.
        rechecked: They were read and hashed again, since that try did not end cleanly.
        bytes_copied: How much was copied just now from a folder of the channel.
    """

    bytes_done: int
    rechecked: bool
    bytes_copied: int = 0


@dataclass(frozen=True, slots=True)
class SwarmSwitched:
    """The transfer goes on in another swarm of the same bytes.

    Attributes:
        swarm: ``hybrid`` or ``v1``.
        reason: Why.
    """

    swarm: str
    reason: str


@dataclass(frozen=True, slots=True)
class SwarmAssessed:
    """The swarm is in another condition than before.

    Attributes:
        condition: ``good``, ``degraded``, ``blocked``, ``offline`` or ``unknown``; see
            `ossdist.health.assess.Condition`.
        troubles: What is in the way, the surest first; see `ossdist.health.assess.Trouble`.
        evidence: What was seen, in words.
    """

    condition: str
    troubles: tuple[str, ...]
    evidence: str


@dataclass(frozen=True, slots=True)
class TransportChanged:
    """Peers are dialled in another way than before.

    Attributes:
        transport: Which; see `ossdist.config.Transport`.
        reason: Why.
    """

    transport: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceFailed:
    """A tracker or mirror failed; the others go on.

    Attributes:
        source: Its address.
        reason: What went wrong.
    """

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class MirrorsSwitched:
    """Mirrors are asked from now on, or are not any more.

    Attributes:
        asked: They are.
        reason: Why.
    """

    asked: bool
    reason: str


@dataclass(frozen=True, slots=True)
class MirrorStarted:
    """A mirror is asked.

    Attributes:
        url: Its address.
    """

    url: str


@dataclass(frozen=True, slots=True)
class PieceRefused:
    """A piece's hash was wrong; it is fetched again.

    Attributes:
        index: Which.
        paths: The files that it is part of.
    """

    index: int
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeerBanned:
    """A peer or mirror sent wrong data and is not used any more."""

    address: str


@dataclass(frozen=True, slots=True)
class FileVerified:
    """A whole file has the signed SHA-256."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class FileCommitted:
    """A verified file stands under its final name."""

    path: str


TransferEvent: TypeAlias = (
    Resolved
    | Progress
    | Resumed
    | SwarmSwitched
    | SwarmAssessed
    | TransportChanged
    | SourceFailed
    | MirrorsSwitched
    | MirrorStarted
    | PieceRefused
    | PeerBanned
    | FileVerified
    | FileCommitted
)

OnEvent: TypeAlias = Callable[[TransferEvent], None]
"""Called on the event loop; it must return at once and not raise."""
