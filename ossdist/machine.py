"""What this machine says about the network that it is in."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

if sys.platform == "linux":
    from pyroute2 import IPRoute  # pyright: ignore[reportMissingTypeStubs]
    from pyroute2.netlink.exceptions import NetlinkError  # pyright: ignore[reportMissingTypeStubs]

_IPV4, _IPV6 = 2, 10


class _Netlink(Protocol):
    """What is used of ``IPRoute``, whose own types say little."""

    def get_default_routes(self, *, family: int) -> Iterable[Mapping[str, object]]: ...

    def get_neighbours(self, *, family: int, ifindex: object) -> Iterable[Mapping[str, object]]: ...


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
