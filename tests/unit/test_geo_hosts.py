"""The place of a mirror, from the addresses of its host."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from ossdist.mirrors.geo import GeoDatabases, agreed_place, place_of_host
from ossdist.mirrors.sites import NOWHERE, Place
from tests.asynchronous import asynchronous
from tests.geo_databases import AMERICAN, ANYONE, BRITISH, BRITISH_6, SWEDISH, asn_record, build, city_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ossdist.mirrors.geo import Resolve

LONDON = Place(country="gb", continent="eu", asn=5, latitude=51.5, longitude=-0.125)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> GeoDatabases:
    folder = tmp_path_factory.mktemp("geo")
    cities = {
        "81.2.69.0/24": city_record("GB", "EU", 51.5, -0.125),
        "2a02:6b40::/32": city_record("GB", "EU", 51.75, 0.25),
        "89.160.20.0/24": city_record("SE", "EU", 59.25, 18.0),
        "216.160.83.0/24": city_record("US", "NA", 47.5, -122.0),
    }
    networks = {network: asn_record(5) for network in cities}
    paths = [build(folder / "city.mmdb", cities), build(folder / "asn.mmdb", networks, "GeoLite2-ASN")]
    return GeoDatabases(paths)


def names(*addresses: str) -> Resolve:
    async def resolve(host: str) -> Sequence[str]:
        assert host == "mirror.example"
        return addresses

    return resolve


@asynchronous
async def test_a_host_with_one_address(databases: GeoDatabases) -> None:
    assert await place_of_host("mirror.example", databases, resolve=names(BRITISH)) == LONDON


@asynchronous
async def test_both_families_of_one_machine(databases: GeoDatabases) -> None:
    # The coordinates differ a little, as they do: the first one's are taken.
    assert await place_of_host("mirror.example", databases, resolve=names(BRITISH, BRITISH_6)) == LONDON


@asynchronous
async def test_an_address_that_is_not_known_contradicts_nobody(databases: GeoDatabases) -> None:
    resolve = names(ANYONE, "10.0.0.1", "nonsense", BRITISH)
    assert await place_of_host("mirror.example", databases, resolve=resolve) == LONDON


@asynchronous
async def test_addresses_in_different_countries_keep_what_they_agree_on(databases: GeoDatabases) -> None:
    one_continent = await place_of_host("mirror.example", databases, resolve=names(BRITISH, SWEDISH))
    assert one_continent == Place(continent="eu", asn=5)
    whole_world = await place_of_host("mirror.example", databases, resolve=names(BRITISH, SWEDISH, AMERICAN))
    assert whole_world == Place(asn=5)


@asynchronous
async def test_an_address_needs_no_name_service(databases: GeoDatabases) -> None:
    assert await place_of_host(BRITISH, databases, resolve=names()) == LONDON
    assert (await place_of_host(f"[{BRITISH_6}]", databases, resolve=names())).country == "gb"


@asynchronous
async def test_many_addresses_are_not_all_looked_at(databases: GeoDatabases) -> None:
    resolve = names(*[BRITISH] * 32, *[SWEDISH] * 100_000)
    assert await place_of_host("mirror.example", databases, resolve=resolve) == LONDON


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "no"), OSError("no"), UnicodeError("no")])
@asynchronous
async def test_a_name_that_is_not_found_is_nowhere(databases: GeoDatabases, error: Exception) -> None:
    async def resolve(host: str) -> Sequence[str]:
        raise error

    assert await place_of_host("mirror.example", databases, resolve=resolve) == NOWHERE
    assert await place_of_host("mirror.example", databases, resolve=names()) == NOWHERE


@asynchronous
async def test_a_name_service_that_is_silent_is_nowhere(databases: GeoDatabases) -> None:
    async def resolve(host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    assert await place_of_host("mirror.example", databases, resolve=resolve, timeout_s=0.001) == NOWHERE


@asynchronous
async def test_it_can_be_cancelled(databases: GeoDatabases) -> None:
    asked = asyncio.Event()

    async def resolve(host: str) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(place_of_host("mirror.example", databases, resolve=resolve))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("host", ["", "[]", "localhost", "127.0.0.1", "a..b", "a\0b", "\ud800", "x" * 300, "x" * 64])
@asynchronous
async def test_the_systems_own_way(databases: GeoDatabases, host: str) -> None:
    """What the system has no address for, or none that is public; no question leaves this machine."""
    assert await place_of_host(host, databases) == NOWHERE


@asynchronous
async def test_a_name_that_is_too_long_is_not_looked_up(databases: GeoDatabases) -> None:
    async def resolve(host: str) -> Sequence[str]:
        raise AssertionError(host)

    assert await place_of_host("x." * 500, databases, resolve=resolve) == NOWHERE


def test_what_places_agree_on() -> None:
    assert agreed_place([]) == agreed_place([NOWHERE]) == NOWHERE
    seattle = Place(country="us", continent="na", latitude=47.5, longitude=-122.0)
    boston = Place(country="us", continent="na", latitude=42.25, longitude=-71.0)
    assert agreed_place([seattle, boston]) == Place(country="us", continent="na")
    assert agreed_place([seattle, Place(asn=7), Place(country="us")]) == seattle | Place(asn=7)
    # On both sides of a border: close, but nobody knows which.
    one, other = Place(country="de", latitude=47.5, longitude=7.5), Place(country="fr", latitude=47.5, longitude=7.5)
    assert agreed_place([one, other]) == NOWHERE
