"""What a client has done and sees, as one value: for monitoring, and for programs that decide by it.

`ossdist.prometheus` gives the same to Prometheus.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.errors import SwarmError
from ossdist.transfer.session import PeerKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ossdist.config import Transport
    from ossdist.mirrors.health import Breaker, Health
    from ossdist.release import model
    from ossdist.sharing import Seeding
    from ossdist.transfer.run import Transfer
    from ossdist.transfer.session import NetworkCounters, TorrentStatus

MOST_RELEASES = 1000
"""So many are looked at one by one: a monitor stores a series of values for each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRelease:
    """A release that is being shared, both of its swarms together.

    Attributes:
        name: The package.
        version: Its version.
        length: Bytes of its files.
        sent_bytes: Payload sent since sharing began.
        sent_bytes_per_s: Payload rate now.
        peers: Connected peers.
        copies: Full copies among connected peers, ours not counted; -1 if that is not known.
    """

    name: str
    version: str
    length: int
    sent_bytes: int
    sent_bytes_per_s: int
    peers: int
    copies: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTransfer:
    """A release that is being fetched.

    Attributes:
        name: The package.
        version: Its version.
        length: Bytes of its files.
        done_bytes: Bytes that are here.
        from_peers_bytes: Payload from peers.
        from_mirrors_bytes: Payload from mirrors.
        peers: Connected peers.
        condition: How its swarm is (`ossdist.health.assess.Condition`).
    """

    name: str
    version: str
    length: int
    done_bytes: int
    from_peers_bytes: int
    from_mirrors_bytes: int
    peers: int
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorRecord:
    """What is known of a mirror, from this run and those before.

    Attributes:
        url: Its address.
        bytes_per_s: Its rate, a moving mean; None if that was never measured.
        connect_s: To a connection, the same.
        first_byte_s: From a request to the first byte, the same.
        reliability: The part of requests that it fulfils, 0 to 1.
        breaker: Whether it is asked now.
    """

    url: str
    bytes_per_s: float | None
    connect_s: float | None
    first_byte_s: float | None
    reliability: float
    breaker: Breaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """A client at one moment.

    Attributes:
        network: What its session has counted, all torrents together.
        transport: How peers are dialled; None if nobody is.
        shared: What is being shared, at most `MOST_RELEASES`.
        shared_releases: How many releases are being shared.
        transfers: What is being fetched.
        mirrors: Mirrors that were ever asked.
    """

    network: NetworkCounters
    transport: Transport | None
    shared: tuple[SharedRelease, ...]
    shared_releases: int
    transfers: tuple[RunningTransfer, ...]
    mirrors: tuple[MirrorRecord, ...]


def mirror_records(known: Mapping[str, Health], now: float) -> tuple[MirrorRecord, ...]:
    """What is known of mirrors.

    Args:
        known: By their addresses.
        now: Unix time in seconds.
    """
    return tuple(
        MirrorRecord(
            url=url,
            bytes_per_s=health.bytes_per_s,
            connect_s=health.connect_s,
            first_byte_s=health.first_byte_s,
            reliability=health.reliability(now),
            breaker=health.breaker(now),
        )
        for url, health in sorted(known.items())
    )


def running_transfer(release: model.Release, transfer: Transfer) -> RunningTransfer:
    """A transfer as of its last look."""
    feed = transfer.feed
    from_web_seeds = transfer.tally.total(PeerKind.WEB_SEED)
    return RunningTransfer(
        name=release.name,
        version=release.version,
        length=release.length,
        done_bytes=transfer.status.bytes_done if transfer.status is not None else 0,
        from_peers_bytes=transfer.tally.total(PeerKind.PEER),
        from_mirrors_bytes=from_web_seeds + (feed.bytes if feed is not None else 0),
        peers=transfer.peers,
        condition=transfer.condition.value,
    )


async def shared_releases(seedings: Iterable[Seeding]) -> tuple[SharedRelease, ...]:
    """What is being shared; one that is left meanwhile is left out."""
    found = await asyncio.gather(*(_shared(seeding) for seeding in seedings))
    return tuple(each for each in found if each is not None)


async def _shared(seeding: Seeding) -> SharedRelease | None:
    release = seeding.release.release
    try:
        statuses = await asyncio.gather(*(torrent.status() for torrent in seeding.torrents.values()))
    except SwarmError:
        return None
    return SharedRelease(
        name=release.name,
        version=release.version,
        length=release.length,
        sent_bytes=sum(status.payload_upload for status in statuses),
        sent_bytes_per_s=sum(status.upload_bytes_per_s for status in statuses),
        peers=sum(status.peers for status in statuses),
        copies=_copies(statuses),
    )


def _copies(statuses: Iterable[TorrentStatus]) -> float:
    known = [status.distributed_copies for status in statuses if status.distributed_copies >= 0]
    return sum(known) if known else -1.0
