"""Scenarios as data: who comes, on which lines, what is published, what breaks. Read from TOML, strictly."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ossdist.errors import FormatError
from ossdist.release.wording import explain
from ossdist.sim.crowd import topology
from ossdist.sim.crowd.behaviour import PROFILES
from ossdist.sim.crowd.pieces import MOST_PIECES

if TYPE_CHECKING:
    from ossdist.sim.crowd.behaviour import Behaviour
    from ossdist.sim.crowd.topology import Topology

MBIT = 1e6 / 8
"""Bytes a second."""

MAX_SCENARIO_BYTES = 1 << 20
_MOST_PLACES = 200
_MOST_PEERS = 100_000
_MOST_CELLS = 200_000_000
"""Peers by pieces; each takes eleven bytes."""

Positive = Annotated[float, msgspec.Meta(ge=1e-3, le=1e9)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=_MOST_PEERS)]
Places = Annotated[int, msgspec.Meta(ge=1, le=_MOST_PLACES)]


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Strict, immutable."""


class Star(_Data, tag="star", frozen=True, kw_only=True):
    """Places around a core that never fills up.

    Attributes:
        places: Their names, each with how it treats peers.
        delay_s: One way between two hosts.
    """

    places: Annotated[
        dict[str, Literal["open", "nat", "blocks peers"]], msgspec.Meta(min_length=1, max_length=_MOST_PLACES)
    ] = msgspec.field(default_factory=lambda: {"net": "open"})
    delay_s: Seconds = 0.01


class Clusters(_Data, tag="clusters", frozen=True, kw_only=True):
    """Autonomous systems, each with one shared line to the rest; places ``as0``, ``as1``, ..."""

    count: Places
    uplink_mbit: Positive
    near_s: Seconds = 0.002
    far_s: Seconds = 0.025


class Transit(_Data, tag="transit", frozen=True, kw_only=True):
    """Access networks below regional backbones; places ``net0.0``, ``net0.1``, ..."""

    backbones: Annotated[int, msgspec.Meta(ge=1, le=20)]
    networks: Annotated[int, msgspec.Meta(ge=1, le=20)]
    backbone_mbit: Positive
    uplink_mbit: Positive


class Campus(_Data, tag="campus", frozen=True, kw_only=True):
    """Places ``world`` and ``campus``, the latter behind one line."""

    uplink_mbit: Positive
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

    count: Count
    up_mbit: Positive
    down_mbit: Positive
    profile: str = "default"
    places: tuple[str, ...] = ()
    arrive_s: Seconds = 0.0
    over_s: Seconds = 0.0
    has_all: bool = False
    settings: dict[str, int | float | bool] = {}


class MirrorSpec(_Data, frozen=True, kw_only=True):
    """An HTTP mirror.

    Attributes:
        url: Its address.
        up_mbit: Its line.
        place: Where it is; the first place if empty.
        down: When it does not answer: from, to, in seconds.
        wrong: The share of pieces that it gives wrong.
        priority: Lower is preferred, 1 is the best.
        weight: Its part among its equals, in percent of an ordinary one's.
    """

    url: str
    up_mbit: Positive
    place: str = ""
    down: tuple[tuple[Seconds, Seconds], ...] = ()
    wrong: Share = 0.0
    priority: Annotated[int, msgspec.Meta(ge=1, le=999_999)] = 1
    weight: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class Release(_Data, frozen=True, kw_only=True):
    """A later release of a cadence.

    Attributes:
        day: When it comes out.
        delta_share: The size of the delta from the one before, as a share of the file.
    """

    day: Seconds
    delta_share: Annotated[float, msgspec.Meta(gt=0, le=1)]


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
        look_s: How often a client looks at its transfer (production: every half second); each look costs time.
        choke_s: How often peers decide whom they serve (production: 3; BEP 3 says 10), and by chance half as often.
        window_mb: What one connection has under way at most.
        incentives: Contributors are served first.
        exhausted_after_s: When production's policy gives up.
        cadence: Further releases, each fetched by the same hosts, as deltas and in full.
    """

    name: str
    about: str
    length: Annotated[int, msgspec.Meta(ge=1)]
    piece_length: Annotated[int, msgspec.Meta(ge=1 << 14)]
    hosts: tuple[Hosts, ...]
    topology: Star | Clusters | Transit | Campus = msgspec.field(default_factory=Star)
    mirrors: tuple[MirrorSpec, ...] = ()
    until_s: Positive = 86400.0
    step_s: Annotated[float, msgspec.Meta(ge=1e-3, le=60)] = 0.02
    look_s: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 0.5
    choke_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 3.0
    window_mb: Positive = 4.0
    incentives: bool = False
    exhausted_after_s: Positive = 60.0
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
    except UnicodeDecodeError as error:
        raise FormatError("is no UTF-8", document=document) from error
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(explain(error), document=document) from error
    check(scenario, document=document)
    return scenario


def check(scenario: Scenario, *, document: str) -> None:
    """Refuses what could not be run.

    Raises:
        FormatError: With the first thing that is wrong.
    """
    try:
        names = {place.name for place in topology_of(scenario).places}
    except ValueError as error:
        raise FormatError(str(error), document=document) from error
    peers = len(scenario.mirrors)
    for hosts in scenario.hosts:
        if hosts.profile not in PROFILES:
            raise FormatError(f"profile {hosts.profile!r} is none of {', '.join(PROFILES)}", document=document)
        _check_places(hosts.places, names, document)
        known = [each.name for each in fields(PROFILES[hosts.profile])]
        if unknown := sorted(set(hosts.settings) - set(known)):
            raise FormatError(
                f"{hosts.profile} has no setting {unknown[0]!r}; it has {', '.join(known)}", document=document
            )
        try:
            peers += hosts.count * behaviour_of(hosts).most_peers
        except ValueError as error:
            raise FormatError(f"settings of {hosts.profile}: {error}", document=document) from error
    for mirror in scenario.mirrors:
        _check_places((mirror.place,) if mirror.place else (), names, document)
        times = [second for outage in mirror.down for second in outage]
        if times != sorted(times):
            raise FormatError(f"{mirror.url}: down has no ascending times", document=document)
    if len({mirror.url for mirror in scenario.mirrors}) < len(scenario.mirrors):
        raise FormatError("two mirrors have the same url", document=document)
    pieces = -(-scenario.length // scenario.piece_length)
    if pieces > MOST_PIECES:
        raise FormatError(f"{pieces} pieces are more than {MOST_PIECES}; make piece_length larger", document=document)
    if peers > _MOST_PEERS or peers * pieces > _MOST_CELLS:
        limits = f"{_MOST_PEERS} peers, and {_MOST_CELLS} peers by pieces"
        raise FormatError(
            f"{peers} peers (of all names) and {pieces} pieces are too many; {limits} are the most", document=document
        )


def _check_places(places: tuple[str, ...], names: set[str], document: str) -> None:
    if not set(places) <= names:
        unknown = ", ".join(map(repr, sorted(set(places) - names)))
        raise FormatError(f"there is no place {unknown}; there are {', '.join(sorted(names))}", document=document)


def behaviour_of(hosts: Hosts) -> Behaviour:
    """The behaviour of hosts.

    Raises:
        ValueError: It cannot have such a value.
    """
    return PROFILES[hosts.profile](**hosts.settings)  # pyright: ignore[reportArgumentType]  # checked above


def comers(scenario: Scenario) -> int:
    """How many peers come for the release: each name of a host, but no seed or poisoner, who want nothing."""
    wanting = ((each.count, behaviour_of(each)) for each in scenario.hosts if not each.has_all)
    return sum(count * behaviour.identities for count, behaviour in wanting if not behaviour.poison)


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
