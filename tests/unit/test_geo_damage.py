"""Geographic databases that are damaged, half written, or made to hurt."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from geoip2.database import MODE_MEMORY, Reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdb_writer import METADATA_MAGIC, MmdbF32

from ossdist.errors import FormatError
from ossdist.mirrors.geo import CHECK_EVERY_S, GeoDatabases
from ossdist.mirrors.geo_database import MAX_DATABASE_BYTES, load_database
from ossdist.mirrors.sites import NOWHERE, Place
from tests.geo_databases import (
    BRITISH,
    BRITISH_6,
    SWEDISH,
    HandClock,
    asn_record,
    build,
    build_raw,
    city_record,
    country_record,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LONDON = Place(country="gb", continent="eu", latitude=51.5, longitude=-0.125)
CITIES = {"81.2.69.0/24": city_record("GB", "EU", 51.5, -0.125)}


def warnings(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# --- files -----------------------------------------------------------------------------------------------


def test_half_a_new_version_leaves_the_old_one_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = build(tmp_path / "a.mmdb", CITIES), HandClock()
    databases = GeoDatabases([path], clock=clock)
    new = build(tmp_path / "b.mmdb", {"81.2.69.0/24": city_record("SE", "EU", 59.25, 18.0)}).read_bytes()
    for length in (0, 10, len(new) // 2, len(new) - 30):
        path.write_bytes(new[:length])  # in place: what a mapped reader would stumble over
        clock.time_s += CHECK_EVERY_S
        assert databases.place_of(BRITISH) == LONDON
    path.write_bytes(new)
    clock.time_s += CHECK_EVERY_S
    assert databases.place_of(BRITISH).country == "se"
    assert all(str(path) in text for text in warnings(caplog))


def test_the_same_damage_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = build(tmp_path / "a.mmdb", CITIES)
    databases = GeoDatabases([path], check_every_s=0.0)
    path.write_bytes(b"damaged")
    for _ in range(5):
        assert databases.place_of(BRITISH) == LONDON
    assert len(warnings(caplog)) == 1


def test_the_head_of_one_version_and_the_end_of_another(tmp_path: Path) -> None:
    old = build(tmp_path / "a.mmdb", CITIES).read_bytes()
    many = {f"81.{n}.69.0/24": city_record("SE", "EU", 59.25, 18.0) for n in range(64)}
    new = build(tmp_path / "b.mmdb", many).read_bytes()
    assert len(new) > len(old)
    torn = tmp_path / "torn.mmdb"
    with Reader(tmp_path / "a.mmdb", mode=MODE_MEMORY) as reader:
        end_of_tree = reader.metadata().search_tree_size + 16
    torn.write_bytes(new[:end_of_tree] + old[end_of_tree:])
    with pytest.raises(FormatError, match="search tree does not end"):
        load_database(torn)


def test_a_file_that_is_written_while_it_is_read() -> None:
    # Its length is 0, and there is something in it.
    with pytest.raises(FormatError, match="written while it was read"):
        load_database(Path("/proc/self/status"))


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = build(tmp_path / "GeoLite2-City.mmdb", CITIES)
    end = path.read_bytes()
    with path.open("r+b") as stream:  # a hole, and then a good end
        stream.seek(MAX_DATABASE_BYTES + 1 - len(end))
        stream.write(end)
    with pytest.raises(FormatError, match="longer than"):
        GeoDatabases([path])
    assert GeoDatabases(folders=[tmp_path]).paths == ()
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"node_count": 1 << 31},
        {"node_count": "1"},
        {"node_count": 1.5},
        {"node_count": math.nan},
        {"record_size": 12},
        {"record_size": [24]},
        {"ip_version": 5},
        {"ip_version": [4]},
        {"database_type": 7},
        {"database_type": ""},
        {"database_type": "x" * 100_000},
        {"unheard_of": 1},
    ],
)
def test_metadata_that_lie(tmp_path: Path, metadata: dict[str, object]) -> None:
    with pytest.raises(FormatError) as caught:
        load_database(build_raw(tmp_path / "a.mmdb", b"\xe0", **metadata))
    assert len(str(caught.value)) < 1000


def test_metadata_that_are_no_map(tmp_path: Path) -> None:
    path = tmp_path / "a.mmdb"
    for metadata in (b"", b"\x42GB", b"\xe1\xe0\xe0", b"\x01\x04" * 100_000):
        path.write_bytes(bytes(100) + METADATA_MAGIC + metadata)
        with pytest.raises(FormatError):
            load_database(path)


# --- records ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("country", ["zz1", "", "g", "1b", "ÄÖ", "g\n", 7, True, ["GB"], {"a": "GB"}, b"GB"])
def test_countries_that_are_none(tmp_path: Path, country: object) -> None:
    path = build(tmp_path / "a.mmdb", {"81.2.69.0/24": city_record(country, "EU", 51.5, -0.125)})
    assert GeoDatabases([path]).place_of(BRITISH) == Place(continent="eu", latitude=51.5, longitude=-0.125)


@pytest.mark.parametrize("continent", ["xx", "Europe", "", 1, ["EU"]])
def test_continents_that_are_none(tmp_path: Path, continent: object) -> None:
    path = build(tmp_path / "a.mmdb", {"81.2.69.0/24": country_record("GB", continent)}, "GeoLite2-Country")
    assert GeoDatabases([path]).place_of(BRITISH) == Place(country="gb")


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (1e9, 0.0),
        (0.0, 181.0),
        (-90.5, 0.0),
        (math.nan, 0.0),
        (0.0, math.inf),
        (MmdbF32(math.nan), MmdbF32(1.0)),
        ("51.5", "0"),
        (True, False),
        ([51.5], 0.0),
        (2**127, 0.0),
    ],
)
def test_coordinates_that_are_none(tmp_path: Path, latitude: object, longitude: object) -> None:
    path = build(tmp_path / "a.mmdb", {"81.2.69.0/24": city_record("GB", "EU", latitude, longitude)})
    assert GeoDatabases([path]).place_of(BRITISH) == Place(country="gb", continent="eu")


def test_coordinates_may_be_whole_numbers(tmp_path: Path) -> None:
    path = build(tmp_path / "a.mmdb", {"81.2.69.0/24": city_record("GB", "EU", 51, MmdbF32(0.5))})
    place = GeoDatabases([path]).place_of(BRITISH)
    assert (place.latitude, place.longitude) == (51.0, 0.5)
    assert isinstance(place.latitude, float)


@pytest.mark.parametrize("number", [0, -1, 1 << 32, 1 << 127, 1.5, True, "20712", [20712]])
def test_networks_that_are_none(tmp_path: Path, number: object) -> None:
    path = build(tmp_path / "a.mmdb", {"81.2.69.0/24": asn_record(number)}, "GeoLite2-ASN")
    assert GeoDatabases([path]).place_of(BRITISH) == NOWHERE


@pytest.mark.parametrize("number", [1, (1 << 32) - 1])
def test_the_first_and_the_last_network(tmp_path: Path, number: int) -> None:
    path = build(tmp_path / "a.mmdb", {"81.2.69.0/24": asn_record(number)}, "GeoLite2-ASN")
    assert GeoDatabases([path]).place_of(BRITISH) == Place(asn=number)


@pytest.mark.parametrize(
    "record",
    [
        {"country": "GB"},
        {"country": {"iso_code": "GB"}, "traits": 5},
        {"country": {"iso_code": "GB"}, "subdivisions": 5},
        {"country": {"iso_code": "GB"}, "ip_address": "8.8.8.8"},
        {"location": [1, 2]},
        ["GB"],
        "GB",
        7,
    ],
)
def test_records_of_another_form(tmp_path: Path, record: object, caplog: pytest.LogCaptureFixture) -> None:
    city = build(tmp_path / "a.mmdb", {"81.2.69.0/24": record})
    asn = build(tmp_path / "b.mmdb", {"81.2.69.0/24": asn_record(20712)}, "GeoLite2-ASN")
    databases = GeoDatabases([city, asn])
    for _ in range(3):
        assert databases.place_of(BRITISH) == Place(asn=20712)  # the other database is asked all the same
    assert len(warnings(caplog)) == 1
    assert str(city) in warnings(caplog)[0]


def test_a_record_that_is_too_deep(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = build_raw(tmp_path / "a.mmdb", b"\x01\x04" * 100_000)  # arrays of one array
    assert GeoDatabases([path]).place_of(BRITISH) == NOWHERE
    assert len(warnings(caplog)) == 1


def test_a_record_that_unfolds_into_too_much(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    levels = 60
    data = b"".join(b"\x02\x04" + 2 * pointer_to(6 * (level + 1)) for level in range(levels)) + b"\x42GB"
    path = build_raw(tmp_path / "a.mmdb", data)  # 2**60 strings in 360 bytes
    assert GeoDatabases([path]).place_of(BRITISH) == NOWHERE
    assert len(warnings(caplog)) == 1


def pointer_to(offset: int) -> bytes:
    return bytes([0x20 | offset >> 8, offset & 0xFF])


def test_a_record_that_points_at_itself(tmp_path: Path) -> None:
    assert GeoDatabases([build_raw(tmp_path / "a.mmdb", b"\x01\x04" + pointer_to(0))]).place_of(BRITISH) == NOWHERE
    assert GeoDatabases([build_raw(tmp_path / "b.mmdb", pointer_to(0))]).place_of(BRITISH) == NOWHERE


def test_a_record_past_the_end(tmp_path: Path) -> None:
    assert GeoDatabases([build_raw(tmp_path / "a.mmdb", pointer_to(2000))]).place_of(BRITISH) == NOWHERE


# --- anything --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = {**CITIES, "2a02:6b40::/32": city_record("SE", "EU", 59.25, 18.0)}
    return build(tmp_path_factory.mktemp("whole") / "a.mmdb", records)


def is_sound(place: Place) -> bool:
    return (
        (place.country is None or (len(place.country) == 2 and place.country.islower()))
        and place.continent in {None, "af", "an", "as", "eu", "na", "oc", "sa"}
        and (place.latitude is None) == (place.longitude is None)
        and abs(place.latitude or 0.0) <= 90
        and abs(place.longitude or 0.0) <= 180
        and (place.asn is None or 1 <= place.asn < 1 << 32)
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0.5, 1.0),
    st.sampled_from([0.0, 0.0, 0.9, 0.97]),
)
def test_any_damage_is_told_or_harmless(whole: Path, flips: list[tuple[float, int]], kept: float, start: float) -> None:
    """Bytes are altered, of the whole file or of its end, where data and metadata are; or it is cut short."""
    data = bytearray(whole.read_bytes())
    for where, value in flips:
        data[min(len(data) - 1, int(len(data) * (start + (1 - start) * where)))] = value
    damaged = whole.with_name("damaged.mmdb")
    damaged.write_bytes(data[: int(len(data) * kept)] if kept < 0.75 else data)
    try:
        databases = GeoDatabases([damaged])
    except FormatError:
        return
    assert all(is_sound(databases.place_of(address)) for address in (BRITISH, SWEDISH, BRITISH_6))


@given(st.binary(max_size=200))
def test_any_data_are_told_or_harmless(whole: Path, data: bytes) -> None:
    path = build_raw(whole.with_name("raw.mmdb"), data)
    assert is_sound(GeoDatabases([path]).place_of(BRITISH))
