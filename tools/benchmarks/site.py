"""Two clients of one site, on one switch, behind a slow line: what they get from each other, in namespaces."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.store.hashing import hash_file
from tests.lab.links import FAST, Link, mbit
from tests.lab.network import Network
from tools.benchmarks.bed import FILE, NAME, make_bed
from tools.benchmarks.links import PORT, answer, start
from tools.benchmarks.report import Row, machine, medians, work_folder

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tools.benchmarks.bed import Bed

SIZE = 50_000_000
CLIENTS = 2
LINE = Link(up_bps=mbit(5), down_bps=mbit(20), queue_s=0.1)
PARTIES = ("ours", "defaults")
_HEADERS = 1514 / 1448
_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Case:
    """How two clients begin.

    Attributes:
        name: What to call it.
        later_s: So much later the second one begins.
    """

    name: str
    later_s: float


CASES = (Case("at once", 0.0), Case("5 s later", 5.0))


async def run(*, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures all parties in each round of each case."""
    cases: list[dict[str, object]] = []
    rows: list[Row] = []
    with work_folder((3 + CLIENTS) * SIZE, folder) as place:
        bed = await make_bed(place, SIZE)
        for case in CASES:
            measured = await asyncio.to_thread(_measure, case, bed, runs, log)
            rows += [{"case": case.name, **row} for row in measured]
            figures = {party: medians(measured, party, "seconds", "from_each_other") for party in PARTIES}
            cases.append(
                {
                    "name": case.name,
                    "seconds": {party: values["seconds"] for party, values in figures.items()},
                    "from_each_other": {party: values["from_each_other"] for party, values in figures.items()},
                }
            )
    return {"bench": "site", "cases": cases, "machine": machine(), "runs": runs, "rows": rows}


def _measure(case: Case, bed: Bed, runs: int, log: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    expected = hash_file(bed.payload / FILE, chunk_bytes=1 << 20)
    for number in range(runs):
        for party in PARTIES:
            base = bed.fresh("site").parent
            row = _run_one(case, bed, party, base)
            for client in range(CLIENTS):
                if hash_file(base / f"client {client}" / "it" / FILE, chunk_bytes=1 << 20) != expected:
                    raise SystemExit(f"{party} delivered wrong bytes")
            rows.append({"party": party, "round": number, **row})
            log(f"{case.name}, round {number + 1}: {party}: {row}")
    return rows


def _run_one(case: Case, bed: Bed, party: str, base: Path) -> Row:
    """``from_each_other`` is the part of both files that has not come over the site's line (with its headers)."""
    with Network() as network:
        seed = network.host("seed", FAST)
        site = network.site("site", LINE, nat=True, bridged=True)
        clients = [site.host(f"client {number}") for number in range(CLIENTS)]
        torrents = [str(bed.torrent(v1=v1)) for v1 in (False, True)]
        answer(start(seed, "seed", "--listen", f"{seed.address}:{PORT}", "--save-path", str(bed.payload), *torrents))
        begin_s = time.monotonic()
        processes: list[subprocess.Popen[str]] = []
        for number, client in enumerate(clients):
            target = base / f"client {number}" / "it"
            target.mkdir(parents=True)
            words = ("--listen", f"{client.address}:{PORT}", "--peer", f"{seed.address}:{PORT}", "--lsd", "--stay")
            if party == "ours":
                where = ("--channel", str(bed.channel), "--root", str(bed.root), "--name", NAME, "--to", str(target))
                words = ("ours", *where, *words)
            else:
                where = ("--torrent", str(bed.torrent(v1=False)), "--save-path", str(target))
                words = ("bare", "--defaults", *where, *words)
            if number:
                time.sleep(case.later_s)
            processes.append(start(client, *words))
        for process in processes:
            answer(process)
        seconds = time.monotonic() - begin_s
        came = site.received_on("up0") / _HEADERS
        return {"seconds": seconds, "from_each_other": max(0.0, 1.0 - came / (CLIENTS * SIZE))}
