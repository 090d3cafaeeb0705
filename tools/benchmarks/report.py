"""Rows, medians and the description of the machine, as every benchmark reports them."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import libtorrent as lt

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

Row = dict[str, "str | int | float"]


def machine() -> dict[str, str | int]:
    """What a figure depends on."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "cpu": cpu,
        "cores": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libtorrent": lt.__version__,
    }


def medians(rows: Sequence[Row], party: str, *names: str) -> dict[str, float]:
    """The median of each named value over one party's rows."""
    mine = [row for row in rows if row["party"] == party]
    return {name: statistics.median(float(row[name]) for row in mine) for name in names}


def median_ratio(rows: Sequence[Row], party: str, base: str, name: str) -> float:
    """The median over rounds of ``base``'s value by ``party``'s: above 1 means that ``party`` needs less.

    Both were measured one after the other in each round, so that what else the machine does hits both.
    """
    rounds: dict[int, dict[str, float]] = {}
    for row in rows:
        rounds.setdefault(int(row["round"]), {})[str(row["party"])] = float(row[name])
    return statistics.median(values[base] / values[party] for values in rounds.values())


@contextmanager
def work_folder(needed_bytes: int, chosen: Path | None) -> Generator[Path]:
    """A folder for a benchmark, removed afterwards: in memory if there is room, so that no disk blurs the figures."""
    memory = Path("/dev/shm")  # noqa: S108 - the name is random, and only ours are removed
    parent = chosen
    if parent is None and memory.is_dir() and shutil.disk_usage(memory).free > 2 * needed_bytes:
        parent = memory
    folder = Path(tempfile.mkdtemp(prefix="ossdist-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
