"""Which mirrors to ask, and in which order. Pure.

Three things decide, in this order. Who cannot serve this client is left out, with the reason. Of the rest, those of the
best priority come first (RFC 5854, and apt's ``mirror+`` method). Among them the order is drawn by lot, so that many
clients spread over mirrors that are about as good: each one's chance is its score, and of a thousand clients in one
place no mirror gets more than its part.

The score of a mirror is mirrorbits' (http/selection.go), for a geographic distance, times what was measured of it: how
fast it was, and how often it failed. Without a place, of the client or of the mirrors, the operators' weights and the
measurements alone decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.mirrors.sites import NOWHERE, Place, Serves, Site, distance_km

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

_RANGE = 1.5
"""mirrorbits' `WeightDistributionRange`: who is at most so much farther than the closest one is as good as near."""

_FARTHEST_KM = 20_016.0
"""Half the circumference of the earth: the distance of a mirror whose place is not known."""

_LEAST_FACTOR, _MOST_FACTOR = 0.1, 4.0
"""Bounds of what measurements make of a score: nobody is forgotten, and nobody gets everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of a mirror, by this client.

    Attributes:
        bytes_per_s: Its rate; None if it was not asked yet.
        reliability: The part of requests that it fulfilled, 0 to 1.
        rests_s: For so long it is not asked, since it failed.
        reason: Why it rests.
    """

    bytes_per_s: float | None = None
    reliability: float = 1.0
    rests_s: float = 0.0
    reason: str = ""


UNKNOWN = Measured()
"""It was not asked yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller says of mirrors, by the beginning of their addresses; it goes before everything else.

    Attributes:
        ban: Never asked.
        order: If there are any: these alone, in this order.
        prefer: These before all others.
        place: Where the client is.
    """

    ban: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Ranked:
    """A mirror that may be asked.

    Attributes:
        site: It.
        score: What its chance among its equals is in proportion to.
        share: That chance, of being the first of them: 0 to 1.
        distance_km: From the client; None if that is not known.
    """

    site: Site
    score: float
    share: float
    distance_km: float | None


@dataclass(frozen=True, slots=True)
class Excluded:
    """A mirror that is not asked.

    Attributes:
        site: It.
        reason: Why.
        rests_s: It will be, after so long; infinite if not.
    """

    site: Site
    reason: str
    rests_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Ranking:
    """The mirrors to ask, the best first, and those that are not asked."""

    mirrors: tuple[Ranked, ...]
    excluded: tuple[Excluded, ...]

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of those to ask, the best first."""
        return tuple(ranked.site.url for ranked in self.mirrors)


@dataclass(slots=True)
class _Draft:
    accepted: list[Site] = field(default_factory=list[Site])
    excluded: list[Excluded] = field(default_factory=list[Excluded])


def rank(sites: Sequence[Site], wishes: Wishes, measured: Mapping[str, Measured], *, rng: Random) -> Ranking:
    """Ranks mirrors for one client.

    Args:
        sites: All that there are, each address once.
        wishes: The caller's.
        measured: What was measured of each, by its address.
        rng: Draws lots.
    """
    draft = _Draft()
    for site in sites:
        found = _exclusion(site, wishes, measured.get(site.url, UNKNOWN))
        if found is None:
            draft.accepted.append(site)
        else:
            draft.excluded.append(found)
    tiers: dict[tuple[int, int], list[Site]] = {}
    for site in draft.accepted:
        tiers.setdefault(_tier(site, wishes), []).append(site)
    mirrors = [ranked for _, tier in sorted(tiers.items()) for ranked in _draw(tier, wishes.place, measured, rng)]
    return Ranking(tuple(mirrors), tuple(draft.excluded))


def _exclusion(site: Site, wishes: Wishes, measured: Measured) -> Excluded | None:
    here, there = wishes.place, site.place
    rules = (
        (_named(site, wishes.ban) is not None, "banned by the configuration"),
        (bool(wishes.order) and _named(site, wishes.order) is None, "not in the order that the configuration gives"),
        (site.weight <= 0, "its weight is 0"),
        (site.serves is Serves.CONTINENT and not _same(here.continent, there.continent), "serves its continent alone"),
        (site.serves is Serves.COUNTRY and not _same(here.country, there.country), "serves its country alone"),
        (site.serves is Serves.NETWORK and not _same(here.asn, there.asn), "serves its own network alone"),
    )
    reason = next((reason for applies, reason in rules if applies), None)
    if reason is not None:
        return Excluded(site, reason)
    if measured.rests_s > 0:
        return Excluded(site, measured.reason or "it failed", measured.rests_s)
    return None


def _same(one: object, other: object) -> bool:
    return one is not None and one == other


def _named(site: Site, addresses: Sequence[str]) -> int | None:
    """Which of some addresses this one begins with."""
    url = site.url.rstrip("/") + "/"
    return next((n for n, address in enumerate(addresses) if url.startswith(address.rstrip("/") + "/")), None)


def _tier(site: Site, wishes: Wishes) -> tuple[int, int]:
    if wishes.order:
        return (_named(site, wishes.order) or 0, 0)
    return (int(_named(site, wishes.prefer) is None), site.priority)


def _draw(tier: Sequence[Site], here: Place, measured: Mapping[str, Measured], rng: Random) -> list[Ranked]:
    """Equals in an order by lot; an exponential race draws without replacement, each time by score.

    (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.)
    """
    distances = [distance_km(here, site.place) for site in tier]
    near = geographic_scores([site.place for site in tier], distances, here)
    scores = [score * site.weight * _factor(site, tier, measured) for score, site in zip(near, tier, strict=True)]
    total = sum(scores)
    keyed = [
        (rng.expovariate(1.0) / score, Ranked(site, score, score / total, distance))
        for site, score, distance in zip(tier, scores, distances, strict=True)
    ]
    return [ranked for _, ranked in sorted(keyed, key=lambda pair: pair[0])]


def geographic_scores(places: Sequence[Place], distances: Sequence[float | None], here: Place) -> list[float]:
    """The weight of each mirror in mirrorbits' lottery, before the operators' weights.

    mirrorbits (http/selection.go): a base, the distance of the farthest; each mirror scores base - distance + 1; one
    within 1.5 times the closest distance adds base - distance, half of it if it is in another country; one farther in
    the client's country adds base - 5 x distance; one in the client's network adds base / 2. What a score is above the
    base is the mirror's weight in the lottery. Two things are different here. Who is not above the base takes part with
    the least weight, 1, instead of never: it may be the one that works. And the operator's weight multiplies what is
    above the base, not the score, so that mirrors in one place are chosen in proportion to their weights.

    Args:
        places: Of the mirrors.
        distances: Of each from the client, in km; None if it is not known.
        here: Where the client is.
    """
    if all(distance is None for distance in distances):  # by country at least, where that is known
        return [2.0 if _same(place.country, here.country) else 1.0 for place in places]
    known = [_FARTHEST_KM if distance is None else distance for distance in distances]
    base, closest = int(max(known)), min(known)
    scores: list[float] = []
    for place, km in zip(places, known, strict=True):
        in_country = _same(place.country, here.country)
        score = base - int(km) + 1
        if km <= closest * _RANGE:
            score += int((base - km) / (1 if in_country else 2))
        elif in_country:
            score += int(base - 5 * km)
        if _same(place.asn, here.asn):
            score += base // 2
        scores.append(float(max(score - base, 1)))
    return scores


def _factor(site: Site, tier: Sequence[Site], measured: Mapping[str, Measured]) -> float:
    """What measurements make of a score: its rate in proportion to its equals', and how often it failed.

    One that was not asked yet counts as an ordinary one; so it will be.
    """
    found = measured.get(site.url, UNKNOWN)
    rates = [rate for other in tier if (rate := measured.get(other.url, UNKNOWN).bytes_per_s)]
    speed = 1.0
    if found.bytes_per_s and len(rates) > 1:
        speed = found.bytes_per_s / math.exp(sum(map(math.log, rates)) / len(rates))
    return min(_MOST_FACTOR, max(_LEAST_FACTOR, speed * found.reliability**2))
