"""Sends traffic through the lab and says what became of it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import subprocess

    from tests.lab.network import Host

_PROBE = Path(__file__).with_name("probe.py")
PORT = 7000


@dataclass(frozen=True, slots=True)
class Received:
    """A finished transfer.

    Attributes:
        bytes: How much came.
        begun_s: When the first byte came, by the machine's clock, which all hosts share.
        seconds: From the first byte to the last.
        sender: The address that it came from.
    """

    bytes: int
    begun_s: float
    seconds: float
    sender: str

    @property
    def bps(self) -> float:
        """Payload bits a second."""
        return self.bytes * 8 / self.seconds


def start(host: Host, *words: object) -> subprocess.Popen[str]:
    """Runs the probe in a host."""
    return host.start(sys.executable, str(_PROBE), *map(str, words))


def start_service(host: Host, what: str, port: int = PORT) -> subprocess.Popen[str]:
    """Runs the probe's ``sink`` or ``echo`` in a host, and waits until it is ready."""
    service = start(host, what, port)
    assert line_of(service) == "ready"
    return service


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a program says; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def received(sink: subprocess.Popen[str]) -> Received:
    """What a sink has got."""
    return Received(**json.loads(line_of(sink)))


def transfer(sender: Host, receiver: Host, count: int) -> Received:
    """Sends bytes from one host to another."""
    sink = start_service(receiver, "sink")
    try:
        start(sender, "send", receiver.address, PORT, count)
        return received(sink)
    finally:
        sink.kill()
        sink.wait()


def round_trips(sender: Host, receiver: Host, count: int, *, length: int = 100) -> list[float]:
    """Round trips of UDP packets in seconds; those of lost ones are missing."""
    echo = start_service(receiver, "echo")
    try:
        return cast("list[float]", json.loads(line_of(start(sender, "ping", receiver.address, PORT, count, length))))
    finally:
        echo.kill()
        echo.wait()
