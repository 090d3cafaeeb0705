"""One link between a machine and a router: its rate and queue in each direction, its delay."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.namespaces import LabError

if TYPE_CHECKING:
    from tests.lab.namespaces import Namespace

_FORWARDER = Path(__file__).with_name("forwarder.py")
_FRAME_BYTES = 1514
_BURST_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a link can do. Rates count whole packets: of Ethernet's 1514 bytes, TCP over IPv4 leaves 1448.

    Attributes:
        up_bps: Bits a second away from the machine; None for as fast as this computer is.
        down_bps: Bits a second to the machine.
        queue_s: How long a packet may wait at either end before it is dropped.
        delay_s: Each way. A delayed link goes through a program, and so is good for 50 Mbit/s only.
        jitter_s: Of each packet's delay, evenly distributed around ``delay_s``; packets stay in order.
    """

    up_bps: float | None = None
    down_bps: float | None = None
    queue_s: float = 0.05
    delay_s: float = 0.0
    jitter_s: float = 0.0

    def __post_init__(self) -> None:
        if self.jitter_s > self.delay_s:
            raise ValueError(f"a jitter of {self.jitter_s} s needs a delay of at least that, not {self.delay_s} s")


FAST = Link()


def mbit(rate: float) -> float:
    """Megabits a second in bits a second."""
    return rate * 1e6


def lay(
    link: Link,
    machine: Namespace,
    router: Namespace,
    *,
    near: str,
    far: str,
    address: str,
    gateway: str,
    bridge: str | None = None,
) -> None:
    """Connects a machine with a router, and makes it the machine's way to everywhere.

    Args:
        link: What the link can do.
        machine: The machine.
        router: The router.
        near: The interface's name in the machine.
        far: And in the router.
        address: The machine's.
        gateway: The router's; all of its links may share it.
        bridge: The router's bridge that the link goes to, as to a switch; None for a link of its own.

    Raises:
        LabError: It cannot be made.
    """
    if link.delay_s > 0:
        _start_forwarder(link, machine, router, near, far)
    else:
        machine.run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", str(router.pid))
    if bridge is None:
        for space, device, own, other in ((machine, near, address, gateway), (router, far, gateway, address)):
            space.run("ip", "address", "add", own, "peer", f"{other}/32", "dev", device)
    else:
        machine.run("ip", "address", "add", f"{address}/24", "dev", near)
        router.run("ip", "link", "set", far, "master", bridge)
    for space, device in ((machine, near), (router, far)):
        space.run("ip", "link", "set", device, "up")
    machine.run("ip", "route", "add", "default", "via", gateway, "dev", near)
    for space, device, rate in ((machine, near, link.up_bps), (router, far, link.down_bps)):
        if rate is not None:
            _shape(space, device, rate, link)


def _shape(space: Namespace, device: str, rate: float, link: Link) -> None:
    burst = max(round(rate / 8 * _BURST_S), 2 * _FRAME_BYTES)
    if link.delay_s == 0:  # else one packet of 64 KiB would pass, or be lost, at once
        space.run("ip", "link", "set", device, "gso_max_segs", "1")
    shaper = ("root", "tbf", "rate", f"{round(rate)}bit", "burst", f"{burst}b", "latency", f"{link.queue_s * 1000:g}ms")
    space.run("tc", "qdisc", "add", "dev", device, *shaper)


def _start_forwarder(link: Link, machine: Namespace, router: Namespace, near: str, far: str) -> None:
    words = [sys.executable, str(_FORWARDER), str(machine.pid), near, str(router.pid), far]
    process = machine.start(*words, str(link.delay_s), str(link.jitter_s))
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise LabError(f"{machine.name}: the forwarder did not start")
