"""Peers fail in the middle of a transfer: how soon mirrors give instead, in namespaces with real programs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import sys
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.store.hashing import hash_file
from tests.lab.firewall import HANDSHAKE, LOSES_EVERYTHING, Rule
from tests.lab.links import FAST, Link, mbit
from tests.lab.network import Network
from tests.lab.peers import MIRROR_PORT, run_mirror
from tools.benchmarks.bed import FILE, NAME, ROOT, make_bed
from tools.benchmarks.links import PORT, answer, start
from tools.benchmarks.report import Row, machine, work_folder

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from tests.lab.network import Host
    from tools.benchmarks.bed import Bed

SIZE = 24_000_000
DOWN_BPS = mbit(40)
PEER_BPS = mbit(25)
PEERS = 2
TARGET_BYTES_PER_S = 2_000_000
"""Peers bring more than twice as much, so no mirror is asked before they fail."""

_SUBNET = "10.77.0."
_MIRROR = 2
_TRACKER = 3
_FRAMING = 1514 / 1448
_TICK_S = 0.02
_LONG_SIZE = 300_000_000
_SHARE_S = 2.0
_PAYLOAD_BYTES = 30_000
"""More than a connection or the head of an answer: payload flows."""
_DEADLINE_S = 90.0


@dataclass
class Scene:
    """Everybody in the lab, for one trial.

    Attributes:
        client: Where ours runs.
        peers: Where the peers run.
        mirror: Where Nginx runs.
        tracker: Where the tracker runs.
        commands: How each peer is started.
        processes: The peers.
    """

    client: Host
    peers: list[Host]
    mirror: Host
    tracker: Host
    commands: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    processes: list[subprocess.Popen[str]] = field(default_factory=list["subprocess.Popen[str]"])

    @property
    def addresses(self) -> list[str]:
        """The peers', as arguments."""
        return [word for peer in self.peers for word in ("--peer", f"{peer.address}:{PORT}")]

    def tell(self, mode: str) -> None:
        """Tells all peers what to be from now on."""
        for process in self.processes:
            assert process.stdin is not None  # noqa: S101 - it was started with a pipe
            process.stdin.write(f"{mode}\n")
            process.stdin.flush()
        for process in self.processes:
            answer(process)

    def start_peers(self) -> None:
        """Starts them."""
        for host, command in zip(self.peers, self.commands, strict=True):
            process = host.start(*command, env={"PYTHONPATH": str(ROOT)})
            self.processes.append(process)
            answer(process)

    def end_peers(self) -> None:
        """Ends them; their connections are closed."""
        for process in self.processes:
            process.kill()
            process.wait(_DEADLINE_S)
        self.processes.clear()


_DROPPED = (Rule(protocol="tcp", port=PORT), Rule(protocol="udp", port=PORT))
_REJECTED = (Rule(action="reject", protocol="tcp", port=PORT), Rule(action="reject", protocol="udp", port=PORT))


def _filter_handshakes(scene: Scene) -> None:
    """What is connected already has passed the filter, so it is broken off: everybody has to begin anew."""
    scene.client.firewall.add(Rule(protocol="tcp", payload=HANDSHAKE))
    scene.end_peers()
    scene.start_peers()


@dataclass(frozen=True, slots=True)
class Fault:
    """How peers fail.

    Attributes:
        begin: Does it.
        at_start: It is there before the transfer begins, and peers are to be found by the tracker alone.
        near_end: It shows when only the last hundredth is missing.
        undo: Ends it; None if the way back is not measured.
    """

    begin: Callable[[Scene], None]
    at_start: bool = False
    near_end: bool = False
    undo: Callable[[Scene], None] | None = None


FAULTS: dict[str, Fault] = {
    "no peers": Fault(Scene.end_peers, undo=Scene.start_peers),
    "tracker black-holed": Fault(lambda scene: scene.tracker.firewall.add(LOSES_EVERYTHING), at_start=True),
    "P2P ports dropped": Fault(
        lambda scene: scene.client.firewall.add(*_DROPPED),
        undo=lambda scene: scene.client.firewall.remove(*_DROPPED),
    ),
    "P2P ports rejected": Fault(
        lambda scene: scene.client.firewall.add(*_REJECTED),
        undo=lambda scene: scene.client.firewall.remove(*_REJECTED),
    ),
    "handshake filtered": Fault(_filter_handshakes),
    "choked": Fault(lambda scene: scene.tell("choke"), undo=lambda scene: scene.tell("honest")),
    "trickle of 10 kB/s": Fault(lambda scene: scene.tell("trickle"), undo=lambda scene: scene.tell("honest")),
    "stall at 99 %": Fault(lambda scene: scene.tell("not-the-end"), near_end=True),
    "poisoned": Fault(lambda scene: scene.tell("wrong")),
}


async def run(
    *, faults: Sequence[str], trials: int, way_back: int, folder: Path | None, log: Callable[[str], None]
) -> dict[str, object]:
    """Measures so many trials of each failure, and of the way back of those that can be undone."""
    mirrors = (f"http://{_SUBNET}{_MIRROR}:{MIRROR_PORT}/",)
    trackers = (f"http://{_SUBNET}{_TRACKER}:{PORT}/announce",)
    rows: list[Row] = []
    back: list[Row] = []
    if trials:
        with work_folder(3 * SIZE, folder) as place:
            bed = await make_bed(place, SIZE, mirrors=mirrors, trackers=trackers)
            rows = await asyncio.to_thread(_measure, bed, faults, trials, log)
    if way_back:
        with work_folder(3 * _LONG_SIZE, folder) as place:
            bed = await make_bed(place, _LONG_SIZE, mirrors=mirrors, trackers=trackers)
            back = await asyncio.to_thread(_measure_back, bed, faults, way_back, log)
    return {
        "bench": "fallback",
        "faults": {name: _summary(found) for name, found in _grouped(rows).items()},
        "way_back_s": {name: sorted(float(row["back_s"]) for row in found) for name, found in _grouped(back).items()},
        "machine": machine(),
        "trials": trials,
        "rows": rows + back,
    }


def _grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """By what they are called."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row["fault"]), []).append(row)
    return found


def _summary(rows: Sequence[Row]) -> dict[str, float]:
    waits = sorted(float(row["mirror_after_s"]) for row in rows)
    return {
        "median_s": statistics.median(waits),
        "p95_s": waits[min(len(waits) - 1, round(0.95 * (len(waits) - 1)))],
        "most_s": waits[-1],
        "complete": sum(bool(row["right"]) for row in rows) / len(rows),
        "most_received_ratio": max(float(row["received_ratio"]) for row in rows),
    }


def _measure(bed: Bed, faults: Sequence[str], trials: int, log: Callable[[str], None]) -> list[Row]:
    expected = hash_file(bed.payload / FILE, chunk_bytes=1 << 20)
    rng = random.Random(1)
    rows: list[Row] = []
    for number in range(trials):
        for name in faults:
            row = _trial(bed, FAULTS[name], rng)
            found = bed.folder / "downloads" / "it" / FILE
            row["right"] = found.exists() and hash_file(found, chunk_bytes=1 << 20) == expected
            rows.append({"fault": name, "trial": number, **row})
            log(f"trial {number + 1}: {name}: {json.dumps(row)}")
    return rows


def _measure_back(bed: Bed, faults: Sequence[str], trials: int, log: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    for number in range(trials):
        for name in faults:
            for kind, target in (("target", TARGET_BYTES_PER_S), ("no target", 0)):
                if (undo := FAULTS[name].undo) is None:
                    continue
                row = _way_back(bed, FAULTS[name], undo, target)
                rows.append({"fault": f"{name}, {kind}", "trial": number, **row})
                log(f"way back {number + 1}: {name}, {kind}: {json.dumps(row)}")
    return rows


def _trial(bed: Bed, fault: Fault, rng: random.Random) -> Row:
    with _scene(bed) as scene:
        if fault.at_start:
            fault.begin(scene)
        process = _start_ours(scene, bed, TARGET_BYTES_PER_S, announced=fault.at_start)
        return _watch(scene, fault, process, rng)


@contextlib.contextmanager
def _scene(bed: Bed) -> Generator[Scene]:
    with Network() as network, ExitStack() as stack:
        mirror, tracker = network.host("mirror", FAST), network.host("tracker", FAST)
        client = network.host("client", Link(up_bps=mbit(20), down_bps=DOWN_BPS))
        peers = [network.host(f"peer {number}", Link(up_bps=PEER_BPS)) for number in range(PEERS)]
        scene = Scene(client, peers, mirror, tracker)
        run_mirror(mirror, bed.folder / "nginx", bed.channel)
        words = ("--torrent", str(bed.torrent(v1=False)), "--payload", str(bed.payload), "--listen")
        scene.commands = [
            (sys.executable, "-m", "tests.hostile", "changing", *words, f"{peer.address}:{PORT}") for peer in peers
        ]
        stack.callback(scene.end_peers)
        scene.start_peers()
        answer(start(tracker, "tracker", "--listen", f"{tracker.address}:{PORT}", *scene.addresses))
        yield scene


def _start_ours(scene: Scene, bed: Bed, target: float, *, announced: bool) -> subprocess.Popen[str]:
    channel, folder = f"http://{scene.mirror.address}:{MIRROR_PORT}/", bed.fresh("it")
    ours = ["--channel", channel, "--root", str(bed.root), "--name", NAME, "--to", str(folder), "--mirrors"]
    ours += ["--listen", f"{scene.client.address}:0", *([] if announced else scene.addresses)]
    ours += ["--target-bytes-per-s", str(target)] if target else []
    return start(scene.client, "ours", *ours)


def _way_back(bed: Bed, fault: Fault, undo: Callable[[Scene], None], target: float) -> Row:
    """How long after the peers' return the mirror gives less than a tenth of what comes."""
    with _scene(bed) as scene:
        process = _start_ours(scene, bed, target, announced=False)
        _until(lambda: scene.client.received_bytes >= 40_000_000, process, "peers gave too little")
        fault.begin(scene)
        before = scene.mirror.sent_bytes
        _until(lambda: scene.mirror.sent_bytes - before >= 5_000_000, process, "the mirror gave nothing")
        undo(scene)
        begin_s = time.monotonic()
        seen: deque[tuple[float, int, int]] = deque()
        while (now_s := time.monotonic()) - begin_s < _DEADLINE_S and process.poll() is None:
            seen.append((now_s, scene.mirror.sent_bytes, scene.client.received_bytes))
            while seen[0][0] < now_s - _SHARE_S:
                seen.popleft()
            given, came = seen[-1][1] - seen[0][1], seen[-1][2] - seen[0][2]
            if seen[-1][0] - seen[0][0] > _SHARE_S / 2 and came and given < 0.1 * came:
                return {"back_s": now_s - begin_s}
            time.sleep(_TICK_S)
        return {"back_s": float("inf")}


def _watch(scene: Scene, fault: Fault, process: subprocess.Popen[str], rng: random.Random) -> Row:
    """Lets the fault come at its time, and sees when the mirror gives payload."""
    begin_s = time.monotonic()
    fetched_bytes = SIZE * _FRAMING
    if fault.near_end:
        fault.begin(scene)
        at_bytes = 0.975 * fetched_bytes  # a little before: what it is missed in shows only afterwards
    else:
        at_bytes = rng.uniform(0.05, 0.8) * fetched_bytes
    if not fault.at_start:
        _until(lambda: scene.client.received_bytes >= at_bytes, process, "peers gave too little")
        if not fault.near_end:
            fault.begin(scene)
    fault_s, given_before = time.monotonic(), scene.mirror.sent_bytes
    if fault.at_start:  # documents come from the same server
        given_before += _until_quiet(scene.mirror)
        fault_s = begin_s
    _until(lambda: scene.mirror.sent_bytes - given_before >= _PAYLOAD_BYTES, process, "the mirror gave nothing")
    mirror_s = time.monotonic()
    assessed: object = ""
    with contextlib.suppress(SystemExit):  # it failed, which shows in the file
        assessed = answer(process)["assessed"]
    return {
        "mirror_after_s": mirror_s - fault_s,
        "fault_at": at_bytes / fetched_bytes,
        "seconds": time.monotonic() - begin_s,
        "received_ratio": scene.client.received_bytes / fetched_bytes,
        "assessed": assessed,
        "fault_s": fault_s - begin_s,
    }


def _until_quiet(host: Host) -> int:
    """Waits until a server has sent the documents; how much that was."""
    before = host.sent_bytes
    last, since_s = before, time.monotonic()
    while time.monotonic() - since_s < 0.3 or last == before:
        time.sleep(_TICK_S)
        if (now := host.sent_bytes) != last:
            last, since_s = now, time.monotonic()
        if time.monotonic() - since_s > _DEADLINE_S:
            raise SystemExit("nobody asked for the channel")
    return last - before


def _until(done: Callable[[], bool], process: subprocess.Popen[str], otherwise: str) -> None:
    deadline_s = time.monotonic() + _DEADLINE_S
    while not done():
        if time.monotonic() > deadline_s:
            raise SystemExit(otherwise)
        if process.poll() is not None:
            return  # it has ended: what is missing shows in the row
        time.sleep(_TICK_S)
