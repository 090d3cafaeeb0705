"""Several seeds on slow links, one downloader, in namespaces: our whole download beside bare libtorrent and aria2."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from ossdist.store.hashing import hash_file
from tests.lab.links import FAST, Link, mbit
from tests.lab.network import Network
from tools.benchmarks.bed import FILE, NAME, ROOT, make_bed
from tools.benchmarks.report import Row, machine, median_ratio, medians, work_folder
from tools.benchmarks.worker import peak_rss_bytes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.network import Host
    from tools.benchmarks.bed import Bed

PARTIES = ("ours", "bare", "aria2")
PORT = 6881
_DEADLINE_S = 300.0
_PAYLOAD = 1448 / 1514
"""What TCP/IP over Ethernet leaves of a link."""


@dataclass(frozen=True, slots=True)
class Case:
    """Seeds with links of one rate.

    Attributes:
        name: What to call it.
        seeds: How many.
        up_bps: Of each seed, in bits a second.
        size: Of the file, in bytes.
    """

    name: str
    seeds: int
    up_bps: float
    size: int

    @property
    def raw_s(self) -> float:
        """How long the links need for so many bytes, headers not counted."""
        return self.size * 8 / (self.seeds * self.up_bps)


CASES = (
    Case("5 MB from 4 x 25 Mbit/s", 4, mbit(25), 5_000_000),
    Case("200 MB from 4 x 25 Mbit/s", 4, mbit(25), 200_000_000),
    Case("5 MB from 4 x 100 Mbit/s", 4, mbit(100), 5_000_000),
    Case("200 MB from 4 x 100 Mbit/s", 4, mbit(100), 200_000_000),
)


async def run(*, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures all parties in each round of each case."""
    cases: list[dict[str, object]] = []
    rows: list[Row] = []
    for case in CASES:
        with work_folder(2 * case.size, folder) as place:
            bed = await make_bed(place, case.size, trackers=(f"http://10.77.0.2:{PORT}/announce",))
            measured = await asyncio.to_thread(_measure, case, bed, runs, log)
        rows += [{"case": case.name, **row} for row in measured]
        figures = {party: medians(measured, party, "seconds", "cpu_s", "peak_rss_bytes") for party in PARTIES}
        cases.append(
            {
                "name": case.name,
                "raw_s": case.raw_s,
                "seconds": {party: values["seconds"] for party, values in figures.items()},
                "ratio_of_raw": {party: case.raw_s / values["seconds"] for party, values in figures.items()},
                "ratio": {party: median_ratio(measured, "ours", party, "seconds") for party in PARTIES[1:]},
            }
        )
    return {
        "bench": "links",
        "cases": cases,
        "most_possible_ratio_of_raw": _PAYLOAD,
        "machine": machine(),
        "runs": runs,
        "rows": rows,
    }


def _measure(case: Case, bed: Bed, runs: int, log: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    expected = hash_file(bed.payload / FILE, chunk_bytes=1 << 20)
    with Network() as network:
        tracker, client = network.host("tracker"), network.host("client", FAST)
        seeds = [network.host(f"seed {number}", Link(up_bps=case.up_bps)) for number in range(case.seeds)]
        torrents = [str(bed.torrent(v1=v1)) for v1 in (False, True)]
        for seed in seeds:
            listen = ("--listen", f"{seed.address}:{PORT}")
            answer(start(seed, "seed", *listen, "--save-path", str(bed.payload), *torrents))
        peers = [word for seed in seeds for word in ("--peer", f"{seed.address}:{PORT}")]
        answer(start(tracker, "tracker", "--listen", f"{tracker.address}:{PORT}", *peers))
        for number in range(runs):
            for party in PARTIES:
                target = bed.fresh("it")
                row = _run_one(party, bed, client, target, peers)
                if hash_file(target / FILE, chunk_bytes=1 << 20) != expected:
                    raise SystemExit(f"{party} delivered wrong bytes")
                rows.append({"party": party, "round": number, **row})
                log(f"{case.name}, round {number + 1}: {party}: {float(row['seconds']):.3f} s of {case.raw_s:.3f} raw")
    return rows


def _run_one(party: str, bed: Bed, client: Host, target: Path, peers: list[str]) -> Row:
    if party == "aria2":
        return _run_aria2(client, bed.torrent(v1=True), target)
    listen = ("--listen", f"{client.address}:0")
    what = (
        ("--channel", str(bed.channel), "--root", str(bed.root), "--name", NAME, "--to", str(target))
        if party == "ours"
        else ("--torrent", str(bed.torrent(v1=False)), "--save-path", str(target))
    )
    process = start(client, party, *listen, *what, *peers)
    row = answer(process)
    process.wait(_DEADLINE_S)
    return row


def _run_aria2(client: Host, torrent: Path, target: Path) -> Row:
    options = ("--no-conf", "--seed-time=0", "--enable-dht=false", "--bt-enable-lpd=false", "--summary-interval=0")
    options += ("--enable-peer-exchange=false", "--file-allocation=none", "--bt-max-peers=0")
    begin_s = time.monotonic()
    process = client.start("aria2c", *options, f"--dir={target}", str(torrent))
    watched = psutil.Process(process.pid)
    cpu_s = peak = 0.0
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    for _ in process.stdout:  # it says something about once a second
        try:
            cpu_s, peak = sum(watched.cpu_times()[:2]), peak_rss_bytes(process.pid)
        except psutil.Error:
            break
    process.wait(_DEADLINE_S)
    return {"seconds": time.monotonic() - begin_s, "cpu_s": cpu_s, "peak_rss_bytes": peak}


def start(host: Host, *words: str) -> subprocess.Popen[str]:
    """Starts a party of `tools.benchmarks.worker` in a host."""
    return host.start(
        sys.executable, "-m", "tools.benchmarks.worker", *words, env={"PYTHONPATH": str(ROOT)}, stderr=None
    )


def answer(process: subprocess.Popen[str]) -> Row:
    """What a party says next.

    Raises:
        SystemExit: It has ended.
    """
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a measured process ended without an answer")
    return json.loads(line)
