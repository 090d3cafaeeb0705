"""Verifies a file against its signed release, offline, and prints every check.

The release's signatures are taken from beside it. A check that is needed and cannot be made is no pass.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import _script

from ossdist.release.report import Outcome
from ossdist.verification import verify_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ossdist.release.report import Check, VerificationReport


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
    failed, skipped = _deciding(report)
    # What failed is the reason for what was skipped, as far as both are there.
    reason = "; ".join(f"{check.name}: {check.detail}" for check in failed or skipped)
    return {"ok": False, "error": "VerificationFailed", "reason": reason, **keys}


def _deciding(report: VerificationReport) -> tuple[list[Check], list[Check]]:
    """Why it did not pass: the checks that failed, and the needed ones that were skipped."""
    failed = [check for check in report.checks if check.outcome is Outcome.FAIL]
    skipped = [check for check in report.checks if check.outcome is Outcome.SKIPPED and check.required]
    return failed, skipped


def _verdict(report: VerificationReport) -> str:
    if report.passed:
        return "pass"
    decided = zip(("failed", "skipped"), _deciding(report), strict=True)
    reasons = [f"{', '.join(check.name for check in checks)} {verb}" for verb, checks in decided if checks]
    return f"fail ({'; '.join(reasons)})"


def _tell(report: VerificationReport) -> str:
    lines = [f"{check.outcome.value:8}{check.name}: {check.detail}" for check in report.checks]
    return "\n".join([*lines, f"{report.file}: {_verdict(report)}"])


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    return _script.run(lambda: _verify(args), as_json=args.json, keys=_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
