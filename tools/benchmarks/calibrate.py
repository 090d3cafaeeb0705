"""Is the simulator right? The same crowds in namespaces with real clients, and in the model of `ossdist.sim.crowd`."""

from __future__ import annotations

import asyncio
import shutil
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from ossdist.config import SwarmConfig
from ossdist.mirrors.sites import Site
from ossdist.sim.crowd.behaviour import Altruist
from ossdist.sim.crowd.discovery import Discovery
from ossdist.sim.crowd.swarm import CrowdSwarm, Rules
from ossdist.sim.crowd.topology import Access, star
from ossdist.swarm.metainfo import piece_length_for
from tests.lab.links import Link, mbit
from tools.benchmarks.bed import make_bed
from tools.benchmarks.crowd import Crowd, Took, mirror_address
from tools.benchmarks.crowd import run as run_crowd
from tools.benchmarks.report import machine, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tools.benchmarks.report import Row


def _line(up: float, down: float) -> Link:
    return Link(up_bps=mbit(up), down_bps=mbit(down))


def _crowd(
    name: str, megabytes: int, seeds: tuple[int, Link], leechers: tuple[int, Link], *, mirror: Link | None = None
) -> Crowd:
    (some, seed_link), (many, link) = seeds, leechers
    return Crowd(
        name=name,
        size=megabytes * 1_000_000,
        seeds=some,
        seed_link=seed_link,
        leechers=many,
        link=link,
        mirror_link=mirror,
    )


CASES = (
    _crowd("1 from 1", 25, (1, _line(25, 25)), (1, _line(25, 25))),
    _crowd("1 from 4", 50, (4, _line(10, 10)), (1, _line(20, 100))),
    _crowd("4 from 1, slow up", 25, (1, _line(20, 20)), (4, _line(5, 40))),
    _crowd("8 from 2, hardly any up", 25, (2, _line(20, 20)), (8, _line(1, 20))),
    _crowd("10 from 1, flash crowd", 50, (1, _line(25, 25)), (10, _line(25, 25))),
    _crowd("16 from 2", 25, (2, _line(20, 20)), (16, _line(10, 30))),
    _crowd("1 from a mirror and 1", 25, (1, _line(5, 5)), (1, _line(10, 100)), mirror=_line(50, 50)),
    _crowd("4 from a mirror and 1", 50, (1, _line(10, 10)), (4, _line(10, 50)), mirror=_line(50, 50)),
)
"""Who from how many; 1 to 16 downloaders, like lines and unlike ones, with and without a mirror."""

_SEEDS = (1, 2, 3)


async def run(*, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures every case in both."""
    rows = [await _compare(crowd, runs, folder, log) for crowd in CASES]
    return {
        "bench": "calibrate",
        "worst": max(abs(float(row["off"])) for row in rows),
        "machine": machine(),
        "runs": runs,
        "rows": rows,
    }


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| downloaders | real, last | model, last | off | real, median | model, median | real copies | model copies |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['case']} | {float(row['real_s']):.1f} s | {float(row['model_s']):.1f} s | {float(row['off']):+.0%} "
        f"| {float(row['real_median_s']):.1f} s | {float(row['model_median_s']):.1f} s "
        f"| {float(row['real_copies']):.2f} | {float(row['model_copies']):.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def simulate(crowd: Crowd, *, seed: int) -> tuple[list[float], float]:
    """A crowd in the model.

    Returns:
        How long each downloader took, ascending, and what the seeds have sent, in copies of the file.
    """
    everybody = crowd.seeds + crowd.leechers
    piece_length = piece_length_for(crowd.size)
    # Everybody is told of everybody, as in the namespaces.
    discovery = Discovery(tracker_s=0.0, answer=everybody, enough=everybody, most=everybody, pex=False)
    swarm = CrowdSwarm(
        star(delay_s=0.0005), length=crowd.size, piece_length=piece_length, rules=Rules(discovery=discovery), seed=seed
    )
    behaviour = replace(Altruist(), slots=SwarmConfig().unchoke_slots)
    if crowd.mirror_link is not None:
        mirror = replace(Altruist(), slots=everybody)
        swarm.add_mirror(Site(url=mirror_address()), 0, _access(crowd.mirror_link), mirror)
    for _ in range(crowd.seeds):
        swarm.add_host(0, _access(crowd.seed_link), behaviour, has_all=True)
    for _ in range(crowd.leechers):
        swarm.add_host(0, _access(crowd.link), behaviour)
    swarm.run(3600.0)
    outcomes = swarm.outcomes()
    took = sorted(found.completed_s - found.arrived_s for found in outcomes if found.completed_s is not None)
    if len(took) < crowd.leechers:
        raise SystemExit(f"{crowd.name}: {crowd.leechers - len(took)} are not done in the model")
    sent = sum(swarm.sent_by(peer) for peer in swarm.peers if swarm.began_complete(peer))
    return took, sent / crowd.size


async def _compare(crowd: Crowd, runs: int, folder: Path | None, log: Callable[[str], None]) -> Row:
    mirrors = (mirror_address(),) if crowd.mirror_link is not None else ()
    with work_folder(crowd.size * (crowd.leechers + 2), folder) as place:
        bed = await make_bed(place, crowd.size, mirrors=mirrors)
        real: list[Took] = []
        for _ in range(runs):
            shutil.rmtree(bed.folder / "crowd", ignore_errors=True)
            real.append(await asyncio.to_thread(run_crowd, crowd, bed, "ours"))
    model = [await asyncio.to_thread(simulate, crowd, seed=seed) for seed in _SEEDS]
    real_s = statistics.median(took.seconds[-1] for took in real)
    model_s = statistics.median(took[-1] for took, _ in model)
    row: Row = {
        "case": crowd.name,
        "real_s": real_s,
        "model_s": model_s,
        "off": model_s / real_s - 1,
        "real_median_s": statistics.median(statistics.median(took.seconds) for took in real),
        "model_median_s": statistics.median(statistics.median(took) for took, _ in model),
        "real_copies": statistics.median(took.seed_copies for took in real),
        "model_copies": statistics.median(copies for _, copies in model),
        "fluid_s": crowd.fluid_s,
    }
    log(table([row]).splitlines()[-1])
    return row


def _access(link: Link) -> Access:
    return Access(_bytes(link.up_bps), _bytes(link.down_bps))


def _bytes(bps: float | None) -> float:
    return float("inf") if bps is None else bps / 8
