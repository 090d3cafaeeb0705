"""What this machine says about the network that it is in, and about its own connections."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

if sys.platform == "linux":
    from pyroute2 import DiagSocket, IPRoute  # pyright: ignore[reportMissingTypeStubs]
    from pyroute2.netlink.exceptions import NetlinkError  # pyright: ignore[reportMissingTypeStubs]

_IPV4, _IPV6 = 2, 10
_WITH_INFO = 1 << 1
"""``INET_DIAG_INFO``: what the kernel knows of a TCP connection (``tcp_info``)."""


class _Netlink(Protocol):
    """What is used of ``IPRoute``, whose own types say little."""

    def get_default_routes(self, *, family: int) -> Iterable[Mapping[str, object]]: ...

    def get_neighbours(self, *, family: int, ifindex: object) -> Iterable[Mapping[str, object]]: ...


class _Diagnosis(Protocol):
    """What is used of ``DiagSocket``."""

    def bind(self) -> None: ...

    def get_sock_stats(self, *, family: int, protocol: int, extensions: int) -> Iterable[Mapping[str, object]]: ...


def network_fingerprint() -> str | None:
    """What tells the present network from others: a hash of the default gateway's hardware address. Blocks.

    The address is the same each time that one is in that network, and no other network has it; of the hash alone
    nobody can say where that is.

    Returns:
        Hexadecimal; None if there is no gateway, it has no such address, or the system does not say.
    """
    gateway = _gateway()
    return None if gateway is None else hashlib.sha256(f"ossdist network {gateway}".encode()).hexdigest()[:32]


def _gateway() -> str | None:
    if sys.platform != "linux":
        return None
    try:
        with IPRoute() as opened:
            system = cast("_Netlink", opened)
            for family in (_IPV4, _IPV6):
                for route in system.get_default_routes(family=family):
                    address, interface = route.get("gateway"), route.get("oif")
                    for neighbour in system.get_neighbours(family=family, ifindex=interface):
                        if address is not None and neighbour.get("dst") == address and _hardware(neighbour):
                            return _hardware(neighbour)
    except (OSError, NetlinkError):  # there is no netlink, or it does not let us ask
        return None
    return None


def _hardware(neighbour: Mapping[str, object]) -> str | None:
    address = neighbour.get("lladdr")
    return address if isinstance(address, str) and address.strip("0:") else None


@dataclass(frozen=True, slots=True)
class Connection:
    """A TCP connection of this process.

    Attributes:
        host: The other end's address.
        rtt_s: How long a round trip takes now, smoothed.
        least_rtt_s: The shortest one of the last minutes.
        silent_s: Since something was last acknowledged: so old is `rtt_s`.
    """

    host: str
    rtt_s: float
    least_rtt_s: float
    silent_s: float


def own_connections() -> tuple[Connection, ...]:
    """The connections of this process that the kernel has measured; none if the system does not say. Blocks."""
    if sys.platform != "linux":
        return ()
    own = _own_sockets()
    found: list[Connection] = []
    try:
        with DiagSocket() as opened:
            system = cast("_Diagnosis", opened)
            system.bind()
            for family in (_IPV4, _IPV6):
                sockets = system.get_sock_stats(family=family, protocol=socket.IPPROTO_TCP, extensions=_WITH_INFO)
                found += [_connection(each) for each in sockets if each["idiag_inode"] in own]
    except (OSError, NetlinkError):
        return ()
    return tuple(each for each in found if each.rtt_s > 0)


def _own_sockets() -> set[int]:
    """The inodes of this process's sockets."""
    found: set[int] = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            kind, _, number = str(path.readlink()).partition(":")
            if kind == "socket":
                found.add(int(number.strip("[]")))
    return found


def _connection(found: Mapping[str, object]) -> Connection:
    details = dict(cast("Iterable[tuple[str, object]]", found["attrs"]))
    info = cast("Mapping[str, int]", details.get("INET_DIAG_INFO") or {})
    return Connection(
        host=str(found["idiag_dst"]),
        rtt_s=info.get("tcpi_rtt", 0) / 1e6,
        least_rtt_s=min(info.get("tcpi_min_rtt", 0), info.get("tcpi_rtt", 0)) / 1e6,
        silent_s=info.get("tcpi_last_ack_recv", 0) / 1e3,
    )
