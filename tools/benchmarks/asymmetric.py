"""A download over a line whose upload is a twentieth of its download, while others want all of that, in namespaces."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.store.hashing import hash_file
from tests.lab.firewall import Rule
from tests.lab.links import FAST, Link, mbit
from tests.lab.network import Network
from tools.benchmarks.bed import FILE, NAME, make_bed
from tools.benchmarks.links import PORT, answer, start
from tools.benchmarks.report import Row, machine, medians, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tools.benchmarks.bed import Bed

LEECHERS = 3
PARTIES = ("nobody asks", "ours", "bare", "defaults")
"""Our whole download with nobody who wants anything of it, and with leechers; libtorrent with our settings, and as it
comes."""
_CLIENT_PORT, _LEECHER_PORT = PORT + 1, PORT + 2
_QUEUE_S = 0.2
"""What a line of a household keeps, if not more; it is what hurts."""
_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Case:
    """A line.

    Attributes:
        down_bps: Bits a second to the client.
        up_bps: Bits a second away from it.
        size: Of the file, in bytes.
    """

    down_bps: float
    up_bps: float
    size: int

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self.down_bps / 1e6:g}/{self.up_bps / 1e6:g} Mbit/s"

    @property
    def raw_s(self) -> float:
        """How long the line needs for so many bytes, headers not counted."""
        return self.size * 8 / self.down_bps


CASES = (Case(mbit(100), mbit(5), 200_000_000), Case(mbit(20), mbit(1), 40_000_000))


async def run(*, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures all parties in each round of each case."""
    cases: list[dict[str, object]] = []
    rows: list[Row] = []
    for case in CASES:
        with work_folder((3 + LEECHERS) * case.size, folder) as place:
            bed = await make_bed(place, case.size)
            measured = await asyncio.to_thread(_measure, case, bed, runs, log)
        rows += [{"case": case.name, **row} for row in measured]
        figures = {party: medians(measured, party, "seconds", "upload_share") for party in PARTIES}
        cases.append(
            {
                "name": case.name,
                "raw_s": case.raw_s,
                "ratio_of_raw": {party: case.raw_s / values["seconds"] for party, values in figures.items()},
                "upload_share": {party: values["upload_share"] for party, values in figures.items()},
            }
        )
    return {"bench": "asymmetric", "cases": cases, "machine": machine(), "runs": runs, "rows": rows}


def _measure(case: Case, bed: Bed, runs: int, log: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    expected = hash_file(bed.payload / FILE, chunk_bytes=1 << 20)
    for number in range(runs):
        for party in PARTIES:
            target = bed.fresh("it")
            row = _run_one(case, bed, party, target)
            if hash_file(target / FILE, chunk_bytes=1 << 20) != expected:
                raise SystemExit(f"{party} delivered wrong bytes")
            rows.append({"party": party, "round": number, **row})
            log(f"{case.name}, round {number + 1}: {party}: {row['seconds']:.2f} s of {case.raw_s:.2f} raw, {row}")
    return rows


def _run_one(case: Case, bed: Bed, party: str, target: Path) -> Row:
    """The upload's share is of its line's rate, headers and acknowledgements counted."""
    with Network() as network:
        seed = network.host("seed", FAST)
        client = network.host("client", Link(up_bps=case.up_bps, down_bps=case.down_bps, queue_s=_QUEUE_S))
        leechers = [network.host(f"leecher {number}", FAST) for number in range(LEECHERS)]
        # Who wants something of the client gets nothing from anybody else.
        seed.firewall.add(Rule(action="reject", protocol="tcp", port=_LEECHER_PORT))
        torrents = [str(bed.torrent(v1=v1)) for v1 in (False, True)]
        answer(start(seed, "seed", "--listen", f"{seed.address}:{PORT}", "--save-path", str(bed.payload), *torrents))
        for number, leecher in enumerate(leechers if party != "nobody asks" else ()):
            for other in (PORT, _LEECHER_PORT):
                leecher.firewall.add(Rule(action="reject", protocol="tcp", port=other, chains=("output",)))
            place = target.parent / f"leecher {number}"
            place.mkdir()
            words = ("--torrent", str(bed.torrent(v1=False)), "--save-path", str(place))
            dialled = ("--listen", f"{leecher.address}:{_LEECHER_PORT}", "--peer", f"{client.address}:{_CLIENT_PORT}")
            start(leecher, "bare", *words, *dialled)
        words = ("--listen", f"{client.address}:{_CLIENT_PORT}", "--peer", f"{seed.address}:{PORT}")
        if party in {"bare", "defaults"}:
            words += ("--torrent", str(bed.torrent(v1=False)), "--save-path", str(target))
            words += ("--defaults",) if party == "defaults" else ()
        else:
            words += ("--channel", str(bed.channel), "--root", str(bed.root), "--name", NAME, "--to", str(target))
        before, begin_s = client.sent_bytes, time.monotonic()
        process = start(client, "bare" if party in {"bare", "defaults"} else "ours", *words)
        seconds = float(answer(process)["seconds"])
        share = (client.sent_bytes - before) * 8 / case.up_bps / (time.monotonic() - begin_s)
        process.wait(_DEADLINE_S)
        return {"seconds": seconds, "upload_share": share}
