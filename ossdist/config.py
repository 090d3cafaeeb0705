"""Settings, as frozen values with the units in their names.

`ossdist.swarm.settings` is the one place that maps them to libtorrent's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ossdist.mirrors.sites import Place


PUBLIC_DHT_NODES = ("dht.libtorrent.org:25401", "router.bittorrent.com:6881", "dht.transmissionbt.com:6881")
"""Run by the authors of libtorrent, by BitTorrent Inc. (BEP 5's implementer) and by the Transmission project."""


class Transport(Enum):
    """How peers are dialled. Those who dial us may use any."""

    TCP = "tcp"
    """As the session was configured: over TCP, in clear text or encrypted as comes about; fast."""
    TCP_ENCRYPTED = "encrypted tcp"
    """Over TCP, every byte obfuscated (Message Stream Encryption): nobody on the way sees that it is BitTorrent."""
    UTP = "utp"
    """Over uTP (BEP 29), which is UDP."""
    UTP_ENCRYPTED = "encrypted utp"
    PROXY = "proxy"
    """Over TCP through the configured proxy; nobody can dial us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmConfig:
    """How a session takes part in swarms.

    Attributes:
        listen: Interfaces and ports, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``, port 0 for any; empty to listen
            nowhere.
        outgoing: Addresses from which to dial; empty for the system's choice.
        trackers, dht, lsd, pex: Ways of finding peers (BEP 3/15, 5, 14, 11).
        dht_nodes: ``HOST:PORT`` of nodes through which to join the DHT; public ones by default. Peers who take part
            in it are others.
        port_mapping: Ask the router for a port by UPnP and NAT-PMP.
        outgoing_utp: Dial over uTP as well; off, because it is several times slower than TCP here
            (docs/libtorrent.md). uTP connections from others are always taken.
        transport: How peers are dialled at first; what is in the way of one, others may go round.
        proxy: For `Transport.PROXY`: ``socks5://HOST:PORT`` or ``http://HOST:PORT``, with ``USER:PASSWORD@`` before
            the host if it asks for them; empty for none.
        upload_bytes_per_s: Payload and protocol, all torrents together; 0 for no limit.
        download_bytes_per_s: The same, the other way.
        connections: Most peers at a time, all torrents together.
        unchoke_slots: To how many peers at a time payload is sent.
        same_address_peers: Take several peers behind one address (one NAT, one machine).
        private_network: Lift the DHT's rules that only make sense on the open internet, so that it works
            between hosts of one network or machine.
        user_agent: What we call ourselves.
        alert_queue: How many alerts libtorrent keeps for us before it drops some.
        event_deadline_s: How long an answer of the engine itself may take before it counts as stuck.
    """

    listen: tuple[str, ...] = ("0.0.0.0:0", "[::]:0")
    outgoing: tuple[str, ...] = ()
    trackers: bool = True
    dht: bool = True
    lsd: bool = True
    pex: bool = True
    dht_nodes: tuple[str, ...] = PUBLIC_DHT_NODES
    port_mapping: bool = True
    outgoing_utp: bool = False
    transport: Transport = Transport.TCP
    proxy: str = field(default="", repr=False)
    upload_bytes_per_s: int = 0
    download_bytes_per_s: int = 0
    connections: int = 200
    unchoke_slots: int = 8
    same_address_peers: bool = True
    private_network: bool = False
    user_agent: str = "OSSDist/0.1"
    alert_queue: int = 20_000
    event_deadline_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuses a proxy that nobody could use.

        Raises:
            ValueError: What is wrong with it.
        """
        if self.transport is Transport.PROXY and not self.proxy:
            raise ValueError("peers are to be dialled through a proxy, and none is configured")
        if self.proxy:
            place = urlsplit(self.proxy)
            if place.scheme not in {"socks5", "http"} or not place.hostname or not place.port:
                raise ValueError("a proxy is socks5://HOST:PORT or http://HOST:PORT")

    @property
    def transports(self) -> tuple[Transport, ...]:
        """All by which peers can be dialled, `transport` first."""
        others = [each for each in Transport if each is not Transport.PROXY or self.proxy]
        return tuple(dict.fromkeys([self.transport, *others]))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferConfig:
    """When a transfer acts.

    Attributes:
        poll_s: How often status is read and `Progress` reported.
        resume_save_s: How often the state for resuming is written.
        swarm_patience_s: Without new data for so long, the other swarm of the same bytes is tried.
        exhausted_after_s: Without new data for so long, the transfer ends with `SourcesExhaustedError`.
        web_seed_retry_s: First pause before a web seed that failed is asked again; it doubles each time.
        web_seed_retry_max_s: The longest such pause.
        rate_window_s: Over how long the reported rate is smoothed.
        hash_chunk_bytes: How much is read at once for the whole-file hash.
        whole_file_hash: Check every whole file against its signed SHA-256. Only a benchmark turns it off.
    """

    poll_s: float = 0.5
    resume_save_s: float = 5.0
    swarm_patience_s: float = 10.0
    exhausted_after_s: float = 60.0
    web_seed_retry_s: float = 2.0
    web_seed_retry_max_s: float = 60.0
    rate_window_s: float = 5.0
    hash_chunk_bytes: int = 1 << 20
    whole_file_hash: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchConfig:
    """How HTTP servers are asked, and documents fetched.

    Attributes:
        connect_timeout_s: For the connection.
        read_timeout_s: Between two reads.
        total_timeout_s: For one document of one copy.
        copies_timeout_s: After so long no further copy is asked for a document that the copies before could not give.
        min_bytes_per_s: A document that comes more slowly on average is given up, and another copy is asked.
        min_rate_grace_s: But not before so long.
        redirects: How many are followed; never from https to http.
        ca_bundle: Certificates to trust instead of the system's.
        proxies: The proxy of each scheme (``http``, ``https``) or host (``https://host``), as requests takes them;
            beside them, or without, the environment's ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` count.
        credentials: User and password for what is at or below an address (RFC 7617).
        headers: Further fields for what is at or below an address.
        user_agent: What we call ourselves.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    total_timeout_s: float = 60.0
    copies_timeout_s: float = 120.0
    min_bytes_per_s: float = 1000.0
    min_rate_grace_s: float = 10.0
    redirects: int = 5
    ca_bundle: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict[str, str])
    credentials: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]], repr=False)
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, "Mapping[str, str]"], repr=False)
    user_agent: str = "OSSDist/0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorConfig:
    """How payload is fetched from HTTP mirrors. How a server is asked, `FetchConfig` says.

    Attributes:
        prefer: Mirrors whose addresses begin like this come before all others.
        ban: Such mirrors are never asked.
        order: If there are any: such mirrors alone, in this order.
        place: Where the client is; None to look its public address up, as soon as it is known.
        geo_databases: MaxMind or DB-IP databases (City, Country, ASN); None for those in the usual places, an empty
            tuple for none.
        at_once: From how many mirrors at a time.
        connections: To each of them.
        head_start_s: For so long peers are alone, if there may be any.
        target_bytes_per_s: With so much from peers no mirror is asked; None for as much as the line carries.
        most_share: The largest part of all bytes that mirrors give while peers give something, 0 to 1.
        bytes_per_s: The most that all mirrors together bring; 0 for no limit.
        mirror_bytes_per_s: The most that one mirror brings; 0 for no limit.
        first_range_bytes: How much is asked for as long as a connection's rate is not known.
        range_s: How long a range should take, once it is.
        silent_s: A mirror that says nothing for so long has failed.
        min_bytes_per_s: So has one that brings less over `slow_after_s`.
        slow_after_s: See there.
        web_seeds: Let libtorrent ask mirrors by itself (BEP 19) instead of asking them here.
        remember: Keep across runs how well each mirror did.
    """

    prefer: tuple[str, ...] = ()
    ban: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    place: Place | None = None
    geo_databases: tuple[Path, ...] | None = None
    at_once: int = 4
    connections: int = 2
    head_start_s: float = 1.0
    target_bytes_per_s: float | None = None
    most_share: float = 1.0
    bytes_per_s: float = 0.0
    mirror_bytes_per_s: float = 0.0
    first_range_bytes: int = 1 << 20
    range_s: float = 3.0
    silent_s: float = 5.0
    min_bytes_per_s: float = 2000.0
    slow_after_s: float = 8.0
    web_seeds: bool = False
    remember: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A time of the week with limits of its own.

    Attributes:
        days: 0 for Monday to 6 for Sunday.
        begins: Local time; included.
        ends: Local time; not included. If it is not later than ``begins``, that of the next day.
        upload_bytes_per_s: The most that is sent; infinite for no limit, 0 for nothing.
        download_bytes_per_s: The most that is fetched; the same.
    """

    days: frozenset[int] = frozenset(range(7))
    begins: time = time(0, 0)
    ends: time = time(0, 0)
    upload_bytes_per_s: float = math.inf
    download_bytes_per_s: float = math.inf

    def holds(self, now: datetime) -> bool:
        """Whether it is so late, in local time."""
        at, day = now.time(), now.weekday()
        if self.begins < self.ends:
            return day in self.days and self.begins <= at < self.ends
        return (day in self.days and at >= self.begins) or ((day - 1) % 7 in self.days and at < self.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesConfig:
    """How a client leaves room for others. Fixed limits are in `SwarmConfig`.

    Attributes:
        background: Take what others on the line leave (`ossdist.rates.background`), instead of a fair part or more.
        periods: Limits by the time of the week; of several at once the lower ones hold.
        monthly_upload_bytes: When so much was sent in a calendar month nothing is sent until it is over; None for no
            cap. Across clients on one machine that have the same `ClientConfig.state_folder`.
        look_s: How often limits are set anew.
    """

    background: bool = False
    periods: tuple[Period, ...] = ()
    monthly_upload_bytes: int | None = None
    look_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Everything that a client can be told.

    Attributes:
        swarm: The session.
        transfer: Each transfer.
        fetch: Documents over HTTP.
        mirrors: Payload over HTTP.
        rates: How it leaves room for others.
        peers_enabled: Use the swarm; without it only mirrors are used and nothing listens.
        mirrors_enabled: Use HTTP mirrors, and the channel's own folder, for payload.
        seed_after: Keep sharing what was downloaded until the client is closed.
        state_folder: Where is remembered which state of each channel was accepted; the user's own (XDG) if None.
    """

    swarm: SwarmConfig = field(default_factory=SwarmConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    fetch: FetchConfig = field(default_factory=FetchConfig)
    mirrors: MirrorConfig = field(default_factory=MirrorConfig)
    rates: RatesConfig = field(default_factory=RatesConfig)
    peers_enabled: bool = True
    mirrors_enabled: bool = True
    seed_after: bool = True
    state_folder: Path | None = None
