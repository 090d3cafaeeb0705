"""Free loopback ports."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket

# Ports that a program uses when nobody tells it otherwise, as far as the kernel could hand them out.
_WELL_KNOWN = frozenset({6771, 6881, 6800, 6969, 8000, 8080, 8443, 9091, 51413})
_ATTEMPTS = 200
_given: set[int] = set()
_hosts = itertools.count()


def free_port() -> int:
    """A port that nobody uses, for TCP and UDP, IPv4 and IPv6; never the same twice in one process.

    Raises:
        OSError: None was found.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.ExitStack() as sockets:
            stream = sockets.enter_context(socket.socket(_family(), socket.SOCK_STREAM))
            stream.bind(("", 0))
            port: int = stream.getsockname()[1]
            if port in _WELL_KNOWN or port in _given:
                continue
            datagram = sockets.enter_context(socket.socket(_family(), socket.SOCK_DGRAM))
            try:
                datagram.bind(("", port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise OSError(f"no free port in {_ATTEMPTS} attempts")


def free_ports(count: int) -> list[int]:
    """As many different free ports."""
    return [free_port() for _ in range(count)]


def own_host() -> str:
    """An IPv4 loopback address that this process has given to nobody else.

    For programs that others remember by their address alone: libtorrent keeps the connection id of a UDP tracker
    (BEP 15) for a minute, by address, for all its sessions, so that a new tracker at an old address refuses it.
    """
    number = next(_hosts)
    return f"127.0.{number // 250 + 1}.{number % 250 + 1}"


async def listens(host: str, port: int) -> bool:
    """Whether somebody accepts TCP connections there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _family() -> socket.AddressFamily:
    """IPv6 where the machine has it: such a socket occupies the IPv4 port too."""
    return socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
