"""HTTP mirrors: beside peers, alone in namespaces, and alone at full speed, beside aria2 and curl."""

from __future__ import annotations

import asyncio
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.release import layout
from ossdist.store.hashing import hash_file
from tests.lab.links import FAST, Link, mbit
from tests.lab.network import Network
from tests.lab.peers import MIRROR_PORT, run_mirror
from tests.programs.nginx import Nginx
from tests.programs.ports import free_port
from tools.benchmarks.bed import FILE, NAME, VERSION, make_bed, measure, seeding
from tools.benchmarks.links import PORT, answer, start
from tools.benchmarks.report import Row, machine, median_ratio, medians, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.network import Host
    from tools.benchmarks.bed import Bed, Seed

_DEADLINE_S = 300.0
_SUBNET = "10.77.0."
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Sources on links of their own, one downloader; rates in bits a second.

    Attributes:
        name: What to call it.
        size: Of the file, in bytes.
        seeds: How many.
        seed_bps: Of each.
        mirrors: How many.
        mirror_bps: Of each.
        down_bps: The downloader's link.
    """

    name: str
    size: int
    seeds: int
    seed_bps: float
    mirrors: int
    mirror_bps: float
    down_bps: float

    @property
    def raw_s(self) -> float:
        """How long the narrowest part of the way needs, headers not counted."""
        sources = self.seeds * self.seed_bps + self.mirrors * self.mirror_bps
        return self.size * 8 / min(self.down_bps, sources)

    @property
    def parties(self) -> tuple[str, ...]:
        """Who is measured."""
        return ("ours", "web seeds", "aria2") if self.seeds else ("ours", "aria2")


CASES = (
    Case(
        name="peers 50 + mirrors 50 on 100 Mbit/s",
        size=200_000_000,
        seeds=1,
        seed_bps=mbit(50),
        mirrors=2,
        mirror_bps=mbit(25),
        down_bps=mbit(100),
    ),
    Case(
        name="4 mirrors of 25 Mbit/s",
        size=200_000_000,
        seeds=0,
        seed_bps=0.0,
        mirrors=4,
        mirror_bps=mbit(25),
        down_bps=mbit(100),
    ),
)
HTTP_PARTIES = ("ours", "aria2", "curl")
SWARM_PARTIES = ("ours", "web seeds", "peers")
"""Beside a seed at full speed: our engine, libtorrent's web seeds, and no mirrors at all."""


async def run(*, size: int, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures all parties in each round of each case."""
    cases: list[dict[str, object]] = []
    rows: list[Row] = []
    for case in CASES:
        with work_folder(2 * case.size, folder) as place:
            mirrors = tuple(f"http://{_SUBNET}{3 + number}:{MIRROR_PORT}/" for number in range(case.mirrors))
            trackers = (f"http://{_SUBNET}{4 + case.mirrors + case.seeds}:{PORT}/announce",) if case.seeds else ()
            bed = await make_bed(place, case.size, mirrors=mirrors, trackers=trackers)
            measured = await asyncio.to_thread(_measure, case, bed, runs, log)
        rows += [{"case": case.name, **row} for row in measured]
        figures = {party: medians(measured, party, "seconds") for party in case.parties}
        cases.append(
            {
                "name": case.name,
                "raw_s": case.raw_s,
                "seconds": {party: values["seconds"] for party, values in figures.items()},
                "ratio_of_raw": {party: case.raw_s / values["seconds"] for party, values in figures.items()},
            }
        )
    http, swarm = await _loopback(size, runs, folder, log)
    rows += [{"case": "http", **row} for row in http] + [{"case": "swarm", **row} for row in swarm]
    figures = {party: medians(http, party, "seconds") for party in HTTP_PARTIES}
    beside = {party: medians(swarm, party, "seconds", "cpu_s") for party in SWARM_PARTIES}
    return {
        "bench": "hybrid",
        "ratio": CASES[0].raw_s
        / medians([row for row in rows if row["case"] == CASES[0].name], "ours", "seconds")["seconds"],
        "cases": cases,
        "http": {
            "bytes": size,
            "seconds": {party: values["seconds"] for party, values in figures.items()},
            "ratio": {party: median_ratio(http, "ours", party, "seconds") for party in HTTP_PARTIES[1:]},
        },
        "swarm": {
            "bytes": size,
            "seconds": {party: values["seconds"] for party, values in beside.items()},
            "cpu_s": {party: values["cpu_s"] for party, values in beside.items()},
        },
        "machine": machine(),
        "runs": runs,
        "rows": rows,
    }


# --- in namespaces ---------------------------------------------------------------------------------------


def _measure(case: Case, bed: Bed, runs: int, log: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    expected = hash_file(bed.payload / FILE, chunk_bytes=_CHUNK_BYTES)
    with Network() as network:
        client = network.host("client", Link(up_bps=mbit(1000), down_bps=case.down_bps))
        hosts = [network.host(f"mirror {number}", Link(up_bps=case.mirror_bps)) for number in range(case.mirrors)]
        for number, host in enumerate(hosts):
            run_mirror(host, bed.folder / f"nginx-{number}", bed.channel)
        channel = network.host("channel", FAST)
        run_mirror(channel, bed.folder / "nginx-channel", bed.channel)
        peers: list[str] = []
        torrents = [str(bed.torrent(v1=v1)) for v1 in (False, True)]
        for number in range(case.seeds):
            seed = network.host(f"seed {number}", Link(up_bps=case.seed_bps))
            listen = ("--listen", f"{seed.address}:{PORT}")
            answer(start(seed, "seed", *listen, "--save-path", str(bed.payload), *torrents))
            peers += ["--peer", f"{seed.address}:{PORT}"]
        if peers:  # aria2 cannot be told of a peer
            tracker = network.host("tracker", FAST)
            answer(start(tracker, "tracker", "--listen", f"{tracker.address}:{PORT}", *peers))
        for number in range(runs):
            for party in case.parties:
                target = bed.fresh("it")
                row = _run_one(party, case, bed, client, f"http://{channel.address}:{MIRROR_PORT}/", target, peers)
                if row["seconds"] and hash_file(target / FILE, chunk_bytes=_CHUNK_BYTES) != expected:
                    raise SystemExit(f"{party} delivered wrong bytes")
                rows.append({"party": party, "round": number, **row})
                log(f"{case.name}, round {number + 1}: {party}: {float(row['seconds']):.2f} s of {case.raw_s:.2f} raw")
    return rows


def _run_one(party: str, case: Case, bed: Bed, client: Host, channel: str, target: Path, peers: list[str]) -> Row:
    if party == "aria2":
        return _aria2_in(client, case, bed, target)
    words = ["--channel", channel, "--root", str(bed.root), "--name", NAME, "--to", str(target), "--mirrors", *peers]
    words += ["--web-seeds"] if party == "web seeds" else []
    words += [] if peers else ["--no-peers"]
    process = start(client, "ours", "--listen", f"{client.address}:0", *words)
    row = answer(process)
    process.wait(_DEADLINE_S)
    return row


def _aria2_in(client: Host, case: Case, bed: Bed, target: Path) -> Row:
    """Aria2 asks mirrors; beside peers it asks web seeds, which it takes from the torrent."""
    urls = [_file_url(f"http://{_SUBNET}{3 + number}:{MIRROR_PORT}/") for number in range(case.mirrors)]
    options = ["--no-conf", "--quiet", "--file-allocation=none", f"--dir={target}", f"--split={2 * case.mirrors}"]
    options += ["--max-connection-per-server=2", "--min-split-size=1M", "--allow-overwrite=true"]
    if case.seeds:
        options += ["--seed-time=0", "--enable-dht=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false"]
        urls = [str(bed.torrent(v1=True)), *urls]
    begin_s = time.monotonic()
    process = client.start("aria2c", *options, *urls)
    process.communicate(timeout=_DEADLINE_S)
    return {"seconds": time.monotonic() - begin_s}


# --- at full speed ---------------------------------------------------------------------------------------


async def _loopback(
    size: int, runs: int, folder: Path | None, log: Callable[[str], None]
) -> tuple[list[Row], list[Row]]:
    http: list[Row] = []
    swarm: list[Row] = []
    port = free_port()
    with work_folder(2 * size, folder) as place:
        bed = await make_bed(place, size, mirrors=(f"http://127.0.0.1:{port}/",))
        expected = await asyncio.to_thread(hash_file, bed.payload / FILE, chunk_bytes=_CHUNK_BYTES)
        async with Nginx(place / "nginx", bed.channel, port=port) as server, seeding(bed) as seed:
            for number in range(runs):
                for party in HTTP_PARTIES:
                    row = await _fetch_one(party, bed, server.url, expected)
                    http.append({"party": party, "round": number, **row})
                    log(f"http, round {number + 1}: {party}: {float(row['seconds']):.2f} s")
                for party in SWARM_PARTIES:
                    row = await _fetch_beside(party, bed, server.url, seed)
                    swarm.append({"party": party, "round": number, **row})
                    log(f"swarm, round {number + 1}: {party}: {float(row['seconds']):.2f} s")
    return http, swarm


async def _fetch_beside(party: str, bed: Bed, url: str, seed: Seed) -> Row:
    words = ["--channel", url, "--root", str(bed.root), "--name", NAME, "--to", str(bed.fresh("it"))]
    ways = {"ours": ["--mirrors"], "web seeds": ["--mirrors", "--web-seeds"], "peers": []}
    return await measure("ours", *words, "--peer", str(seed.address), *ways[party])


async def _fetch_one(party: str, bed: Bed, url: str, expected: str) -> Row:
    target = bed.fresh("it")
    if party == "ours":
        words = ("--channel", url, "--root", str(bed.root), "--name", NAME, "--to", str(target))
        return await measure("ours", *words, "--mirrors", "--no-peers")
    return await asyncio.to_thread(_fetch_by, party, url, target, expected)


def _fetch_by(party: str, url: str, target: Path, expected: str) -> Row:
    """A program, and then SHA-256 by the same library that ours uses: neither checks while it fetches."""
    path = target / FILE
    if party == "aria2":
        words = ["aria2c", "--no-conf", "--quiet", "--file-allocation=none", "--split=4"]
        words += ["--max-connection-per-server=4", f"--dir={target}", _file_url(url)]
    else:
        words = ["curl", "--silent", "--fail", "--output", str(path), _file_url(url)]
    begin_s = time.monotonic()
    subprocess.run(words, check=True, timeout=_DEADLINE_S)
    fetched_s = time.monotonic() - begin_s
    if hash_file(path, chunk_bytes=_CHUNK_BYTES) != expected:
        raise SystemExit(f"{party} delivered wrong bytes")
    return {"seconds": time.monotonic() - begin_s, "fetched_s": fetched_s}


def _file_url(mirror: str) -> str:
    return layout.url(mirror, layout.file_path(NAME, VERSION, FILE))
