"""What is known of a mirror before it is asked: where it is, and what its operator and publisher say of it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a host is, as far as that is known.

    Attributes:
        country: ISO 3166-1 alpha-2, lower case.
        continent: Two letters, lower case: af, an, as, eu, na, oc, sa (as MaxMind's databases name them).
        asn: Number of its autonomous system.
        latitude: Degrees north.
        longitude: Degrees east.
    """

    country: str | None = None
    continent: str | None = None
    asn: int | None = None
    latitude: float | None = None
    longitude: float | None = None

    def __or__(self, other: Place) -> Place:
        """This place, and from the other one what is not known of this. Coordinates are taken together or not at all.

        If the two disagree on the country, nothing is taken.
        """
        if self.country is not None and other.country is not None and self.country != other.country:
            return self
        has_coordinates = self.latitude is not None and self.longitude is not None
        coordinates = self if has_coordinates else other
        return Place(
            country=self.country if self.country is not None else other.country,
            continent=self.continent if self.continent is not None else other.continent,
            asn=self.asn if self.asn is not None else other.asn,
            latitude=coordinates.latitude,
            longitude=coordinates.longitude,
        )


NOWHERE = Place()
"""Nothing is known."""


class Serves(Enum):
    """Whom a mirror serves."""

    ANYBODY = "anybody"
    CONTINENT = "continent"
    COUNTRY = "country"
    NETWORK = "network"
    """Its own autonomous system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An HTTP server that has a release's files: a copy of the channel's folder, or what has them at other places.

    Attributes:
        url: Base address of the folder, by which the mirror is called.
        place: Where it is.
        priority: Metalink's (RFC 5854): lower is preferred, 1 is the best; 999,999 the last.
        weight: Its part among its equals in percent of an ordinary one, as its operator wishes; 0 for none at all.
        serves: Whom it serves.
        files: If it is no copy of the channel's folder: each file's address, by its path in the release's torrents.
    """

    url: str
    place: Place = NOWHERE
    priority: int = 1
    weight: float = 100.0
    serves: Serves = Serves.ANYBODY
    files: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


_EARTH_RADIUS_KM = 6371.0


def distance_km(one: Place, other: Place) -> float | None:
    """Great-circle distance by the haversine formula, in kilometres; None if one of the two is not known."""
    if one.latitude is None or one.longitude is None or other.latitude is None or other.longitude is None:
        return None
    north, south = math.radians(one.latitude), math.radians(other.latitude)
    east = math.radians(other.longitude - one.longitude)
    chord = math.sin((south - north) / 2) ** 2 + math.cos(north) * math.cos(south) * math.sin(east / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))
