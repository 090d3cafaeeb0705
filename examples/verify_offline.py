"""Verifies a file against its signed release, and prints each check.

``python examples/verify_offline.py FILE RELEASE.json ROOT.json``
"""

from __future__ import annotations

import sys
from pathlib import Path

from ossdist.verification import verify_file


def main(file: str, release: str, root: str) -> int:
    """Verifies, and gives an exit code."""
    report = verify_file(Path(file), release=Path(release), root=Path(root))
    for check in report.checks:
        print(f"{check.name}: {check.outcome.value} ({check.detail})")
    return 0 if report.passed else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
