"""One seed, one downloader, loopback: our whole download beside bare libtorrent and other clients."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

from ossdist.store.hashing import hash_file
from tests.programs.aria2 import Aria2
from tests.programs.qbittorrent import QBittorrent
from tests.programs.transmission import Transmission
from tools.benchmarks.bed import FILE, NAME, Bed, Seed, make_bed, measure, seeding
from tools.benchmarks.report import Row, machine, median_ratio, medians, work_folder
from tools.benchmarks.worker import peak_rss_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.programs.client import Client

OTHERS: dict[str, tuple[Callable[[Path], Client], bool]] = {
    "aria2": (Aria2, True),
    "qbittorrent": (QBittorrent, False),
    "transmission": (Transmission, True),
}
"""How to start each, and whether it needs the v1 torrent."""


async def run(*, size: int, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures all parties in each of ``runs`` rounds."""
    rows: list[Row] = []
    with work_folder(2 * size, folder) as place:
        bed = await make_bed(place, size)
        expected = hash_file(bed.payload / FILE, chunk_bytes=1 << 20)
        async with seeding(bed) as seed:
            for number in range(runs):
                for party in ("ours", "bare", "bare v1", *OTHERS):
                    row = await _run_one(party, bed, seed)
                    found = hash_file(bed.folder / "downloads" / "it" / FILE, chunk_bytes=1 << 20)
                    if found != expected:
                        raise SystemExit(f"{party} delivered wrong bytes")
                    rows.append({"party": party, "round": number, **row})
                    log(f"round {number + 1}: {party}: {size / float(row['seconds']) / 1e6:.0f} MB/s")
    parties = ("ours", "bare", "bare v1", *OTHERS)
    figures = {party: medians(rows, party, "seconds", "cpu_s", "peak_rss_bytes") for party in parties}
    gib = size / 2**30
    return {
        "bench": "throughput",
        "ratio": median_ratio(rows, "ours", "bare", "seconds"),
        "ratio_to_others": {party: median_ratio(rows, "ours", party, "seconds") for party in OTHERS},
        "clients": {party: size / values["seconds"] / 1e6 for party, values in figures.items()},
        "cpu_s_per_gib": {party: values["cpu_s"] / gib for party, values in figures.items()},
        "peak_rss_mb": {party: values["peak_rss_bytes"] / 1e6 for party, values in figures.items()},
        "bytes": size,
        "machine": machine(),
        "runs": runs,
        "rows": rows,
    }


async def _run_one(party: str, bed: Bed, seed: Seed) -> Row:
    target = bed.fresh("it")
    match party:
        case "ours":
            channel = ["--channel", str(bed.channel), "--root", str(bed.root), "--name", NAME]
            return await measure("ours", *channel, "--to", str(target), "--peer", str(seed.address))
        case "bare" | "bare v1":
            torrent = str(bed.torrent(v1=party == "bare v1"))
            return await measure("bare", "--torrent", torrent, "--save-path", str(target), "--peer", str(seed.address))
        case _:
            start, v1 = OTHERS[party]
            return await _run_other(start, bed.torrent(v1=v1).read_bytes(), target, bed, seed)


async def _run_other(start: Callable[[Path], Client], torrent: bytes, target: Path, bed: Bed, seed: Seed) -> Row:
    profile = bed.folder / "downloads" / "profile"
    profile.mkdir()
    async with start(profile) as client:
        process = psutil.Process(client.pid)
        cpu_before_s = sum(process.cpu_times()[:2])
        begin_s = time.monotonic()
        key = await client.add_torrent(torrent, save_path=target)
        seed.dial(client.peer.port)
        await client.complete(key, timeout_s=300)
        seconds = time.monotonic() - begin_s
        cpu_s = sum(process.cpu_times()[:2]) - cpu_before_s
        return {"seconds": seconds, "cpu_s": cpu_s, "peak_rss_bytes": peak_rss_bytes(client.pid)}
