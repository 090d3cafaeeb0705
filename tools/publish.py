"""Publishes files as a release in a channel's folder, which any static HTTP server can then serve.

The first release makes the channel, with the given key in every role: give its root.json to the users over a way that
they trust. Name, version and purl are guessed from the file name of a wheel, deb or rpm, and name and version from that
of NAME-VERSION.tar.gz. Of a folder, all files are published with their paths in it, without its own name. Who asks for
no version gets the newest release of a name, which is the one published last.

Users believe a channel until it expires. Publishing puts that off, and so does --refresh, without FILE: run it well
before, for instance once a day. A release that turned out to be bad is withdrawn, with a reason for its users:
--withdraw, with --name and --version and without FILE. To change keys, see rotate.py.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import _script
import msgspec

from ossdist.errors import StorageError
from ossdist.publisher import Published, Publisher
from ossdist.release import layout, model
from ossdist.release.channel import Channel, ReleaseEntry, assemble, decode_channel, decode_page
from ossdist.release.formats.filename import PackageName, parse_filename
from ossdist.release.signing import GpgSigner
from ossdist.release.wording import explain
from ossdist.release_spec import ReleaseSpec, check_spec
from ossdist.store.files import read_file
from ossdist.store.trust_file import read_root

if TYPE_CHECKING:
    from collections.abc import Sequence


_MIRROR_HELP = (
    "a copy of CHANNEL_DIR, in one argument; keys: location (de), priority (1 is the best), weight (100 is ordinary), "
    "serves (anybody, continent, country, network)"
)
_KEY_HELP = "signs what the root lets it: the 40 digits of a primary key's fingerprint, as `gpg -K` shows it"
_UPSTREAM_HELP = "the signature of the project that made FILE (.asc, .sig): its users check it too"
_UPSTREAM_KEY_HELP = "the key that it is by; your keyring holds it (gpg --import)"
_VALIDITY = timedelta(days=30)
_FOLDERS = ("files", "index", "releases", "torrents")
_NO_SOURCES = (
    "Neither --mirror nor --tracker was given: this release comes from the channel's own address alone, and from "
    "peers that users find by themselves (DHT, local network)."
)


class _Arguments(_script.Arguments):
    channel_dir: Path
    files: list[Path]
    key: list[str]
    name: str | None
    version: str | None
    purl: str | None
    mirror: list[model.Mirror]
    tracker: list[str]
    depends: list[model.Dependency]
    upstream_signature: list[Path]
    upstream_key: list[str]
    gnupghome: Path | None
    refresh: bool
    withdraw: str | None
    channel_name: str
    validity_days: timedelta


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of it.

    Attributes:
        published: The release; None after a refresh or a withdrawal.
        withdrawn: What was withdrawn.
        created: The channel was made.
        root: Its root.
        channel: What it is like now.
    """

    published: Published | None
    withdrawn: ReleaseEntry | None
    created: bool
    root: model.Root
    channel: Channel


def _parse(argv: Sequence[str]) -> tuple[_Arguments, ReleaseSpec | None]:
    parser = argparse.ArgumentParser(prog="publish.py", description=__doc__)
    parser.add_argument("channel_dir", type=Path, metavar="CHANNEL_DIR", help="made if it is not there")
    parser.add_argument("files", type=_file_or_folder, nargs="*", metavar="FILE", help="or a folder")
    parser.add_argument("--refresh", action="store_true", help="sign the channel anew, so that it does not expire")
    parser.add_argument("--withdraw", metavar="REASON", help="nobody should install that release any more")
    parser.add_argument(
        "--channel-name", default="", metavar="NAME", help="of a new channel, such as example.org-stable"
    )
    parser.add_argument(
        "--validity-days", type=_script.days, default=_VALIDITY, metavar="N", help="from now on; default: 30"
    )
    parser.add_argument("--gnupghome", type=_script.folder, metavar="DIR", help="default: gpg's own")
    parser.add_argument("--name", help="the package")
    parser.add_argument("--version", help="its version")
    parser.add_argument("--purl", help="its identity; default: pkg:generic/NAME@VERSION, if none can be guessed")
    repeated = parser.add_argument_group("may be repeated")
    repeated.add_argument(
        "--key", action="append", type=_script.fingerprint, required=True, metavar="FPR", help=_KEY_HELP
    )
    repeated.add_argument(
        "--mirror", action="append", type=_mirror, default=[], metavar="URL [KEY=VALUE ...]", help=_MIRROR_HELP
    )
    repeated.add_argument("--tracker", action="append", default=[], metavar="URL", help="an announce address")
    repeated.add_argument(
        "--depends", action="append", type=_dependency, default=[], metavar="PURL [VERSIONS]", help="in one argument"
    )
    repeated.add_argument(
        "--upstream-signature", action="append", type=_script.file, default=[], metavar="FILE.asc", help=_UPSTREAM_HELP
    )
    repeated.add_argument(
        "--upstream-key", action="append", type=_script.fingerprint, default=[], metavar="FPR", help=_UPSTREAM_KEY_HELP
    )
    _script.add_json_argument(parser)
    args = parser.parse_args(argv, namespace=_Arguments())
    sources = (args.mirror, args.tracker, args.depends, args.upstream_signature, args.upstream_key)
    if args.refresh:
        if any((args.files, args.name, args.version, args.purl, *sources)):
            parser.error("--refresh changes nothing but dates: it takes no FILE, and nothing that describes a release")
        return args, None
    if args.withdraw is not None:
        if not (args.name and args.version) or any((args.files, args.purl, *sources)):
            parser.error("--withdraw takes --name and --version, and nothing else that describes a release")
        if not args.withdraw.strip():
            parser.error("--withdraw needs a reason: users are told it")
        return args, None
    if not args.files:
        parser.error("a FILE is required, or --refresh, or --withdraw")
    if bool(args.upstream_signature) != bool(args.upstream_key):
        parser.error("--upstream-signature and --upstream-key belong together: the one says by which key the other is")
    _require_place(parser, args)
    try:
        return args, _spec(args)
    except ValueError as error:
        parser.error(str(error))


def _require_place(parser: argparse.ArgumentParser, args: _Arguments) -> None:
    """Refuses what is most likely a slip: a new channel among other files, or a known one under another name."""
    folder = args.channel_dir
    root = folder / layout.ROOT
    if not root.exists() and folder.is_dir() and not all(_may_be_ours(path.name) for path in folder.iterdir()):
        parser.error(f"{folder} holds no channel, but other files: give the channel's folder, or an empty one")
    if root.exists() and args.channel_name:
        _, known = read_root(root)
        if known.channel != args.channel_name:
            parser.error(f"{folder} holds channel {known.channel}: a channel keeps its name")


def _may_be_ours(name: str) -> bool:
    """Whether a first try that was killed may have left it."""
    return name.startswith((".", layout.CHANNEL)) or layout.ROOT in name or name in _FOLDERS


def _file_or_folder(text: str) -> Path:
    return _script.folder(text) if Path(text).is_dir() else _script.file(text)


def _mirror(text: str) -> model.Mirror:
    url, *settings = text.split()
    found: dict[str, str | int] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        found[key] = int(value) if value.isascii() and value.isdecimal() else value
    try:
        return msgspec.convert({**found, "url": url}, type=model.Mirror)
    except msgspec.ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {explain(error)}") from error


def _dependency(text: str) -> model.Dependency:
    purl, _, versions = text.strip().partition(" ")
    return model.Dependency(purl=purl, versions=versions.strip())


def _spec(args: _Arguments) -> ReleaseSpec:
    files = _files(args.files)
    guess = _guess(files)
    name = args.name or (guess.name if guess else None)
    version = args.version or (guess.version if guess else None)
    if name is None or version is None:
        raise ValueError("--name and --version are needed: the file names do not tell them")
    same = guess is not None and (guess.name, guess.version) == (name, version)
    return ReleaseSpec(
        name=name,
        version=version,
        files=files,
        purl=args.purl or (guess.purl if guess is not None and same else None),
        mirrors=tuple(args.mirror),
        trackers=tuple(args.tracker),
        dependencies=tuple(args.depends),
        upstream_signatures=_upstream_signatures(args.upstream_signature, files),
        upstream_keys=tuple(args.upstream_key),
    )


def _upstream_signatures(given: Sequence[Path], files: dict[str, Path]) -> dict[str, Path]:
    """Which file each is of: the one that is called like it, but for its last suffix."""
    found: dict[str, Path] = {}
    for place in given:
        paths = [path for path in files if PurePosixPath(path).name == place.stem]
        if len(paths) != 1:
            raise ValueError(
                f"{place}: of which FILE is it? Its name must be that of one of them, with .asc or .sig after it; "
                f"{len(paths)} of them are called {place.stem}"
            )
        found[paths[0]] = place
    return found


def _files(given: Sequence[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for place in given:
        inside = sorted(path for path in place.rglob("*") if _is_file(path)) if place.is_dir() else [place]
        if not inside:
            raise ValueError(f"{place} has no files")
        for path in inside:
            name = path.relative_to(place).as_posix() if place.is_dir() else path.name
            if name in files:
                raise ValueError(f"{files[name]} and {path} would both be {name}")
            files[name] = path
    return files


def _is_file(path: Path) -> bool:
    """Whether it is a file of the folder's own; symbolic links are for `_require_no_links` to refuse."""
    return path.is_symlink() or path.is_file()


def _guess(files: dict[str, Path]) -> PackageName | None:
    """What every file's name says, if they agree; builds for several architectures do."""
    guesses = [parse_filename(path.name) for path in files.values()]
    known = [guess for guess in guesses if guess is not None]
    if len(known) < len(guesses) or len({(guess.name, guess.version) for guess in known}) != 1:
        return None
    # A source archive says less than the wheel or package beside it.
    purls = sorted({guess.purl for guess in known}, key=lambda purl: (purl.startswith("pkg:generic/"), purl))
    return replace(known[0], purl=purls[0] if len(purls) == 1 else purls[0].partition("?")[0])


def _require_no_links(given: Sequence[Path]) -> None:
    """Refuses folders with anything in them but files and folders.

    Raises:
        StorageError: A symbolic link, whose target may be anything, or something else that is no file.
    """
    for place in given:
        for path in sorted(place.rglob("*")) if place.is_dir() else ():
            if path.is_symlink():
                raise StorageError(f"{path} is a symbolic link: publish what it points to, or remove it", path=path)
            if not path.is_file() and not path.is_dir():
                raise StorageError(f"{path} is neither a file nor a folder: remove it", path=path)


def _require_publishable(args: _Arguments, spec: ReleaseSpec) -> None:
    """Refuses what can be refused at once, before a channel is made for it."""
    _require_no_links(args.files)
    check_spec(spec)


async def _run(args: _Arguments, spec: ReleaseSpec | None) -> _Result:
    publisher = Publisher(
        args.channel_dir, signer=GpgSigner(args.gnupghome), keys=args.key, validity=args.validity_days
    )
    if spec is None:
        name, version = args.name or "", args.version or ""
        if args.withdraw is not None:
            await publisher.withdraw(name, version, reason=args.withdraw)
        else:
            await publisher.refresh()
        channel = _channel(args.channel_dir)
        return _Result(None, channel.find(name, version), created=False, root=_root(args), channel=channel)
    is_new = not (args.channel_dir / layout.ROOT).exists()
    await asyncio.to_thread(_require_publishable, args, spec)
    if is_new:
        await publisher.create(args.channel_name)
    published = await publisher.publish(spec)
    if not spec.mirrors and not spec.trackers:
        print(_NO_SOURCES, file=sys.stderr)
    return _Result(published, None, is_new, _root(args), _channel(args.channel_dir))


def _root(args: _Arguments) -> model.Root:
    return read_root(args.channel_dir / layout.ROOT)[1]


def _channel(folder: Path) -> Channel:
    """The channel as it stands now; it was this call that signed it."""
    document = decode_channel(read_file(folder / layout.CHANNEL))
    pages = [decode_page(read_file(folder / page.path), document=page.path) for page in document.index]
    return assemble(document, pages)


def _keys(result: _Result) -> dict[str, object]:
    channel = {"serial": result.channel.serial, "created": result.created}
    expires = result.channel.expires.isoformat()
    root = {"serial": result.root.serial, "expires": result.root.expires.isoformat()}
    if result.published is None:
        answer: dict[str, object] = {"ok": True, "channel": channel, "expires": expires, "root": root}
        if (gone := result.withdrawn) is not None:
            answer["withdrawn"] = {"name": gone.name, "version": gone.version, "reason": gone.withdrawn}
        return answer
    release = result.published.release
    hybrid = {"v1": release.hybrid.info_hash_v1, "v2": release.hybrid.info_hash_v2}
    return {
        "ok": True,
        "name": release.name,
        "version": release.version,
        "purl": release.purl,
        "info_hashes": {"hybrid": hybrid, "v1": {"v1": release.v1.info_hash_v1}},
        "deltas": [],
        "channel": channel,
        "expires": expires,
        "root": root,
    }


def _tell(result: _Result) -> str:
    lines: list[str] = []
    if result.published is not None:
        release = result.published.release
        lines.append(f"{release.title} ({release.purl}) is published in channel {result.root.channel}")
        lines += [f"  {file.path}: {file.length} bytes, sha256 {file.sha256}" for file in release.files]
    if result.withdrawn is not None:
        entry = result.withdrawn
        newest = result.channel.find(entry.name, None)
        lines.append(f"{entry.title} is withdrawn: {entry.withdrawn}")
        lines.append(f"The newest release of {entry.name} is {newest.version if newest else 'none'} now.")
    lines.append(
        f"The channel (serial {result.channel.serial}) expires at {result.channel.expires:%Y-%m-%d %H:%M} UTC, "
        f"its root of trust at {result.root.expires:%Y-%m-%d %H:%M} UTC."
    )
    if result.root.expires < result.channel.expires:
        lines.append("WARNING: the root ends first, and nobody believes the channel after it: call rotate.py before.")
    if result.published is not None:
        lines.append("Before that, publish again or call publish.py --refresh.")
    if len(result.channel.releases) <= (0 if result.published is None else 1):  # nobody can have used it before
        lines.append(f"The channel is new. Its users need {layout.ROOT} over a way that they trust.")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args, spec = _parse(argv)
    return _script.run(lambda: asyncio.run(_run(args, spec)), as_json=args.json, keys=_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
