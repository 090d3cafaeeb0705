"""A flash crowd in namespaces: one seed and ten who come at once, beside bare libtorrent and aria2."""

from __future__ import annotations

import asyncio
import shutil
import statistics
from typing import TYPE_CHECKING

from ossdist.store.hashing import hash_file
from tests.lab.links import Link, mbit
from tools.benchmarks.bed import FILE, make_bed
from tools.benchmarks.crowd import Crowd
from tools.benchmarks.crowd import run as run_crowd
from tools.benchmarks.report import machine, median_ratio, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tools.benchmarks.bed import Bed
    from tools.benchmarks.report import Row

PARTIES = ("ours", "bare", "defaults", "aria2")
LINE = Link(up_bps=mbit(25), down_bps=mbit(25))
CROWD = Crowd(name="50 MB, 1 seed, 10 leechers", size=50_000_000, seeds=1, seed_link=LINE, leechers=10, link=LINE)


async def run(*, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures all parties in each round."""
    with work_folder(CROWD.size * (CROWD.leechers + 2), folder) as place:
        bed = await make_bed(place, CROWD.size)
        rows = await asyncio.to_thread(_measure, bed, runs, log)
    last = {
        party: statistics.median(float(row["seconds"]) for row in rows if row["party"] == party) for party in PARTIES
    }
    return {
        "bench": "flashcrowd",
        "fluid_s": CROWD.fluid_s,
        "last_s": last,
        "ratio": last["ours"] / CROWD.fluid_s,
        "ratios": {party: seconds / CROWD.fluid_s for party, seconds in last.items()},
        "faster_than": {party: median_ratio(rows, "ours", party, "seconds") for party in PARTIES[1:]},
        "machine": machine(),
        "runs": runs,
        "rows": rows,
    }


def _measure(bed: Bed, runs: int, log: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    expected = hash_file(bed.payload / FILE, chunk_bytes=1 << 20)
    for number in range(runs):
        for party in PARTIES:
            shutil.rmtree(bed.folder / "crowd", ignore_errors=True)
            took = run_crowd(CROWD, bed, party)
            for target in (bed.folder / "crowd").glob("*/it"):
                if hash_file(target / FILE, chunk_bytes=1 << 20) != expected:
                    raise SystemExit(f"{party} delivered wrong bytes")
            last, middle = took.seconds[-1], statistics.median(took.seconds)
            row: Row = {"party": party, "round": number, "seconds": last, "median_s": middle}
            rows.append({**row, "seed_copies": took.seed_copies})
            log(
                f"round {number + 1}: {party}: last {last:.1f} s, median {middle:.1f} s of {CROWD.fluid_s:.1f}, "
                f"{took.seed_copies:.2f} copies from the seed"
            )
    return rows
