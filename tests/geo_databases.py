"""Geographic databases for tests: written with mmdb-writer, or by hand where they have to be damaged."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmdb_writer import METADATA_MAGIC, Encoder, MMDBWriter
from netaddr import IPSet  # pyright: ignore[reportMissingTypeStubs]

from ossdist.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BRITISH, SWEDISH, AMERICAN, ANYONE = "81.2.69.160", "89.160.20.112", "216.160.83.56", "1.128.0.1"
"""Public addresses: a database says where they are."""

BRITISH_6 = "2a02:6b40::1"


@dataclass
class HandClock(SystemClock):
    """A clock that is moved by hand."""

    time_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.time_s


def city_record(country: object, continent: object, latitude: object, longitude: object) -> dict[str, object]:
    return {
        "city": {"names": {"en": "Somewhere"}},
        "continent": {"code": continent, "names": {"en": "A continent"}},
        "country": {"iso_code": country, "names": {"en": "A country"}},
        "location": {"latitude": latitude, "longitude": longitude, "time_zone": "Etc/UTC"},
    }


def country_record(country: object, continent: object) -> dict[str, object]:
    return {"continent": {"code": continent}, "country": {"iso_code": country}}


def asn_record(number: object) -> dict[str, object]:
    return {"autonomous_system_number": number, "autonomous_system_organization": "Somebody"}


def build(path: Path, records: Mapping[str, object], kind: str = "GeoLite2-City", *, ip_version: int = 6) -> Path:
    """Writes a database and puts it in place at once.

    Args:
        path: Where.
        records: By network, for instance ``81.2.69.0/24``.
        kind: The type that it says it is.
        ip_version: 4 or 6.
    """
    writer = MMDBWriter(ip_version, kind, languages=["en"], ipv4_compatible=ip_version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)  # pyright: ignore[reportArgumentType]
    temporary = path.with_name(f"{path.name}.new")
    writer.to_db_file(str(temporary))
    temporary.replace(path)
    return path


def build_raw(path: Path, data: bytes, **metadata: object) -> Path:
    """Writes a database of IPv4 that has the same data for every address.

    Args:
        path: Where.
        data: Its data section, as bytes.
        metadata: What its metadata shall say otherwise.
    """
    about = {
        "node_count": 1,
        "record_size": 24,
        "ip_version": 4,
        "database_type": "GeoLite2-City",
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "description": {"en": "Raw"},
        **metadata,
    }
    found_at = struct.pack(">I", 1 + 16)[1:]  # the number of nodes, and the first byte after the separator
    tree = found_at * 2
    # Not by `encode_meta`: it cannot write a value of a wrong type.
    encode = Encoder(cache=False).encode
    written = b"".join(encode(name) + encode(value) for name, value in about.items())
    path.write_bytes(tree + bytes(16) + data + METADATA_MAGIC + bytes([0xE0 | len(about)]) + written)
    return path
