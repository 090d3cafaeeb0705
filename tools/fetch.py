"""Fetches a release from a channel, through the swarm and mirrors at once, every byte checked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import _script
from _progress import ProgressDisplay

from ossdist import blocking
from ossdist.config import ClientConfig
from ossdist.release.report import Outcome
from ossdist.upstream import UPSTREAM_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ossdist.release.report import DownloadReport
    from ossdist.transfer.metainfo import Address

_TO_HELP = (
    "folder for the files; a file of the same name is replaced in one step. A folder .ossdist-* in it is a download "
    "that was not finished: the next call goes on with it, and it may be deleted"
)


class _Arguments(_script.NetworkArguments):
    name: str
    version: str | None
    root: Path
    to: Path
    no_p2p: bool
    no_http: bool
    peer: list[Address]


def _parse(argv: Sequence[str]) -> _Arguments:
    parser = argparse.ArgumentParser(prog="fetch.py", description=__doc__)
    parser.add_argument(
        "channel",
        type=_script.channel,
        metavar="CHANNEL",
        help="address, or a folder, which then gives the payload too",
    )
    parser.add_argument("name", metavar="NAME", help="the package")
    parser.add_argument("--version", metavar="V", help="default: the newest, which is the one published last")
    parser.add_argument("--root", type=_script.file, required=True, help=_script.ROOT_HELP)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help=_TO_HELP)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--no-p2p", action="store_true", help="mirrors alone, and the channel's own folder")
    ways.add_argument(
        "--no-http",
        action="store_true",
        help="peers alone, for the payload: no mirrors, and not the channel's own folder",
    )
    parser.add_argument(
        "--peer", action="append", type=_script.peer_address, default=[], metavar="HOST:PORT", help="may be repeated"
    )
    _script.add_network_arguments(parser)
    _script.add_json_argument(parser)
    return parser.parse_args(argv, namespace=_Arguments())


def _config(args: _Arguments) -> ClientConfig:
    return ClientConfig(
        swarm=_script.swarm_config(args),
        transfer=_script.transfer_config(args),
        peers_enabled=not args.no_p2p,
        mirrors_enabled=not args.no_http,
        state_folder=args.state,
    )


def _fetch(args: _Arguments) -> DownloadReport:
    with ProgressDisplay() as display:
        return blocking.download(
            _script.channels(args),
            args.name,
            version=args.version,
            root=args.root,
            to=args.to,
            peers=args.peer,
            config=_config(args),
            on_event=display,
        )


def _tell(report: DownloadReport) -> str:
    lines = [f"{report.name} {report.version}: {len(report.files)} file(s) verified, {report.seconds:.1f} s"]
    lines += [f"  {source.url}: {source.bytes} bytes, {source.failures} failure(s)" for source in report.sources]
    for found in report.files:
        upstream = next(check for check in found.report.checks if check.name == UPSTREAM_SIGNATURE)
        lines.append(f"  {found.path}" + (f": {upstream.detail}" if upstream.outcome is Outcome.PASS else ""))
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    return _script.run(lambda: _fetch(args), as_json=args.json, keys=_script.report_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
