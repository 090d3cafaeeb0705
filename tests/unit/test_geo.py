"""Places from geographic databases: look-ups, which databases are used, and that they are read again."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.errors import FormatError, StorageError
from ossdist.mirrors.geo import CHECK_EVERY_S, GeoDatabases, client_place, country_place, usual_folders
from ossdist.mirrors.sites import NOWHERE, Place
from tests.geo_databases import (
    AMERICAN,
    BRITISH,
    BRITISH_6,
    SWEDISH,
    HandClock,
    asn_record,
    build,
    city_record,
    country_record,
)

if TYPE_CHECKING:
    from pathlib import Path

LONDON = Place(country="gb", continent="eu", latitude=51.5, longitude=-0.125)
STOCKHOLM = Place(country="se", continent="eu", latitude=59.25, longitude=18.0)

CITIES = {
    "81.2.69.0/24": city_record("GB", "EU", 51.5, -0.125),
    "89.160.20.0/24": city_record("SE", "EU", 59.25, 18.0),
    "10.0.0.0/8": city_record("GB", "EU", 51.5, -0.125),
    "224.0.0.0/4": city_record("GB", "EU", 51.5, -0.125),
    "fe80::/10": city_record("GB", "EU", 51.5, -0.125),
    "ff0e::/16": city_record("GB", "EU", 51.5, -0.125),
    "2a02:6b40::/32": city_record("GB", "EU", 51.5, -0.125),
}
NETWORKS = {"81.2.69.0/24": asn_record(20712), "216.160.83.0/24": asn_record(209)}


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> GeoDatabases:
    folder = tmp_path_factory.mktemp("geo")
    city = build(folder / "city.mmdb", CITIES)
    return GeoDatabases([build(folder / "asn.mmdb", NETWORKS, "GeoLite2-ASN"), city])


# --- looking up ------------------------------------------------------------------------------------------


def test_city_and_network_are_one_place(databases: GeoDatabases) -> None:
    assert databases.place_of(BRITISH) == Place(
        country="gb", continent="eu", asn=20712, latitude=51.5, longitude=-0.125
    )
    assert databases.place_of(SWEDISH) == STOCKHOLM
    assert databases.place_of(AMERICAN) == Place(asn=209)


def test_both_families(databases: GeoDatabases) -> None:
    assert databases.place_of(BRITISH_6) == LONDON
    assert databases.place_of(f"::ffff:{SWEDISH}") == databases.place_of("::ffff:59a0:1470") == STOCKHOLM


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "127.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.1.2.3", "224.0.0.1", "ff0e::1", "0.0.0.0", "8.8.8.8"],  # noqa: S104
)
def test_private_and_unknown_addresses_are_nowhere(databases: GeoDatabases, address: str) -> None:
    assert databases.place_of(address) == NOWHERE


@pytest.mark.parametrize(
    "text", ["", "mirror.example", "1.2.3", "1.2.3.4/24", "[::1]", " 8.8.8.8", "fe80::1%" + "a" * 99]
)
def test_what_is_no_address_is_the_callers_mistake(databases: GeoDatabases, text: str) -> None:
    with pytest.raises(ValueError, match="is no IP address"):
        databases.place_of(text)


def test_the_message_cannot_move_a_cursor(databases: GeoDatabases) -> None:
    with pytest.raises(ValueError, match="is no IP address") as caught:
        databases.place_of("\x1b[2J" + "long " * 10_000)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text() | st.ip_addresses().map(str) | st.from_regex(r"[0-9a-f:.%]{1,70}", fullmatch=True))
def test_any_text_is_a_place_or_a_mistake(databases: GeoDatabases, text: str) -> None:
    try:
        place = databases.place_of(text)
    except ValueError:
        return
    assert place.country in {None, "gb", "se"}


@pytest.mark.parametrize(
    ("kind", "record", "expected"),
    [
        ("GeoIP2-City", city_record("GB", "EU", 51.5, -0.125), LONDON),
        ("DBIP-City-Lite", city_record("GB", "EU", 51.5, -0.125), LONDON),
        ("GeoIP2-Enterprise", city_record("GB", "EU", 51.5, -0.125), LONDON),
        ("GeoLite2-Country", country_record("GB", "EU"), Place(country="gb", continent="eu")),
        ("DBIP-Country-Lite", country_record("GB", "EU"), Place(country="gb", continent="eu")),
        ("GeoLite2-ASN", asn_record(20712), Place(asn=20712)),
        ("DBIP-ASN-Lite (compat=GeoLite2-ASN)", asn_record(20712), Place(asn=20712)),
        ("GeoIP2-ISP", asn_record(20712), Place(asn=20712)),
    ],
)
def test_a_database_says_itself_what_it_tells(
    tmp_path: Path, kind: str, record: dict[str, object], expected: Place
) -> None:
    path = build(tmp_path / "GeoLite2-Something.mmdb", {"81.2.69.0/24": record}, kind)
    assert GeoDatabases([path]).place_of(BRITISH) == expected


def test_a_database_of_the_old_addresses_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = build(tmp_path / "a.mmdb", {"81.2.69.0/24": CITIES["81.2.69.0/24"]}, ip_version=4)
    databases = GeoDatabases([path])
    assert databases.place_of(BRITISH) == LONDON
    assert databases.place_of(BRITISH_6) == NOWHERE
    assert caplog.records == []  # it is not damaged


def test_a_city_goes_before_a_country_that_disagrees(tmp_path: Path) -> None:
    country = build(tmp_path / "a.mmdb", {"81.2.69.0/24": country_record("FR", "EU")}, "GeoLite2-Country")
    city = build(tmp_path / "b.mmdb", CITIES)
    databases = GeoDatabases([country, city])
    assert databases.place_of(BRITISH) == LONDON
    assert databases.paths == (city, country)


# --- which databases -------------------------------------------------------------------------------------


def test_without_databases_all_is_nowhere(tmp_path: Path) -> None:
    for databases in (GeoDatabases([]), GeoDatabases(folders=[tmp_path, tmp_path / "none"])):
        assert databases.paths == ()
        assert databases.place_of(BRITISH) == NOWHERE


def test_a_given_one_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        GeoDatabases([tmp_path / "none.mmdb"])
    with pytest.raises(StorageError, match="Is a directory"):
        GeoDatabases([tmp_path])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="no regular file"):
        GeoDatabases([tmp_path / "pipe"])


@pytest.mark.parametrize("kind", ["GeoIP2-Domain", "GeoIP2-Anonymous-IP", "Somebody's"])
def test_a_given_one_of_the_wrong_kind(tmp_path: Path, kind: str) -> None:
    path = build(tmp_path / "GeoLite2-City.mmdb", CITIES, kind)
    with pytest.raises(FormatError, match=kind):
        GeoDatabases([path])


def test_the_first_one_of_each_kind_is_found(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir()
    far.mkdir()
    asn = build(near / "GeoLite2-ASN.mmdb", NETWORKS, "GeoLite2-ASN")
    build(near / "GeoLite2-Country.mmdb", {"81.2.69.0/24": country_record("FR", "EU")}, "GeoLite2-Country")
    build(far / "GeoLite2-City.mmdb", {})
    city = build(far / "GeoIP2-City.mmdb", CITIES, "GeoIP2-City")
    build(far / "GeoIP2-ASN.mmdb", {}, "GeoLite2-ASN")
    build(far / "somebody.mmdb", {})
    databases = GeoDatabases(folders=[near, far])
    assert databases.paths == (city, asn)
    assert databases.place_of(BRITISH) == LONDON | Place(asn=20712)


def test_the_newest_month_is_found(tmp_path: Path) -> None:
    build(tmp_path / "dbip-city-lite-2024-04.mmdb", {}, "DBIP-City-Lite")
    newest = build(tmp_path / "dbip-city-lite-2024-05.mmdb", CITIES, "DBIP-City-Lite")
    clock = HandClock()
    databases = GeoDatabases(folders=[tmp_path], clock=clock)
    assert databases.paths == (newest,)
    newest = build(tmp_path / "dbip-city-lite-2024-06.mmdb", {}, "DBIP-City-Lite")
    clock.time_s += CHECK_EVERY_S
    assert databases.place_of(BRITISH) == NOWHERE
    assert databases.paths == (newest,)


def test_of_many_months_not_all_are_tried(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for month in range(10, 30):
        (tmp_path / f"dbip-asn-lite-{month}.mmdb").write_bytes(b"damaged")
    assert GeoDatabases(folders=[tmp_path]).paths == ()
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 3


def test_a_found_one_counts_as_what_it_says(tmp_path: Path) -> None:
    build(tmp_path / "GeoLite2-City.mmdb", NETWORKS, "GeoLite2-ASN")
    assert GeoDatabases(folders=[tmp_path]).place_of(BRITISH) == Place(asn=20712)


def test_a_found_one_that_is_damaged_is_logged_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "GeoIP2-City.mmdb").write_bytes(b"\x1b[2Jdamaged")
    good = build(tmp_path / "GeoLite2-City.mmdb", CITIES)
    (tmp_path / "GeoLite2-ASN.mmdb").mkdir()
    databases = GeoDatabases(folders=[tmp_path])
    assert databases.paths == (good,)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [name in text for name, text in zip(("GeoIP2-City", "GeoLite2-ASN"), warnings, strict=True)] == [True, True]


def test_a_database_that_comes_later_is_found(tmp_path: Path) -> None:
    clock = HandClock()
    databases = GeoDatabases(folders=[tmp_path], clock=clock)
    assert databases.place_of(BRITISH) == NOWHERE
    build(tmp_path / "GeoLite2-City.mmdb", CITIES)
    clock.time_s += CHECK_EVERY_S
    assert databases.place_of(BRITISH) == LONDON


def test_the_usual_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert [str(folder) for folder in usual_folders()] == [
        f"{tmp_path}/GeoIP",
        "/var/lib/GeoIP",
        "/usr/local/share/GeoIP",
        "/usr/share/GeoIP",
    ]
    (tmp_path / "GeoIP").mkdir()
    build(tmp_path / "GeoIP" / "GeoLite2-City.mmdb", CITIES)
    assert GeoDatabases().place_of(BRITISH).country == "gb"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert usual_folders()[0] == tmp_path / ".local/share/GeoIP"


# --- reading again ---------------------------------------------------------------------------------------


def test_a_replaced_file_is_read_again_but_not_at_every_look_up(tmp_path: Path) -> None:
    path, clock = build(tmp_path / "a.mmdb", CITIES), HandClock()
    databases = GeoDatabases([path], clock=clock, check_every_s=10.0)
    assert databases.place_of(BRITISH) == LONDON
    build(path, {"81.2.69.0/24": CITIES["89.160.20.0/24"]})
    clock.time_s += 9.0
    assert databases.place_of(BRITISH) == LONDON
    clock.time_s += 1.0
    assert databases.place_of(BRITISH) == STOCKHOLM


def test_each_of_time_length_and_inode_tells_a_new_version(tmp_path: Path) -> None:
    path, clock = build(tmp_path / "a.mmdb", CITIES), HandClock()
    databases = GeoDatabases([path], clock=clock, check_every_s=0.0)
    # Of the same length; a Swede where the Briton was.
    other = {**CITIES, "81.2.69.0/24": city_record("SE", "EU", 59.25, 18.0)}
    swapped = build(tmp_path / "b.mmdb", {**other, "89.160.20.0/24": CITIES["81.2.69.0/24"]})
    assert swapped.stat().st_size == path.stat().st_size
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    os.utime(swapped, ns=times)
    british = path.read_bytes()
    swapped.replace(path)  # another inode alone
    assert databases.place_of(BRITISH) == STOCKHOLM
    path.write_bytes(british)
    os.utime(path, ns=(times[0], times[1] + 1))  # another time alone
    assert databases.place_of(BRITISH) == LONDON


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = build(tmp_path / "a.mmdb", CITIES)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    databases = GeoDatabases([path], check_every_s=0.0)
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, ns=times)
    assert databases.place_of(BRITISH) == LONDON
    assert caplog.records == []  # nobody has seen the damage


def test_a_found_one_that_gets_damaged_stays_before_the_next(tmp_path: Path) -> None:
    path = build(tmp_path / "GeoIP2-City.mmdb", CITIES)
    build(tmp_path / "GeoLite2-City.mmdb", {})
    databases = GeoDatabases(folders=[tmp_path], check_every_s=0.0)
    path.write_bytes(b"damaged")
    assert databases.place_of(BRITISH) == LONDON


def test_a_vanished_file_stays_in_use(tmp_path: Path) -> None:
    given, found = build(tmp_path / "a.mmdb", CITIES), build(tmp_path / "GeoLite2-City.mmdb", CITIES)
    both = [GeoDatabases([given], check_every_s=0.0), GeoDatabases(folders=[tmp_path], check_every_s=0.0)]
    given.unlink()
    found.unlink()
    assert [databases.place_of(BRITISH) for databases in both] == [LONDON, LONDON]
    build(given, {})
    build(found, {})
    assert [databases.place_of(BRITISH) for databases in both] == [NOWHERE, NOWHERE]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    path, before = build(tmp_path / "a.mmdb", CITIES), count()
    with GeoDatabases([path], check_every_s=0.0) as databases:
        for records in (CITIES, {}, CITIES):
            build(path, records)
            databases.place_of(BRITISH)
        path.write_bytes(b"damaged")
        databases.place_of(BRITISH)
        assert count() == before
    assert count() == before


def test_after_the_end_nothing_is_known(tmp_path: Path) -> None:
    path = build(tmp_path / "GeoLite2-City.mmdb", CITIES)
    for databases in (GeoDatabases([path], check_every_s=0.0), GeoDatabases(folders=[tmp_path], check_every_s=0.0)):
        with databases:
            assert databases.place_of(BRITISH) == LONDON
        assert databases.place_of(BRITISH) == NOWHERE
        databases.close()


def test_threads_look_up_while_it_is_replaced(tmp_path: Path) -> None:
    path = build(tmp_path / "a.mmdb", CITIES)
    databases = GeoDatabases([path], check_every_s=0.0)
    swedish = {"81.2.69.0/24": CITIES["89.160.20.0/24"]}
    done, seen, failed = threading.Event(), set[Place](), list[BaseException]()

    def look() -> None:
        try:
            while not done.is_set():
                seen.add(databases.place_of(BRITISH))
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for records in (swedish, CITIES) * 10:
        build(path, records)
    done.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert seen <= {LONDON, STOCKHOLM}
    assert databases.place_of(BRITISH) == LONDON


# --- a country, a client ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("location", "country"), [("de", "de"), ("DE", "de"), ("Gb", "gb")])
def test_metalinks_location_is_a_country(location: str, country: str) -> None:
    assert country_place(location) == Place(country=country)


@pytest.mark.parametrize("location", ["", "d", "deu", "d1", "ÄÖ", "d\n", "d\N{LATIN SMALL LETTER LONG S}", "\x1b["])
def test_other_locations_are_nowhere(location: str) -> None:
    assert country_place(location) == NOWHERE


def test_the_callers_word_goes_before_the_public_address(databases: GeoDatabases) -> None:
    assert client_place(Place(country="fr"), BRITISH, databases) == Place(country="fr")
    assert client_place(NOWHERE, BRITISH, databases) == NOWHERE
    assert client_place(None, SWEDISH, databases) == STOCKHOLM
    assert client_place(None, None, databases) == NOWHERE
    assert client_place(None, "192.168.1.2", databases) == NOWHERE
    assert client_place(None, "no address", databases) == NOWHERE
