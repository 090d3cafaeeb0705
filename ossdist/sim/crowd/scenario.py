"""Scenarios as data: who comes, on which lines, what is published, what breaks. Read from TOML, strictly."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal

import msgspec

from ossdist.errors import FormatError
from ossdist.release.wording import explain
from ossdist.sim.crowd import topology
from ossdist.sim.crowd.behaviour import PROFILES

if TYPE_CHECKING:
    from ossdist.sim.crowd.behaviour import Behaviour
    from ossdist.sim.crowd.topology import Topology

MBIT = 1e6 / 8
"""Bytes a second."""

MAX_SCENARIO_BYTES = 1 << 20


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Strict, immutable."""


class Star(_Data, tag="star", frozen=True, kw_only=True):
    """Places around a core that never fills up.

    Attributes:
        places: Their names, each with how it treats peers.
        delay_s: One way between two hosts.
    """

    places: dict[str, Literal["open", "nat", "blocks peers"]] = msgspec.field(default_factory=lambda: {"net": "open"})
    delay_s: float = 0.01


class Clusters(_Data, tag="clusters", frozen=True, kw_only=True):
    """Autonomous systems, each with one shared line to the rest; places ``as0``, ``as1``, ..."""

    count: int
    uplink_mbit: float
    near_s: float = 0.002
    far_s: float = 0.025


class Transit(_Data, tag="transit", frozen=True, kw_only=True):
    """Access networks below regional backbones; places ``net0.0``, ``net0.1``, ..."""

    backbones: int
    networks: int
    backbone_mbit: float
    uplink_mbit: float


class Campus(_Data, tag="campus", frozen=True, kw_only=True):
    """Places ``world`` and ``campus``, the latter behind one line."""

    uplink_mbit: float
    nat: bool = True
    blocks_peers: bool = False


class Hosts(_Data, frozen=True, kw_only=True):
    """Hosts of one kind.

    Attributes:
        count: How many.
        profile: How they behave, one of `ossdist.sim.crowd.behaviour.PROFILES`.
        up_mbit, down_mbit: Their lines.
        places: Where they are, in turn; everywhere if empty.
        arrive_s: The first one comes then.
        over_s: And the last one so much later; in between they come at random.
        has_all: They have the release already.
        settings: What their behaviour has otherwise than by default.
    """

    count: int
    up_mbit: float
    down_mbit: float
    profile: str = "default"
    places: tuple[str, ...] = ()
    arrive_s: float = 0.0
    over_s: float = 0.0
    has_all: bool = False
    settings: dict[str, float | bool] = {}


class MirrorSpec(_Data, frozen=True, kw_only=True):
    """An HTTP mirror.

    Attributes:
        url: Its address.
        up_mbit: Its line.
        place: Where it is; the first place if empty.
        down: When it does not answer: from, to, in seconds.
        wrong: The share of pieces that it gives wrong.
    """

    url: str
    up_mbit: float
    place: str = ""
    down: tuple[tuple[float, float], ...] = ()
    wrong: float = 0.0


class Release(_Data, frozen=True, kw_only=True):
    """A later release of a cadence.

    Attributes:
        day: When it comes out.
        delta_share: The size of the delta from the one before, as a share of the file.
    """

    day: float
    delta_share: float


class Scenario(_Data, frozen=True, kw_only=True):
    """A scenario.

    Attributes:
        name: Its name.
        about: What it shows.
        length: Of the release, in bytes.
        piece_length: Of its pieces, in bytes.
        topology: Where hosts are.
        hosts: Who comes.
        mirrors: Mirrors that all clients know.
        until_s: When it ends at the latest.
        step_s: See `ossdist.sim.crowd.exchange.Physics`.
        window_mb: What one connection has under way at most.
        incentives: Contributors are served first.
        exhausted_after_s: When production's policy gives up.
        cadence: Further releases, each fetched by the same hosts, as deltas and in full.
    """

    name: str
    about: str
    length: int
    piece_length: int
    hosts: tuple[Hosts, ...]
    topology: Star | Clusters | Transit | Campus = msgspec.field(default_factory=Star)
    mirrors: tuple[MirrorSpec, ...] = ()
    until_s: float = 86400.0
    step_s: float = 0.02
    window_mb: float = 4.0
    incentives: bool = False
    exhausted_after_s: float = 60.0
    cadence: tuple[Release, ...] = ()


def decode(data: bytes, *, document: str) -> Scenario:
    """Reads a scenario.

    Args:
        data: TOML.
        document: How to call it in errors.

    Raises:
        FormatError: It is malformed, or names a place, profile or setting that does not exist.
    """
    try:
        found = tomllib.loads(data.decode("utf-8"))
        scenario = msgspec.convert(found, Scenario)
    except (msgspec.ValidationError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(explain(error), document=document) from error
    check(scenario, document=document)
    return scenario


def check(scenario: Scenario, *, document: str) -> None:
    """Refuses what could not be run.

    Raises:
        FormatError: With the first thing that is wrong.
    """
    names = {place.name for place in topology_of(scenario).places}
    for hosts in scenario.hosts:
        if hosts.profile not in PROFILES:
            raise FormatError(f"profile {hosts.profile!r} is none of {', '.join(PROFILES)}", document=document)
        if not set(hosts.places) <= names:
            raise FormatError(f"places {hosts.places} are not all of {', '.join(sorted(names))}", document=document)
        if hosts.count < 1 or hosts.up_mbit < 0 or hosts.down_mbit <= 0:
            raise FormatError(f"{hosts.profile}: count and lines must be more than 0", document=document)
        try:
            behaviour_of(hosts)
        except TypeError as error:
            raise FormatError(f"{hosts.profile}: {error}", document=document) from error
    for mirror in scenario.mirrors:
        if mirror.place and mirror.place not in names:
            raise FormatError(f"place {mirror.place!r} does not exist", document=document)
    if scenario.length < 1 or scenario.piece_length < 1 << 14:
        raise FormatError("length must be positive, and piece_length 16384 or more", document=document)


def behaviour_of(hosts: Hosts) -> Behaviour:
    """The behaviour of hosts.

    Raises:
        TypeError: It has no such setting.
    """
    return PROFILES[hosts.profile](**hosts.settings)  # pyright: ignore[reportArgumentType]  # checked above


def topology_of(scenario: Scenario) -> Topology:
    """The topology of a scenario."""
    match scenario.topology:
        case Star(places=places, delay_s=delay_s):
            kinds = {"open": {}, "nat": {"nat": True}, "blocks peers": {"blocks_peers": True}}
            found = [topology.Place(name, region=name, **kinds[kind]) for name, kind in places.items()]
            return topology.star(found, delay_s=delay_s)
        case Clusters(count=count, uplink_mbit=uplink, near_s=near_s, far_s=far_s):
            return topology.clusters(count, uplink_bps=uplink * MBIT, near_s=near_s, far_s=far_s)
        case Transit(backbones=backbones, networks=networks, backbone_mbit=backbone, uplink_mbit=uplink):
            return topology.transit(
                backbones=backbones, networks=networks, backbone_bps=backbone * MBIT, uplink_bps=uplink * MBIT
            )
        case Campus(uplink_mbit=uplink, nat=nat, blocks_peers=blocks_peers):
            return topology.campus(uplink_bps=uplink * MBIT, nat=nat, blocks_peers=blocks_peers)
