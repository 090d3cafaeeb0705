"""Which mirrors are asked, and how many clients ask each."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.mirrors.ranking import Measured, Wishes, geographic_scores, rank
from ossdist.mirrors.sites import NOWHERE, Place, Serves, Site, distance_km

BERLIN = Place(country="de", continent="eu", asn=680, latitude=52.52, longitude=13.40)
PARIS = Place(country="fr", continent="eu", asn=2200, latitude=48.86, longitude=2.35)
NEW_YORK = Place(country="us", continent="na", asn=11, latitude=40.71, longitude=-74.01)
SYDNEY = Place(country="au", continent="oc", asn=7575, latitude=-33.87, longitude=151.21)
HERE = Wishes(place=BERLIN)


def site(name: str, place: Place = NOWHERE, **more: object) -> Site:
    return replace(Site(url=f"https://{name}.example/pub/", place=place), **more)  # type: ignore[arg-type]


def first_choices(
    sites: list[Site], wishes: Wishes = HERE, *, clients: int = 10_000, **measured: Measured
) -> Counter[str]:
    known = {f"https://{name}.example/pub/": found for name, found in measured.items()}
    return Counter(rank(sites, wishes, known, rng=Random(number)).urls[0] for number in range(clients))


# --- distances -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "km"), [(PARIS, 878), (NEW_YORK, 6385), (SYDNEY, 16_094), (BERLIN, 0)])
def test_distances(place: Place, km: float) -> None:
    assert distance_km(BERLIN, place) == pytest.approx(km, rel=0.005, abs=1)
    assert distance_km(place, NOWHERE) is None


def test_opposite_places_are_half_the_way_round() -> None:
    pole = Place(latitude=90.0, longitude=0.0)
    assert distance_km(pole, Place(latitude=-90.0, longitude=77.0)) == pytest.approx(math.pi * 6371)


def test_what_is_known_of_a_place_comes_from_two_sources() -> None:
    assert Place(country="de") | BERLIN == BERLIN
    assert BERLIN | PARIS == BERLIN
    assert NOWHERE | PARIS == PARIS
    assert Place(country="fr") | BERLIN == Place(country="fr")  # they contradict each other
    assert Place(latitude=1.0) | PARIS == PARIS


# --- the formula -----------------------------------------------------------------------------------------

# By hand after mirrorbits' http/selection.go, with an admin score of 0: base = 1000; what is above it counts.
GOLDEN = [
    # distance, country, asn -> weight of the lottery
    ((100.0, "de", 1), 801),  # near, at home: 1000-100+1 + 900 = 1801
    ((100.0, "fr", 1), 351),  # near, abroad: 901 + 450 = 1351
    ((140.0, "fr", 1), 291),  # within 1.5 x the closest: 861 + 430 = 1291
    ((151.0, "fr", 1), 1),  # not any more: 850
    ((151.0, "de", 1), 95),  # but at home: 850 + (1000-755) = 1095
    ((300.0, "de", 1), 1),  # 701 + (1000-1500) < 1000
    ((300.0, "fr", 680), 201),  # in the same network: 701 + 500
    ((1000.0, "us", 1), 1),  # the farthest: 1
]


@pytest.mark.parametrize(("mirror", "weight"), GOLDEN)
def test_scores_are_those_of_mirrorbits(mirror: tuple[float, str, int], weight: float) -> None:
    km, country, asn = mirror
    places = [Place(country=country, asn=asn), Place(country="xx", asn=2), Place(country="us", asn=3)]
    assert geographic_scores(places, [km, 100.0, 1000.0], BERLIN)[0] == weight


def test_an_unknown_place_is_as_far_as_can_be() -> None:
    assert geographic_scores([PARIS, NOWHERE], [878.0, None], BERLIN)[1] == 1


def test_without_coordinates_the_country_counts() -> None:
    assert geographic_scores([Place(country="de"), Place(country="fr"), NOWHERE], [None] * 3, BERLIN) == [2, 1, 1]
    assert geographic_scores([Place(country="de"), NOWHERE], [None] * 2, NOWHERE) == [1, 1]


# --- the lottery -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [NOWHERE, PARIS])
def test_many_clients_spread_by_weight(place: Place) -> None:
    """No mirror gets more than 1.25 times its share of 10,000 clients."""
    weights = {"a": 100.0, "b": 200.0, "c": 400.0, "d": 50.0, "e": 100.0}
    chosen = first_choices([site(name, place, weight=weight) for name, weight in weights.items()])
    for name, weight in weights.items():
        share = chosen[f"https://{name}.example/pub/"] / 10_000
        assert 0.75 < share / (weight / 850) < 1.25


def test_near_mirrors_are_chosen_before_far_ones() -> None:
    chosen = first_choices([site("near", PARIS), site("far", SYDNEY)], clients=1000)
    assert chosen["https://near.example/pub/"] > 990


def test_shares_are_chances() -> None:
    ranking = rank([site("a"), site("b", weight=300.0)], HERE, {}, rng=Random(1))
    assert {ranked.site.url[8]: ranked.share for ranked in ranking.mirrors} == {"a": 0.25, "b": 0.75}


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=8), st.integers(0, 1 << 30))
def test_every_mirror_comes_once(weights: list[float], seed: int) -> None:
    sites = [site(f"m{number}", weight=weight) for number, weight in enumerate(weights)]
    ranking = rank(sites, HERE, {}, rng=Random(seed))
    assert sorted(ranking.urls) == sorted(each.url for each in sites)
    assert sum(ranked.share for ranked in ranking.mirrors) == pytest.approx(1.0)
    assert not ranking.excluded


def test_priorities_come_before_everything() -> None:
    sites = [site("far", SYDNEY, priority=1), site("near", BERLIN, priority=2), site("last", BERLIN, priority=999_999)]
    assert rank(sites, HERE, {}, rng=Random(1)).urls == tuple(each.url for each in sites)


def test_what_was_measured_counts() -> None:
    slow, fast = Measured(bytes_per_s=1e6), Measured(bytes_per_s=4e6)
    chosen = first_choices([site("slow"), site("fast"), site("new")], slow=slow, fast=fast)
    counts = [chosen[f"https://{name}.example/pub/"] for name in ("slow", "new", "fast")]
    assert counts == sorted(counts)
    assert counts[2] > 3 * counts[0]
    unreliable = first_choices([site("a"), site("b")], a=Measured(reliability=0.5))
    assert unreliable["https://a.example/pub/"] < 2500


def test_nobody_is_forgotten_because_it_was_slow_once() -> None:
    chosen = first_choices([site("slow"), site("fast")], slow=Measured(bytes_per_s=1.0), fast=Measured(bytes_per_s=1e9))
    assert chosen["https://slow.example/pub/"] > 100


# --- who is left out -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mirror", "wishes", "reason"),
    [
        (site("a"), Wishes(ban=("https://a.example/",)), "banned"),
        (site("a", weight=0.0), HERE, "weight"),
        (site("a"), Wishes(order=("https://b.example/",)), "not in the order"),
        (site("a", PARIS, serves=Serves.COUNTRY), HERE, "country"),
        (site("a", NEW_YORK, serves=Serves.CONTINENT), HERE, "continent"),
        (site("a", PARIS, serves=Serves.NETWORK), HERE, "network"),
        (site("a", serves=Serves.COUNTRY), Wishes(), "country"),
        (site("a", NOWHERE, serves=Serves.NETWORK), Wishes(), "network"),
    ],
)
def test_every_exclusion_has_a_reason(mirror: Site, wishes: Wishes, reason: str) -> None:
    ranking = rank([mirror], wishes, {}, rng=Random(1))
    assert not ranking.mirrors
    assert reason in ranking.excluded[0].reason
    assert math.isinf(ranking.excluded[0].rests_s)


@pytest.mark.parametrize("serves", list(Serves))
def test_who_serves_this_client_is_asked(serves: Serves) -> None:
    assert rank([site("a", BERLIN, serves=serves)], HERE, {}, rng=Random(1)).mirrors


def test_who_rests_is_named_with_the_time() -> None:
    resting = Measured(rests_s=12.0, reason="status 503")
    ranking = rank([site("a"), site("b")], HERE, {"https://a.example/pub/": resting}, rng=Random(1))
    assert ranking.urls == ("https://b.example/pub/",)
    assert (ranking.excluded[0].reason, ranking.excluded[0].rests_s) == ("status 503", 12.0)


# --- the caller's word -----------------------------------------------------------------------------------


def test_the_caller_prefers() -> None:
    sites = [site("near", BERLIN), site("far", SYDNEY, priority=9)]
    assert rank(sites, replace(HERE, prefer=("https://far.example",)), {}, rng=Random(1)).urls[0] == sites[1].url


def test_the_caller_orders() -> None:
    sites = [site(name) for name in "abcd"]
    order = ("https://c.example/", "https://a.example/")
    ranking = rank(sites, replace(HERE, order=order), {}, rng=Random(1))
    assert ranking.urls == (sites[2].url, sites[0].url)
    assert len(ranking.excluded) == 2


def test_an_address_is_not_the_beginning_of_another_hosts() -> None:
    sites = [Site(url="https://a.example.org/"), Site(url="https://a.example/")]
    ranking = rank(sites, Wishes(ban=("https://a.example",)), {}, rng=Random(1))
    assert ranking.urls == ("https://a.example.org/",)
