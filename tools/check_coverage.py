"""Checks that every module of ossdist is covered well enough, lines and branches together.

``python3 tools/check_coverage.py [REPORT]`` reads coverage.json (written by ``dev.py test``) and exits with 1,
naming each module, if one lies below the minimum or is not in the report, or if one changed after the report.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
MINIMUM_PERCENT = 90.0


class Summary(TypedDict):
    """The numbers of one file, of which this one counts."""

    percent_covered: float


class FileReport(TypedDict):
    """One file in coverage's JSON report."""

    summary: Summary


class Report(TypedDict):
    """Coverage's JSON report, as far as it is read here."""

    files: dict[str, FileReport]


def modules(root: Path) -> dict[str, float]:
    """Every module under ``ossdist``, as the report names it, with the time of its last change."""
    paths = sorted((root / "ossdist").rglob("*.py"))
    return {path.relative_to(root).as_posix(): path.stat().st_mtime for path in paths}


def shortcomings(percents: Mapping[str, float], wanted: Sequence[str], minimum: float) -> list[str]:
    """One line for each wanted module that is below the minimum or missing, the worst first."""
    missing = [f"{name}: not in the report" for name in wanted if name not in percents]
    low = sorted((percents[name], name) for name in wanted if name in percents and percents[name] < minimum)
    return [*missing, *(f"{name}: {percent:.2f} %, {minimum:g} % needed" for percent, name in low)]


def check(report: Path, root: Path, *, minimum: float = MINIMUM_PERCENT) -> list[str]:
    """What is wrong with the coverage of a tree, one line each; nothing if all is well.

    Args:
        report: The file that ``coverage json`` wrote.
        root: The folder that holds ``ossdist``.
        minimum: The percentage that every module has to reach.
    """
    wanted = modules(root)
    if not wanted:
        return [f"no module was found under {root / 'ossdist'}"]
    if not report.is_file():
        return [f"{report.name} is missing: run `python3 tools/dev.py test` first"]
    written = report.stat().st_mtime
    newer = [name for name, changed in wanted.items() if changed > written]
    if newer:
        return [f"{report.name} is older than {', '.join(newer)}: run the tests again"]
    try:
        files = cast("Report", json.loads(report.read_bytes()))["files"]
        percents = {name: entry["summary"]["percent_covered"] for name, entry in files.items()}
    except (ValueError, LookupError, TypeError) as error:
        return [f"{report.name} is not a report of coverage: {error!r}"]
    return shortcomings(percents, list(wanted), minimum)


def main(argv: Sequence[str]) -> int:
    """Prints the outcome, and gives the exit code."""
    if len(argv) > 1:
        print("usage: check_coverage.py [REPORT]", file=sys.stderr)
        return 2
    wrong = check(Path(argv[0]) if argv else ROOT / "coverage.json", ROOT)
    if wrong:
        print(f"coverage: {len(wrong)} shortcoming(s)", *wrong, sep="\n  ")
        return 1
    print(f"coverage: every module reaches {MINIMUM_PERCENT:g} %")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
