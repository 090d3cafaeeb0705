"""Verifies a file against its signed release, offline, and prints every check.

The release's signatures are taken from beside it. A check that is needed and cannot be made is no pass. The report can
be kept as JSON, signed by a key of your own: plain `gpg --verify` checks it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import _script

from ossdist.release.layout import signature_path
from ossdist.release.report import Outcome, encode_report
from ossdist.release.signing import GpgSigner
from ossdist.store.files import write_atomically
from ossdist.verification import verify_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ossdist.release.report import Check, VerificationReport


class _Arguments(_script.Arguments):
    file: Path
    release: Path
    root: Path
    path: str | None
    torrent: Path | None
    channel: Path | None
    report: Path | None
    sign_key: str | None
    gnupghome: Path | None


def _parse(argv: Sequence[str]) -> _Arguments:
    parser = argparse.ArgumentParser(prog="verify.py", description=__doc__)
    parser.add_argument("file", type=_script.file, metavar="FILE")
    parser.add_argument("--release", type=_script.file, required=True, metavar="RELEASE.json")
    parser.add_argument("--root", type=_script.file, required=True, metavar="ROOT.json")
    parser.add_argument("--path", help="FILE's path in the release; default: found by its name")
    parser.add_argument("--torrent", type=_script.file, help="default: looked for beside the release")
    parser.add_argument("--channel", type=_script.file, metavar="CHANNEL.json", help="must list the release")
    parser.add_argument("--report", type=Path, metavar="OUT.json", help="keep the report")
    parser.add_argument("--sign-key", type=_script.fingerprint, metavar="FPR", help="sign it: OUT.json.FPR.asc")
    parser.add_argument("--gnupghome", type=_script.folder, metavar="DIR", help="of that key; default: gpg's own")
    _script.add_json_argument(parser)
    args = parser.parse_args(argv, namespace=_Arguments())
    if args.sign_key is not None and args.report is None:
        parser.error("--sign-key signs what --report keeps")
    return args


def _verify(args: _Arguments) -> VerificationReport:
    report = verify_file(
        args.file,
        release=args.release,
        root=args.root,
        path=args.path,
        torrent=args.torrent,
        channel=args.channel,
    )
    if args.report is not None:
        document = encode_report(report)
        if args.sign_key is not None:
            signature = GpgSigner(args.gnupghome).sign(document, args.sign_key)
            write_atomically(args.report.with_name(signature_path(args.report.name, args.sign_key)), signature)
        write_atomically(args.report, document)
    return report


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
