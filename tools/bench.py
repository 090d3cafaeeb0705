"""Measures OSSDist beside others; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.benchmarks import (
    asymmetric,
    calibrate,
    fallback,
    flashcrowd,
    hybrid,
    links,
    scale,
    simulator,
    site,
    startup,
    throughput,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tools.benchmarks.report import Row

MIB = 1 << 20


class _Rounds(TypedDict):
    """What most of them take."""

    runs: int
    folder: Path | None
    log: Callable[[str], None]


def main() -> None:
    """Runs one benchmark; the last line on stdout is its JSON with ``--json``, else a readable one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    parser.add_argument("--folder", type=Path, help="where to work; in memory if there is room")
    parser.add_argument("--runs", type=int, default=5, help="rounds, each with every party")
    benches = parser.add_subparsers(dest="bench", required=True)
    one = benches.add_parser("throughput", help=throughput.__doc__)
    one.add_argument("--mib", type=int, default=1024, help="size of the file")
    other = benches.add_parser("verify", help=verify.__doc__)
    other.add_argument("--mib", type=int, default=1024, help="size of the file at full speed")
    other.add_argument("--link-mib", type=int, default=256, help="size of the file at 100 Mbit/s")
    benches.add_parser("startup", help=startup.__doc__)
    benches.add_parser("links", help=links.__doc__)
    benches.add_parser("flashcrowd", help=flashcrowd.__doc__)
    benches.add_parser("asymmetric", help=asymmetric.__doc__)
    benches.add_parser("site", help=site.__doc__)
    trouble = benches.add_parser("fallback", help=fallback.__doc__)
    trouble.add_argument("--trials", type=int, default=25, help="of each failure")
    trouble.add_argument("--way-back", type=int, default=3, help="trials of the way back, where there is one")
    trouble.add_argument("--only", action="append", choices=sorted(fallback.FAULTS), help="of this failure alone")
    http = benches.add_parser("hybrid", help=hybrid.__doc__)
    http.add_argument("--mib", type=int, default=1024, help="size of the file at full speed")
    model = benches.add_parser("calibrate", help=calibrate.__doc__)
    model.add_argument("--table", action="store_true", help="a Markdown table instead of JSON")
    costs = benches.add_parser("simulator", help=simulator.__doc__)
    costs.add_argument("--plot", type=Path, help="draw the cost by peers: a PNG")
    many = benches.add_parser("scale", help=scale.__doc__)
    many.add_argument("--releases", type=int, default=10_000)
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs must be at least 1")
    result = asyncio.run(_work(arguments))
    if arguments.bench == "calibrate" and arguments.table:
        print(calibrate.table(cast("list[Row]", result["rows"])))
    else:
        print(json.dumps(result, indent=None if arguments.json else 2))


def _work(arguments: argparse.Namespace) -> Coroutine[None, None, dict[str, object]]:
    """The benchmark that was asked for."""
    rounds: _Rounds = {"runs": arguments.runs, "folder": arguments.folder, "log": _log}
    works: dict[str, Callable[[], Coroutine[None, None, dict[str, object]]]] = {
        "throughput": lambda: throughput.run(size=arguments.mib * MIB, **rounds),
        "verify": lambda: verify.run(size=arguments.mib * MIB, link_size=arguments.link_mib * MIB, **rounds),
        "startup": lambda: startup.run(**rounds),
        "links": lambda: links.run(**rounds),
        "flashcrowd": lambda: flashcrowd.run(**rounds),
        "asymmetric": lambda: asymmetric.run(**rounds),
        "fallback": lambda: fallback.run(
            faults=arguments.only or list(fallback.FAULTS),
            trials=arguments.trials,
            way_back=arguments.way_back,
            folder=arguments.folder,
            log=_log,
        ),
        "hybrid": lambda: hybrid.run(size=arguments.mib * MIB, **rounds),
        "site": lambda: site.run(**rounds),
        "calibrate": lambda: calibrate.run(**rounds),
        "simulator": lambda: simulator.run(plot=arguments.plot, log=_log),
        "scale": lambda: scale.run(releases=arguments.releases, **rounds),
    }
    return works[arguments.bench]()


def _log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
