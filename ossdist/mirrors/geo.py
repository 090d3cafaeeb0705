"""Where a host is: from MaxMind's databases, from Metalink, or from the caller.

Without any database all works, only that nobody's place is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from platformdirs import user_data_path

from ossdist.clock import Clock, SystemClock
from ossdist.errors import FormatError, StorageError
from ossdist.foreign_text import shown
from ossdist.mirrors.geo_database import Address, GeoDatabase, Kind, country_code, load_database
from ossdist.mirrors.sites import NOWHERE, Place, distance_km
from ossdist.store.files import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

log = logging.getLogger(__name__)

CHECK_EVERY_S = 60.0
"""How often the files are looked at, in seconds."""

RESOLVE_S = 3.0
"""How long the look-up of a host's name may take, in seconds."""

_MOST_ADDRESSES = 32
"""So many of a host's addresses are looked at."""

_LONGEST_HOST = 253
"""Characters of a name (RFC 1035, section 2.3.4, without its last dot)."""

_LONGEST_ADDRESS = 64
"""Characters of an IPv6 address (INET6_ADDRSTRLEN) and its zone."""

_SAME_PLACE_KM = 100.0
"""Closer than a city's database can tell: two addresses of one machine often differ by so much."""

_MOST_OF_A_NAME = 3
"""Of files whose names bear a date, so many are tried, the newest first."""

_Value = TypeVar("_Value", str, int)

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the IP addresses of a host's name; raises OSError if it has none."""


class GeoDatabases:
    """Databases that tell the place of an IP address; a context manager.

    A file that changes is read again: files are looked at before a look-up, at most every ``check_every_s``. If a new
    version is damaged or gone, the old one stays in use, and it is tried again the next time. Look-ups may come from
    any thread.

    Args:
        paths: The databases. None: those found in ``folders``, the first of each kind. An empty one: none at all.
        folders: Where databases are looked for; None for the usual places.
        clock: Time.
        check_every_s: How often files are looked at, in seconds.

    Raises:
        StorageError: A file of ``paths`` cannot be read.
        FormatError: A file of ``paths`` is damaged, too long, or no database of a known kind.
    """

    def __init__(
        self,
        paths: Sequence[Path] | None = None,
        *,
        folders: Sequence[Path] | None = None,
        clock: Clock | None = None,
        check_every_s: float = CHECK_EVERY_S,
    ) -> None:
        self._paths = None if paths is None else tuple(paths)
        self._folders = usual_folders() if folders is None else tuple(folders)
        self._clock = clock or SystemClock()
        self._check_every_s = check_every_s
        self._lock = threading.Lock()
        self._closed = False
        self._complaints: dict[Path, str] = {}
        self._checked_s = self._clock.monotonic_s()
        # Replaced as a whole, never altered: other threads read it without the lock.
        self._databases: tuple[GeoDatabase, ...] = ()
        self._databases = self._search() if self._paths is None else _in_order(map(load_database, self._paths))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files in use, the more exact ones first."""
        return tuple(database.path for database in self._databases)

    def place_of(self, address: str) -> Place:
        """The place of an IP address.

        It takes some microseconds; when a file has changed, as long as reading that. Where that would disturb, call it
        from a thread.

        Args:
            address: IPv4, IPv6, or IPv4 in IPv6 (RFC 4291, section 2.5.5.2).

        Returns:
            What all databases together know of it. NOWHERE if none has it, and for an address that is not public.

        Raises:
            ValueError: It is no IP address.
        """
        parsed = _parse(address)
        if parsed.is_multicast or not parsed.is_global:
            return NOWHERE
        self._refresh()
        place = NOWHERE
        for database in self._databases:
            try:
                place |= database.place_of(parsed)
            except FormatError as error:
                self._complain(database.path, error)
        return place

    def close(self) -> None:
        """Forgets the databases: from now on every place is NOWHERE."""
        with self._lock:
            self._closed = True
            self._databases = ()

    def _refresh(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._checked_s < self._check_every_s or not self._lock.acquire(blocking=False):
            return  # while another thread reads a new version, the old one answers
        try:
            if not self._closed:
                self._checked_s = now_s
                self._databases = self._search() if self._paths is None else self._renew_given()
        finally:
            self._lock.release()

    def _renew_given(self) -> tuple[GeoDatabase, ...]:
        return _in_order(self._newest(database.path) or database for database in self._databases)

    def _search(self) -> tuple[GeoDatabase, ...]:
        found: list[GeoDatabase] = []
        for kind in Kind:
            for path in _candidates(self._folders, kind):
                if _covers(found, kind):
                    break
                database = self._newest(path)
                if database is not None and not _covers(found, database.kind):
                    found.append(database)
        for old in self._databases:  # a file that vanished, with none in its place
            if not _covers(found, old.kind):
                found.append(old)
        return _in_order(found)

    def _newest(self, path: Path) -> GeoDatabase | None:
        """What stands in a file now; what stood there before if that is damaged; None if nothing did."""
        old = next((database for database in self._databases if database.path == path), None)
        if old is not None and stamp(path) == old.stamp:
            return old
        try:
            new = load_database(path)
        except (FormatError, StorageError) as error:
            self._complain(path, error)
            return old
        self._complaints.pop(path, None)
        log.info("the places of hosts are read from %s", path)
        return new

    def _complain(self, path: Path, error: FormatError | StorageError) -> None:
        """Logs what is wrong with a file, but not the same thing at every look."""
        if self._complaints.get(path) != str(error):
            self._complaints[path] = str(error)
            log.warning("geographic database not used, or its last good version: %s", error)


def usual_folders() -> tuple[Path, ...]:
    """Where databases are looked for: the user's own folder, then where geoipupdate and distributions put them."""
    system = (Path("/var/lib/GeoIP"), Path("/usr/local/share/GeoIP"), Path("/usr/share/GeoIP"))
    return (user_data_path("GeoIP", appauthor=False), *system)


async def place_of_host(
    host: str, databases: GeoDatabases, *, resolve: Resolve | None = None, timeout_s: float = RESOLVE_S
) -> Place:
    """The place of a mirror: what all addresses of its host have in common.

    If they are in different countries, it is a content delivery network, and nobody knows which of them will answer.

    Args:
        host: A name or an IP address; one of IPv6 may stand in brackets, as in an address of the web.
        databases: They tell the places.
        resolve: Gives the addresses of a name; None for the system's way.
        timeout_s: How long that may take, in seconds.

    Returns:
        The place, NOWHERE if the name has no address, or not in time.
    """
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    addresses: Sequence[str] = ()
    if 0 < len(host) <= _LONGEST_HOST + 1:
        # ValueError: a name that cannot be written in the DNS (UnicodeError), or has a zero in it.
        with contextlib.suppress(OSError, ValueError):
            async with asyncio.timeout(timeout_s):
                addresses = [host] if _is_address(host) else await (resolve or _system_addresses)(host)
    return await asyncio.to_thread(_place_of_all, addresses[:_MOST_ADDRESSES], databases) if addresses else NOWHERE


def country_place(location: str) -> Place:
    """The place that Metalink's ``location`` names (RFC 5854, ``metalink:url``): a country, and nothing more of it.

    Args:
        location: ISO 3166-1 alpha-2, in capitals or not.

    Returns:
        The place; NOWHERE if it does not have that form.
    """
    return Place(country=country_code(location))


def client_place(given: Place | None, public_address: str | None, databases: GeoDatabases) -> Place:
    """Where this client is. It may read a database, see `GeoDatabases.place_of`.

    Args:
        given: What the caller says; it alone counts, also if it is NOWHERE. None if the caller says nothing.
        public_address: The IP address under which others see this client, None if that is not known.
        databases: They tell its place.

    Returns:
        The place; NOWHERE if it cannot be told, or the address is none: others have said it.
    """
    if given is not None:
        return given
    return NOWHERE if public_address is None else _place_or_nowhere(public_address, databases)


def agreed_place(places: Iterable[Place]) -> Place:
    """What places have in common. One that is not known contradicts nobody. Pure.

    Coordinates are the first one's, if all are in one country and within 100 km of it.
    """
    known = [place for place in places if place != NOWHERE]
    countries = {place.country for place in known if place.country is not None}
    located = [place for place in known if place.latitude is not None and place.longitude is not None]
    at = located[0] if located and len(countries) <= 1 else NOWHERE
    if any((distance_km(at, place) or 0.0) > _SAME_PLACE_KM for place in located):
        at = NOWHERE
    return Place(
        country=_the_one(countries),
        continent=_the_one({place.continent for place in known if place.continent is not None}),
        asn=_the_one({place.asn for place in known if place.asn is not None}),
        latitude=at.latitude,
        longitude=at.longitude,
    )


def _candidates(folders: Sequence[Path], kind: Kind) -> Iterable[Path]:
    """Files whose names say that they are of a kind; only what they say of themselves counts afterwards."""
    name = kind.value
    for folder in folders:
        for pattern in (f"GeoIP2-{name}.mmdb", f"GeoLite2-{name}.mmdb", f"dbip-{name.lower()}*.mmdb"):
            found: list[Path] = []
            with contextlib.suppress(OSError):  # a folder that cannot be read has none
                found = sorted(folder.glob(pattern), reverse=True)
            yield from found[:_MOST_OF_A_NAME]


def _covers(databases: Iterable[GeoDatabase], kind: Kind) -> bool:
    kinds = {database.kind for database in databases}
    return kind in kinds or (kind is Kind.COUNTRY and Kind.CITY in kinds)


def _in_order(databases: Iterable[GeoDatabase]) -> tuple[GeoDatabase, ...]:
    order = tuple(Kind)
    return tuple(sorted(databases, key=lambda database: order.index(database.kind)))


def _parse(text: str) -> Address:
    """Reads an IP address; one of IPv4 that is written as IPv6 becomes what it is."""
    try:
        address = ipaddress.ip_address(text) if len(text) <= _LONGEST_ADDRESS else None
    except ValueError:
        address = None  # the library's message has the text whole and as it is
    if address is None:
        raise ValueError(f"{shown(text)!r} is no IP address")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_address(text: str) -> bool:
    try:
        _parse(text)
    except ValueError:
        return False
    return True


async def _system_addresses(host: str) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(where[0]) for *_, where in found]


def _place_of_all(addresses: Sequence[str], databases: GeoDatabases) -> Place:
    return agreed_place(_place_or_nowhere(address, databases) for address in addresses)


def _place_or_nowhere(address: str, databases: GeoDatabases) -> Place:
    try:
        return databases.place_of(address)
    except ValueError:
        return NOWHERE


def _the_one(values: set[_Value]) -> _Value | None:
    return next(iter(values)) if len(values) == 1 else None
