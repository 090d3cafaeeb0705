"""Writes where a release is, for other tools: Metalink 4, a plain list of mirrors, or apt's; and shows such files.

Nothing is verified here: verify.py does that, and whoever downloads by a Metalink checks the SHA-256 that stands in it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import _script
import msgspec

from ossdist.metalink import lists, xml
from ossdist.metalink.lists import ListedMirror
from ossdist.metalink.release import of_release
from ossdist.release.model import MAX_RELEASE_BYTES, Mirror, decode_release
from ossdist.store.files import read_file, write_atomically
from ossdist.swarm.metainfo import MAX_TORRENT_BYTES, load_metainfo

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMATS = ("metalink", "plain", "apt")


class _Arguments(_script.Arguments):
    what: str
    file: Path
    mirror: list[str]
    torrent: Path | None
    format: str
    to: Path | None


def _parse(argv: Sequence[str]) -> _Arguments:
    parser = argparse.ArgumentParser(prog="metalink.py", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    export = commands.add_parser("export", help="writes a release's places")
    export.add_argument("file", type=_script.file, metavar="RELEASE.json")
    export.add_argument("--to", type=Path, required=True, metavar="FILE", help="replaced in one step")
    export.add_argument("--format", choices=_FORMATS, default="metalink", help="default: %(default)s")
    export.add_argument(
        "--mirror",
        action="append",
        type=_url,
        default=[],
        metavar="URL",
        help="a copy of the channel's folder beside those that the release names",
    )
    export.add_argument(
        "--torrent", type=_script.file, metavar="T.torrent", help="the release's: its hashes of pieces are written too"
    )
    show = commands.add_parser("show", help="says what a Metalink or list of mirrors names")
    show.add_argument("file", type=_script.file, metavar="FILE")
    for command in (export, show):
        _script.add_json_argument(command)
    return parser.parse_args(argv, namespace=_Arguments())


def _url(text: str) -> str:
    found = _script.channel(text)
    if isinstance(found, Path):
        raise argparse.ArgumentTypeError(f"{text!r} is no http or https address")
    return found


def _export(args: _Arguments) -> dict[str, object]:
    release = decode_release(read_file(args.file, limit_bytes=MAX_RELEASE_BYTES), document=args.file.name)
    mirrors = [*release.mirrors, *(Mirror(url=url) for url in args.mirror)]
    if args.format == "metalink":
        torrent = None
        if args.torrent is not None:
            torrent = load_metainfo(read_file(args.torrent, limit_bytes=MAX_TORRENT_BYTES), document=args.torrent.name)
        data = xml.encode(of_release(release, mirrors=mirrors, torrent=torrent))
    else:
        listed = [ListedMirror(url=mirror.url, priority=mirror.priority) for mirror in mirrors]
        data = lists.encode_apt(listed) if args.format == "apt" else lists.encode_plain(listed)
    assert args.to is not None  # noqa: S101  # argparse demands it
    write_atomically(args.to, data)
    return {"ok": True, "file": str(args.to), "bytes": len(data), "mirrors": len(mirrors)}


def _show(args: _Arguments) -> dict[str, object]:
    data = read_file(args.file, limit_bytes=xml.MAX_BYTES)
    if data.lstrip().startswith(b"<"):
        metalink = xml.decode(data, document=args.file.name)
        return {"ok": True, "metalink": msgspec.to_builtins(metalink)}
    return {"ok": True, "mirrors": msgspec.to_builtins(lists.decode(data, document=args.file.name))}


def _tell(found: dict[str, object]) -> str:
    if "file" in found:
        return f"{found['file']}: {found['mirrors']} mirror(s), {found['bytes']} bytes"
    return msgspec.json.format(msgspec.json.encode(found.get("metalink", found.get("mirrors"))), indent=1).decode()


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    work = _export if args.what == "export" else _show
    return _script.run(lambda: work(args), as_json=args.json, keys=lambda found: found, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
