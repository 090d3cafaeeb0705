"""Scenarios by name or file, and larger or smaller ones made of them."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from ossdist.errors import FormatError
from ossdist.sim.crowd.scenario import MAX_SCENARIO_BYTES, Scenario, check, decode

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIX = ".toml"
_FOLDER = resources.files("ossdist.sim.crowd") / "scenarios"


def shipped() -> tuple[str, ...]:
    """The names of the scenarios that come with the package, sorted."""
    names = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def load(scenario: str | Path) -> Scenario:
    """Reads a scenario.

    Args:
        scenario: The name of a shipped one, or a TOML file's path.

    Raises:
        FormatError: The file is malformed or too large, or there is no such scenario.
        OSError: The file cannot be read.
    """
    if isinstance(scenario, str):
        if scenario not in shipped():
            raise FormatError(f"there is no such scenario; there are {', '.join(shipped())}", document=scenario)
        return decode((_FOLDER / f"{scenario}{_SUFFIX}").read_bytes(), document=scenario)
    with scenario.open("rb") as stream:
        data = stream.read(MAX_SCENARIO_BYTES + 1)
    if len(data) > MAX_SCENARIO_BYTES:
        raise FormatError(f"is larger than {MAX_SCENARIO_BYTES} bytes", document=str(scenario))
    return decode(data, document=str(scenario))


def with_peers(scenario: Scenario, peers: int) -> Scenario:
    """The same scenario with so many hosts beside the seeds, of every kind as many in proportion, and at least one.

    Raises:
        ValueError: They are fewer than kinds, or there is none to begin with.
        FormatError: They are too many.
    """
    kinds = [hosts for hosts in scenario.hosts if not hosts.has_all]
    if not kinds:
        raise ValueError(f"in {scenario.name} nobody comes for the release")
    if peers < len(kinds):
        raise ValueError(f"{scenario.name} has {len(kinds)} kinds of hosts, so {peers} are too few")
    total = sum(hosts.count for hosts in kinds)
    counts = [max(1, hosts.count * peers // total) for hosts in kinds]
    while sum(counts) > peers:  # at most as often as there are kinds
        counts[counts.index(max(counts))] -= 1
    counts[counts.index(max(counts))] += peers - sum(counts)
    scaled = iter(counts)
    hosts = tuple(
        each if each.has_all else msgspec.structs.replace(each, count=next(scaled)) for each in scenario.hosts
    )
    scaled_up = msgspec.structs.replace(scenario, hosts=hosts)
    check(scaled_up, document=scenario.name)
    return scaled_up
