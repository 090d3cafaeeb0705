"""One geographic database: read whole into memory, and asked. What stands in it is hostile.

It is in the MaxMind DB format (https://maxmind.github.io/MaxMind-DB/), of the kinds City, Country or ASN; DB-IP makes
them too. It is read into memory, not mapped: a mapped file that somebody cuts short in place ends the process with
SIGBUS, and its old content would be gone while the new one is only half written.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from typing import TYPE_CHECKING

from geoip2.database import MODE_FD, Reader
from geoip2.errors import AddressNotFoundError
from geoip2.models import ASN, City, Country
from maxminddb import InvalidDatabaseError

from ossdist.errors import FormatError
from ossdist.foreign_text import shown
from ossdist.mirrors.sites import NOWHERE, Place
from ossdist.store.files import FileStamp, open_regular, reading

if TYPE_CHECKING:
    from pathlib import Path

MAX_DATABASE_BYTES = 512 << 20
"""The longest database that is read. MaxMind's City has about 60 MiB, DB-IP's 130 MiB."""

_CONTINENTS = frozenset({"af", "an", "as", "eu", "na", "oc", "sa"})

_SEPARATOR = bytes(16)
"""What stands between a database's search tree and its data ("Data Section Separator")."""

_MALFORMED = (
    InvalidDatabaseError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RecursionError,
)
"""What geoip2 and maxminddb raise on a damaged file, or on a record that is not of the form that its kind has."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Kind(Enum):
    """What a database tells, by its name in file names; the more exact ones first."""

    CITY = "City"
    COUNTRY = "Country"
    ASN = "ASN"


_KINDS = (
    ("City", Kind.CITY, Reader.city),
    ("Enterprise", Kind.CITY, Reader.enterprise),
    ("Country", Kind.COUNTRY, Reader.country),
    ("GeoLite2-ASN", Kind.ASN, Reader.asn),  # DB-IP's type is "DBIP-ASN-Lite (compat=GeoLite2-ASN)"
    ("GeoIP2-ISP", Kind.ASN, Reader.isp),
)
"""A part of the type that a database says it is, its kind, and how it is asked; as geoip2 tells them apart."""

_Ask = Callable[[Address], Country | ASN]


@dataclass(frozen=True, slots=True)
class GeoDatabase:
    """A database in memory. Nothing in it ever changes, so any thread may ask it, and there is nothing to close.

    Attributes:
        path: The file that it was read from.
        stamp: That file's, when it was read.
        kind: What it tells.
        ip_version: 4 if it has no addresses of IPv6, otherwise 6.
    """

    path: Path
    stamp: FileStamp
    kind: Kind
    ip_version: int
    _ask: _Ask

    def place_of(self, address: Address) -> Place:
        """The place of an address; NOWHERE if the database does not have it.

        Raises:
            FormatError: Its record is damaged.
        """
        if address.version > self.ip_version:
            return NOWHERE
        try:
            found = self._ask(address)
            return _place_in(found)
        except AddressNotFoundError:
            return NOWHERE
        except _MALFORMED as error:
            # Without the address, so that it is one complaint for all of them.
            raise FormatError(
                f"damaged inside ({type(error).__name__}). Fetch it again", document=str(self.path)
            ) from error


def load_database(path: Path) -> GeoDatabase:
    """Reads a database; its kind is what it says itself, not what its name says.

    Raises:
        StorageError: The file cannot be read, or is no regular file.
        FormatError: It is damaged, half written, longer than `MAX_DATABASE_BYTES`, or of no known kind.
    """
    with reading(path), open_regular(path) as stream:
        before = _stamp_of(stream.fileno())
        if before.length > MAX_DATABASE_BYTES:
            raise FormatError(f"longer than {MAX_DATABASE_BYTES} bytes. Is it the right file?", document=str(path))
        data = stream.read(before.length + 1)
        if _stamp_of(stream.fileno()) != before or len(data) != before.length:
            raise FormatError("it was written while it was read. Try it again later", document=str(path))
    try:
        return _opened(data, path, before)
    except _MALFORMED as error:
        raise FormatError(
            f"no whole City, Country or ASN database in MaxMind's format ({shown(str(error))}). Fetch it again",
            document=str(path),
        ) from error


def country_code(value: object) -> str | None:
    """A country of ISO 3166-1 alpha-2 in small letters; None if it does not have that form.

    Args:
        value: Anything, from anywhere.
    """
    if not isinstance(value, str) or len(value) != 2 or not (value.isascii() and value.isalpha()):
        return None
    return value.lower()


class _NamedBytes(BytesIO):
    """What is read already, for a reader that puts the name into its messages."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def _opened(data: bytes, path: Path, file_stamp: FileStamp) -> GeoDatabase:
    reader = Reader(_NamedBytes(data, path.name), mode=MODE_FD)
    about = reader.metadata()
    if about.ip_version not in {4, 6}:
        raise ValueError(f"its addresses are of version {about.ip_version}")
    if not data.startswith(_SEPARATOR, about.search_tree_size):
        # Its head and its end are of different versions: what says how long the tree is stands at the end.
        raise ValueError("its search tree does not end where it should")
    for word, kind, ask in _KINDS:
        if word in about.database_type:
            return GeoDatabase(path, file_stamp, kind, about.ip_version, _asking(reader, ask))
    raise ValueError(f"its type is {about.database_type!r}")


def _asking(reader: Reader, ask: Callable[[Reader, Address], Country | ASN]) -> _Ask:
    return lambda address: ask(reader, address)


def _stamp_of(descriptor: int) -> FileStamp:
    found = os.fstat(descriptor)
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ino)


def _place_in(found: Country | ASN) -> Place:
    """What is believed of a record, whatever stands in it."""
    if isinstance(found, ASN):
        return Place(asn=_asn(found.autonomous_system_number))
    latitude = longitude = None
    if isinstance(found, City):
        latitude, longitude = _degrees(found.location.latitude, 90), _degrees(found.location.longitude, 180)
    has_both = latitude is not None and longitude is not None
    return Place(
        country=country_code(found.country.iso_code),
        continent=_continent(found.continent.code),
        latitude=latitude if has_both else None,
        longitude=longitude if has_both else None,
    )


def _continent(value: object) -> str | None:
    code = country_code(value)
    return code if code in _CONTINENTS else None


def _asn(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 1 <= value < 1 << 32 else None  # RFC 6793; 0 is nobody's (RFC 7607)


def _degrees(value: object, most: int) -> float | None:
    if isinstance(value, bool) or not isinstance(value, float | int):
        return None
    return float(value) if -most <= value <= most else None  # NaN is not, either
