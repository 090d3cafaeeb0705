"""Verifies a file against its signed release, offline, and prints every check.

The release's signatures are taken from beside it. A check that is needed and cannot be made is no pass.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import _script

from ossdist.verification import verify_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ossdist.release.report import VerificationReport


class _Arguments(_script.Arguments):
    file: Path
    release: Path
    root: Path
    path: str | None
    torrent: Path | None
    channel: Path | None


def _parse(argv: Sequence[str]) -> _Arguments:
    parser = argparse.ArgumentParser(prog="verify.py", description=__doc__)
    parser.add_argument("file", type=_script.file, metavar="FILE")
    parser.add_argument("--release", type=_script.file, required=True, metavar="RELEASE.json")
    parser.add_argument("--root", type=_script.file, required=True, metavar="ROOT.json")
    parser.add_argument("--path", help="FILE's path in the release; default: found by its name")
    parser.add_argument("--torrent", type=_script.file, help="default: looked for beside the release")
    parser.add_argument("--channel", type=_script.file, metavar="CHANNEL.json", help="must list the release")
    _script.add_json_argument(parser)
    return parser.parse_args(argv, namespace=_Arguments())


def _verify(args: _Arguments) -> VerificationReport:
    return verify_file(
        args.file,
        release=args.release,
        root=args.root,
        path=args.path,
        torrent=args.torrent,
        channel=args.channel,
    )


def _keys(report: VerificationReport) -> dict[str, object]:
    keys = _script.verification_keys(report)
    if report.passed:
        return {"ok": True, **keys}
    reason = "; ".join(f"{check.name}: {check.detail}" for check in report.checks if check.outcome.value == "fail")
    return {"ok": False, "error": "VerificationFailed", "reason": reason or "a needed check was skipped", **keys}


def _tell(report: VerificationReport) -> str:
    lines = [f"{check.outcome.value:8}{check.name}: {check.detail}" for check in report.checks]
    return "\n".join([*lines, f"{report.file}: {'pass' if report.passed else 'fail'}"])


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    return _script.run(lambda: _verify(args), as_json=args.json, keys=_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
