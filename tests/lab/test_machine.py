"""What a machine says of its network, in networks that are made for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.namespaces import Namespace

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parents[2]
_PRINT = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from ossdist.machine import network_fingerprint as it; print(it())"
)
NEAR, FAR = "02:00:00:00:00:01", "02:00:00:00:00:02"


@pytest.fixture
def machine() -> Generator[Namespace]:
    with Namespace("machine") as made:
        yield made


def plug_in(machine: Namespace, interface: str, address: str, gateway: str, hardware: str | None) -> None:
    machine.run("ip", "link", "add", interface, "type", "veth", "peer", "name", f"{interface}far")
    machine.run("ip", "address", "add", f"{address}/24", "dev", interface)
    machine.run("ip", "link", "set", interface, "up")
    if hardware is not None:
        machine.run("ip", "neighbour", "add", gateway, "lladdr", hardware, "dev", interface)
    machine.run("ip", "route", "add", "default", "via", gateway, "dev", interface)


def fingerprint(machine: Namespace) -> str:
    return machine.run(sys.executable, "-c", _PRINT).strip()


def test_a_network_is_known_again_by_its_gateway(machine: Namespace) -> None:
    plug_in(machine, "one0", "10.1.1.5", "10.1.1.1", NEAR)
    first = fingerprint(machine)
    machine.run("ip", "link", "delete", "one0")
    plug_in(machine, "two0", "10.1.1.77", "10.1.1.1", NEAR)
    assert fingerprint(machine) == first
    assert len(first) == 32
    machine.run("ip", "link", "delete", "two0")
    plug_in(machine, "one0", "10.1.1.5", "10.1.1.1", FAR)  # the same addresses, as every household has them
    assert fingerprint(machine) not in {first, "None"}


def test_nothing_is_said_of_a_network_without_a_gateway(machine: Namespace) -> None:
    assert fingerprint(machine) == "None"
    plug_in(machine, "one0", "10.1.1.5", "10.1.1.1", None)  # one to which nobody has spoken
    assert fingerprint(machine) == "None"
