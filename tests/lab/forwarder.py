"""Delays packets between two TUN devices in two network namespaces; a program of its own, for kernels without netem.

Its arguments: a process in the first namespace and the device's name there, the same of the second one, the delay and
the jitter in seconds. It needs the standard library alone, and says ``ready`` when both devices are there.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque
from pathlib import Path

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_PACKET_BYTES = 1 << 16
_MOST_WAITING = 20_000
_AT_ONCE = 64


class Direction:
    """One way.

    Args:
        source: Read from here.
        target: Written to there.
        delay_s: How long each packet waits.
        jitter_s: Up to so much more or less.
        seed: Of the jitter.
    """

    def __init__(self, source: int, target: int, delay_s: float, jitter_s: float, seed: int) -> None:
        self.source = source
        self._target = target
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._random = random.Random(seed)
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._last_s = 0.0

    def read(self) -> None:
        """Takes what has come, but no more than so many packets: the other direction has its turn too."""
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(self.source, _PACKET_BYTES)
            except BlockingIOError:
                return
            due_s = time.monotonic() + self._delay_s + self._random.uniform(-self._jitter_s, self._jitter_s)
            self._last_s = max(self._last_s, due_s)
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append((self._last_s, packet))

    def write(self) -> float:
        """Sends what is due.

        Returns:
            When the next packet is, or infinity.
        """
        while self._waiting:
            due_s, packet = self._waiting[0]
            if due_s > time.monotonic():
                return due_s
            self._waiting.popleft()
            with contextlib.suppress(OSError):  # the device is down, or full: the packet is lost, as packets are
                os.write(self._target, packet)
        return float("inf")


def forward(directions: tuple[Direction, Direction]) -> None:
    """Forwards until it is stopped."""
    sources = [direction.source for direction in directions]
    while True:
        due_s = min(direction.write() for direction in directions)
        timeout = None if due_s == float("inf") else max(0.0, due_s - time.monotonic())
        ready, _, _ = select.select(sources, [], [], timeout)
        for direction in directions:
            if direction.source in ready:
                direction.read()


def open_tun(pid: str, name: str) -> int:
    """A TUN device in another process's network namespace; the descriptor is good from everywhere."""
    space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(space, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(space)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH14x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def main(words: list[str]) -> None:
    """Runs it."""
    first, near, second, far, delay_s, jitter_s = words
    one, other = open_tun(first, near), open_tun(second, far)
    Path("/proc/self/timerslack_ns").write_text("1", "ascii")
    print("ready", flush=True)
    wait = (float(delay_s), float(jitter_s))
    forward((Direction(one, other, *wait, seed=1), Direction(other, one, *wait, seed=2)))


if __name__ == "__main__":
    main(sys.argv[1:])
