"""What our own checks cost: the whole download with and without the whole-file hash, and bare libtorrent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.benchmarks.bed import NAME, make_bed, measure, seeding
from tools.benchmarks.report import Row, machine, median_ratio, medians, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINK_BYTES_PER_S = 12_500_000
"""100 Mbit/s, by libtorrent's own limit."""

PARTIES = {"all checks": [], "without whole-file hash": ["--no-hash"]}


async def run(
    *, size: int, link_size: int, runs: int, folder: Path | None, log: Callable[[str], None]
) -> dict[str, object]:
    """Measures at full speed with ``size`` bytes, and at 100 Mbit/s with ``link_size`` bytes."""
    full = await _measure_all(size, 0, runs, folder, log)
    link = await _measure_all(link_size, LINK_BYTES_PER_S, max(1, runs // 2), folder, log)
    names = list(PARTIES)
    checked, unchecked = names
    return {
        "bench": "verify",
        "overhead": 1 / median_ratio(full, checked, unchecked, "seconds") - 1,
        "overhead_link": 1 / median_ratio(link, checked, unchecked, "seconds") - 1,
        "overhead_to_bare": 1 / median_ratio(full, checked, "bare", "seconds") - 1,
        "seconds": {
            "loopback": {name: medians(full, name, "seconds")["seconds"] for name in names},
            "link": {name: medians(link, name, "seconds")["seconds"] for name in names},
        },
        "bytes": {"loopback": size, "link": link_size},
        "machine": machine(),
        "runs": runs,
        "rows": [*full, *link],
    }


async def _measure_all(
    size: int, limit_bytes_per_s: int, runs: int, folder: Path | None, log: Callable[[str], None]
) -> list[Row]:
    rows: list[Row] = []
    with work_folder(2 * size, folder) as place:
        bed = await make_bed(place, size)
        async with seeding(bed) as seed:
            peer = ["--peer", str(seed.address)]
            channel = ["--channel", str(bed.channel), "--root", str(bed.root), "--name", NAME]
            for number in range(runs):
                # Every other round the other way round: what comes first may find a colder machine.
                order = list(PARTIES.items()) if number % 2 else list(reversed(PARTIES.items()))
                for party, options in order:
                    target = ["--to", str(bed.fresh("it")), "--download-bytes-per-s", str(limit_bytes_per_s)]
                    row = await measure("ours", *channel, *peer, *target, *options)
                    rows.append({"party": party, "round": number, **row})
                if not limit_bytes_per_s:
                    target = ["--torrent", str(bed.torrent(v1=False)), "--save-path", str(bed.fresh("it"))]
                    rows.append({"party": "bare", "round": number, **await measure("bare", *target, *peer)})
                log(f"round {number + 1} of {runs} at {limit_bytes_per_s or 'any'} bytes/s")
    return rows
