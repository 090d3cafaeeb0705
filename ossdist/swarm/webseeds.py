"""Which web seed stands at which address.

libtorrent tells of a connected web seed only its address and what its server calls itself ("nginx/1.22"), and of one
that refuses the connection only the address. So the addresses of all web seeds are looked up here, beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from urllib.parse import urlsplit

from ossdist.transfer.metainfo import Address

_PORTS = {"http": 80, "https": 443}

_PATIENCE_S = 1.0
"""libtorrent has just looked the same name up, so the answer is near."""


class WebSeedAddresses:
    """The addresses of a torrent's web seeds. Used on the event loop; `at` may be called from any thread.

    Web seeds of one host and port cannot be told apart: what they do counts for the one that came first.
    """

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[Address, ...]] = {}
        self._urls: dict[Address, str] = {}
        self._lookups: dict[str, asyncio.Task[None]] = {}

    def add(self, url: str) -> None:
        """Learns where a web seed stands; a name is looked up in the background."""
        if url in self._addresses:
            return
        self._set(url, ())
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:  # libtorrent refuses such an address as well, and says so
            return
        try:
            self._set(url, (Address(str(ipaddress.ip_address(host)), port),))
        except ValueError:
            self._lookups[url] = asyncio.create_task(self._look_up(url, host, port))

    async def until_known(self, address: Address) -> None:
        """Waits a moment for the name of who stands there, if names are being looked up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while self.at(address) is None and (
                    pending := [task for task in self._lookups.values() if not task.done()]
                ):
                    await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    def remove(self, url: str) -> None:
        """Forgets a web seed."""
        if url in self._lookups:
            self._lookups.pop(url).cancel()
        self._addresses.pop(url, None)
        self._index()

    def at(self, address: Address) -> str | None:
        """The web seed that stands there; None if none does, or if that is not known yet."""
        return self._urls.get(address)

    def close(self) -> None:
        """Forgets all."""
        for url in tuple(self._addresses):
            self.remove(url)

    async def _look_up(self, url: str, host: str, port: int) -> None:
        with contextlib.suppress(OSError, UnicodeError):  # libtorrent cannot find it either, and says so
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._set(url, tuple(Address(str(where[0]), port) for *_, where in found))

    def _set(self, url: str, addresses: tuple[Address, ...]) -> None:
        self._addresses[url] = addresses
        self._index()

    def _index(self) -> None:
        # A new dictionary each time, since other threads read it.
        urls: dict[Address, str] = {}
        for url, addresses in self._addresses.items():
            for address in addresses:
                urls.setdefault(address, url)
        self._urls = urls
