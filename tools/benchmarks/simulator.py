"""What a simulation costs, by how many peers it has: CPU time and memory of tools/simulate.py, one process a run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.benchmarks.report import machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.benchmarks.report import Row

# pyright: reportUnknownMemberType=false
# matplotlib's own types leave its keyword arguments open.


@dataclass(frozen=True, slots=True)
class Run:
    """One size of one scenario.

    Attributes:
        scenario: Its name.
        peers: How many come.
        most_s: What it may take, in CPU seconds; 0 if nothing was promised.
        most_mb: What it may have resident.
    """

    scenario: str
    peers: int
    most_s: float = 0.0
    most_mb: float = 0.0


_SCRIPT = Path(__file__).parents[1] / "simulate.py"

RUNS = (
    *(Run("data-center", peers) for peers in (100, 300, 1000)),
    Run("data-center", 2600, most_s=300.0, most_mb=4000.0),
    *(Run("large-crowd", peers) for peers in (1000, 3000, 10_000)),
    Run("large-crowd", 20_000, most_s=900.0),
)


async def run(*, plot: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Runs everything once: the same seed takes the same steps, so only the machine's noise would differ."""
    rows: list[Row] = []
    for each in RUNS:
        row = await asyncio.to_thread(_measure, each)
        rows.append(row)
        log(
            f"{each.scenario}, {each.peers} peers: {float(row['cpu_s']):.1f} s of CPU, {float(row['rss_mb']):.0f} MB; "
            f"p50 {float(row['p50']):.1f} s, p99 {float(row['p99']):.1f} s, p99.9 {float(row['p999']):.1f} s"
        )
    if plot is not None:
        _plot(rows, plot)
    kept = all(
        (not each.most_s or float(row["cpu_s"]) < each.most_s)
        and (not each.most_mb or float(row["rss_mb"]) < each.most_mb)
        for each, row in zip(RUNS, rows, strict=True)
    )
    return {"bench": "simulator", "kept": kept, "machine": machine(), "runs": 1, "rows": rows}


def _measure(each: Run) -> Row:
    """Runs it in a process of its own, for its CPU time and memory alone."""
    words = [sys.executable, str(_SCRIPT), each.scenario, "--peers", str(each.peers), "--json"]
    read, write = os.pipe()
    pid = os.posix_spawn(
        sys.executable, words, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)]
    )
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        out = pipe.read()
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{each.scenario}: {out}")
    answer = cast("dict[str, dict[str, float]]", json.loads(out.splitlines()[-1]))
    return {
        "scenario": each.scenario,
        "peers": each.peers,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_mb": usage.ru_maxrss / 1000,
        **answer["completion"],
    }


def _plot(rows: list[Row], path: Path) -> None:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # no window is ever opened
    axes = figure.add_subplot()
    for scenario in dict.fromkeys(str(row["scenario"]) for row in rows):
        mine = [row for row in rows if row["scenario"] == scenario]
        axes.plot([row["peers"] for row in mine], [row["cpu_s"] for row in mine], marker="o", label=scenario)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("peers")
    axes.set_ylabel("CPU seconds")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png", dpi=120)
