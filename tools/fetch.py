"""Fetches a release from a channel, through the swarm and mirrors at once, every byte checked."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import _script
from _progress import ProgressDisplay

from ossdist import blocking
from ossdist.config import ClientConfig, FetchConfig, MirrorConfig
from ossdist.metalink import lists, xml
from ossdist.mirrors.geo import country_place
from ossdist.release.report import Outcome
from ossdist.store.files import read_file
from ossdist.upstream import UPSTREAM_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ossdist.metalink.document import Metalink
    from ossdist.mirrors.sites import Place, Site
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
    prefer_mirror: list[str]
    ban_mirror: list[str]
    head_start: float
    mirror_limit: float
    target_rate: float | None
    mirror_share: float
    location: Place | None
    geo_database: list[Path]
    ca_bundle: Path | None
    metalink: list[Path]
    mirror_list: list[Path]
    web_seeds: bool


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
    _add_mirror_arguments(parser)
    _script.add_network_arguments(parser)
    _script.add_json_argument(parser)
    return parser.parse_args(argv, namespace=_Arguments())


def _add_mirror_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = MirrorConfig()
    mirrors = parser.add_argument_group("mirrors")
    mirrors.add_argument("--prefer-mirror", action="append", default=[], metavar="URL", help="before all others")
    mirrors.add_argument("--ban-mirror", action="append", default=[], metavar="URL", help="never")
    mirrors.add_argument(
        "--head-start",
        type=_number,
        default=defaults.head_start_s,
        metavar="S",
        help="for so long peers are alone; default: %(default)s",
    )
    mirrors.add_argument(
        "--target-rate", type=_number, metavar="BYTES", help="with so much a second from peers no mirror is asked"
    )
    mirrors.add_argument(
        "--mirror-limit", type=_number, default=0.0, metavar="BYTES", help="the most that mirrors give a second"
    )
    mirrors.add_argument(
        "--mirror-share",
        type=_share,
        default=defaults.most_share,
        metavar="PART",
        help="the most that they give of all, 0 to 1, while peers give something",
    )
    mirrors.add_argument("--location", type=_country, metavar="CC", help="the country where this machine is")
    mirrors.add_argument(
        "--geo-database",
        action="append",
        type=_script.file,
        default=[],
        metavar="FILE.mmdb",
        help="default: those in /usr/share/GeoIP and the like",
    )
    mirrors.add_argument("--ca-bundle", type=_script.file, metavar="FILE.pem", help="certificates to trust")
    mirrors.add_argument(
        "--metalink",
        action="append",
        type=_script.file,
        default=[],
        metavar="FILE.meta4",
        help="further places where the files are",
    )
    mirrors.add_argument(
        "--mirror-list",
        action="append",
        type=_script.file,
        default=[],
        metavar="FILE",
        help="further copies of the channel's folder, an address a line, or as apt's mirror+file: has them",
    )
    mirrors.add_argument("--web-seeds", action="store_true", help="let libtorrent ask mirrors")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return number


def _share(text: str) -> float:
    if _number(text) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 1")
    return float(text)


def _country(text: str) -> Place:
    place = country_place(text)
    if place.country is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no country's code of two letters")
    return place


def _mirror_config(args: _Arguments) -> MirrorConfig:
    return MirrorConfig(
        prefer=tuple(args.prefer_mirror),
        ban=tuple(args.ban_mirror),
        head_start_s=args.head_start,
        target_bytes_per_s=args.target_rate,
        bytes_per_s=args.mirror_limit,
        most_share=args.mirror_share,
        place=args.location,
        geo_databases=tuple(args.geo_database) or None,
        web_seeds=args.web_seeds,
    )


def _more_mirrors(args: _Arguments) -> list[Site | Metalink]:
    found: list[Site | Metalink] = [
        xml.decode(read_file(path, limit_bytes=xml.MAX_BYTES), document=path.name) for path in args.metalink
    ]
    for path in args.mirror_list:
        found += lists.sites(lists.decode(read_file(path, limit_bytes=lists.MAX_BYTES), document=path.name))
    return found


def _config(args: _Arguments) -> ClientConfig:
    return ClientConfig(
        swarm=_script.swarm_config(args),
        transfer=_script.transfer_config(args),
        rates=_script.rates_config(args),
        fetch=FetchConfig(ca_bundle=args.ca_bundle),
        mirrors=_mirror_config(args),
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
            mirrors=_more_mirrors(args),
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
