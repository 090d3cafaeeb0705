"""Where hosts are, and what lies between them: places, shared links, delays. Built with networkx."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import networkx as nx

if TYPE_CHECKING:
    from collections.abc import Sequence

CORE = "core"


@dataclass(frozen=True, slots=True)
class Place:
    """A network in which hosts are: an access network, a campus, an autonomous system.

    Attributes:
        name: Its name.
        region: Its country or continent, for policies that look at it.
        nat: Its hosts cannot be dialled from other places.
        blocks_peers: Its firewall lets no BitTorrent through to other places; HTTP passes.
    """

    name: str
    region: str = ""
    nat: bool = False
    blocks_peers: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """A host's own line.

    Attributes:
        up_bps: Bytes a second that it sends at most.
        down_bps: Bytes a second that it receives at most.
    """

    up_bps: float
    down_bps: float


@dataclass(frozen=True)
class Topology:
    """Places, and the ways between them.

    Attributes:
        places: All of them; elsewhere they are named by their number here.
        capacities: Of every shared link in one direction, in bytes a second.
        routes: The shared links from one place to another, by both numbers.
        delays_s: One way, from one place to another; inside one place the delay of its own network.
    """

    places: tuple[Place, ...]
    capacities: tuple[float, ...]
    routes: dict[tuple[int, int], tuple[int, ...]] = field(repr=False)
    delays_s: dict[tuple[int, int], float] = field(repr=False)

    @property
    def longest_route(self) -> int:
        """The most shared links between two places."""
        return max(map(len, self.routes.values()), default=0)

    def may_dial(self, dialler: int, taker: int) -> bool:
        """Whether a peer in one place can open a connection to one in another."""
        if dialler == taker:
            return True
        blocked = self.places[dialler].blocks_peers or self.places[taker].blocks_peers
        return not blocked and not self.places[taker].nat

    def rtt_s(self, one: int, other: int) -> float:
        """Round-trip time without queues."""
        return self.delays_s[one, other] + self.delays_s[other, one]

    def place_numbers(self, region: str) -> tuple[int, ...]:
        """The places of a region."""
        return tuple(number for number, place in enumerate(self.places) if place.region == region)


class Builder:
    """Puts a topology together.

    Args:
        inside_s: One-way delay between two hosts of one place.
    """

    def __init__(self, *, inside_s: float = 0.001) -> None:
        self._graph: nx.DiGraph[str] = nx.DiGraph()
        self._places: list[Place] = []
        self._capacities: dict[tuple[str, str], float] = {}
        self._inside_s = inside_s

    def place(self, place: Place) -> str:
        """Adds a place; returns its name, which `link` takes."""
        if place.name in self._graph or place.name == CORE:
            raise ValueError(f"there is a place or router {place.name!r} already")
        self._places.append(place)
        self._graph.add_node(place.name)
        return place.name

    def link(
        self, one: str, other: str, *, up_bps: float = math.inf, down_bps: float = math.inf, delay_s: float = 0.005
    ) -> None:
        """Joins two nodes of the network: places, or names that stand for routers.

        Args:
            one: A node.
            other: Another one.
            up_bps: Bytes a second from the first to the second.
            down_bps: Bytes a second from the second to the first.
            delay_s: One way.
        """
        for edge, capacity in (((one, other), up_bps), ((other, one), down_bps)):
            self._graph.add_edge(*edge, delay=delay_s)
            if not math.isinf(capacity):
                self._capacities[edge] = capacity

    def build(self) -> Topology:
        """The topology, with the ways of least delay.

        Raises:
            ValueError: A place cannot be reached from another one.
        """
        number_of = {edge: number for number, edge in enumerate(self._capacities)}
        routes: dict[tuple[int, int], tuple[int, ...]] = {}
        delays: dict[tuple[int, int], float] = {}
        for here, place in enumerate(self._places):
            found = nx.single_source_dijkstra(self._graph, place.name, weight="delay")
            lengths, paths = cast("tuple[dict[str, float], dict[str, list[str]]]", found)
            for there, other in enumerate(self._places):
                if other.name not in paths:
                    raise ValueError(f"there is no way from {place.name!r} to {other.name!r}")
                edges = itertools.pairwise(paths[other.name])
                routes[here, there] = tuple(number_of[edge] for edge in edges if edge in number_of)
                delays[here, there] = lengths[other.name] if here != there else self._inside_s
        return Topology(tuple(self._places), tuple(self._capacities.values()), routes, delays)


# --- the shapes that scenarios name ----------------------------------------------------------------------


def star(places: Sequence[Place] = (Place("net"),), *, delay_s: float = 0.01) -> Topology:
    """Places around a core that never fills up: only the hosts' own lines count.

    Args:
        places: All of them.
        delay_s: One way between any two hosts.
    """
    builder = Builder(inside_s=delay_s)
    for place in places:
        builder.link(builder.place(place), CORE, delay_s=delay_s / 2)
    return builder.build()


def clusters(
    count: int, *, uplink_bps: float, near_s: float = 0.002, far_s: float = 0.025, regions: int = 1
) -> Topology:
    """Autonomous systems, each with one shared line to the rest.

    Args:
        count: How many.
        uplink_bps: Bytes a second of each one's line, in each direction.
        near_s: One-way delay inside of one.
        far_s: One-way delay between two.
        regions: How many regions they are spread over.
    """
    builder = Builder(inside_s=near_s)
    for number in range(count):
        name = builder.place(Place(f"as{number}", region=f"region{number % regions}"))
        builder.link(name, CORE, up_bps=uplink_bps, down_bps=uplink_bps, delay_s=far_s / 2)
    return builder.build()


def transit(
    *, backbones: int, networks: int, backbone_bps: float, uplink_bps: float, far_s: float = 0.04, near_s: float = 0.004
) -> Topology:
    """A hierarchy: access networks below regional backbones, which are joined to each other.

    Args:
        backbones: How many; each is a region.
        networks: Access networks below each.
        backbone_bps: Bytes a second between two backbones, in each direction.
        uplink_bps: Bytes a second of an access network's line, in each direction.
        far_s: One-way delay between two backbones.
        near_s: One-way delay between an access network and its backbone.
    """
    builder = Builder()
    for backbone in range(backbones):
        router = f"backbone{backbone}"
        for earlier in range(backbone):
            builder.link(router, f"backbone{earlier}", up_bps=backbone_bps, down_bps=backbone_bps, delay_s=far_s)
        for number in range(networks):
            name = builder.place(Place(f"net{backbone}.{number}", region=f"region{backbone}"))
            builder.link(name, router, up_bps=uplink_bps, down_bps=uplink_bps, delay_s=near_s)
    return builder.build()


def campus(*, uplink_bps: float, nat: bool = True, blocks_peers: bool = False, delay_s: float = 0.01) -> Topology:
    """Place 0 is the world, place 1 a campus behind one line.

    Args:
        uplink_bps: Bytes a second of that line, in each direction.
        nat: Nobody outside can dial a host of the campus.
        blocks_peers: Its firewall lets no BitTorrent through.
        delay_s: One way between the two.
    """
    builder = Builder()
    builder.link(builder.place(Place("world", region="world")), CORE, delay_s=delay_s / 2)
    inside = builder.place(Place("campus", region="campus", nat=nat, blocks_peers=blocks_peers))
    builder.link(inside, CORE, up_bps=uplink_bps, down_bps=uplink_bps, delay_s=delay_s / 2)
    return builder.build()
