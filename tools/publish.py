"""Publishes files as a release in a channel's folder, which any static HTTP server can then serve.

The first release makes the channel, with the given key in every role: give its root.json to the users over a way that
they trust. Name, version and purl are guessed from the file name of a wheel, sdist, deb or rpm. Of a folder, all
files are published with their paths in it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import _script

from ossdist.publisher import Published, Publisher, ReleaseSpec
from ossdist.release import layout, model
from ossdist.release.formats.filename import PackageName, parse_filename
from ossdist.release.signing import GpgSigner

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Arguments(_script.Arguments):
    channel_dir: Path
    files: list[Path]
    key: str
    name: str | None
    version: str | None
    purl: str | None
    mirror: list[str]
    tracker: list[str]
    depends: list[model.Dependency]
    gnupghome: Path | None


@dataclass(frozen=True, slots=True)
class _Result:
    published: Published
    created: bool


def _parse(argv: Sequence[str]) -> tuple[_Arguments, ReleaseSpec]:
    parser = argparse.ArgumentParser(prog="publish.py", description=__doc__)
    parser.add_argument("channel_dir", type=Path, metavar="CHANNEL_DIR", help="made if it is not there")
    parser.add_argument("files", type=_file_or_folder, nargs="+", metavar="FILE", help="or a folder")
    parser.add_argument("--key", type=_script.fingerprint, required=True, metavar="FPR", help="signs everything")
    parser.add_argument("--gnupghome", type=_script.folder, metavar="DIR", help="default: gpg's own")
    parser.add_argument("--name", help="the package")
    parser.add_argument("--version", help="its version")
    parser.add_argument("--purl", help="its identity; default: pkg:generic/NAME@VERSION, if none can be guessed")
    repeated = parser.add_argument_group("may be repeated")
    repeated.add_argument("--mirror", action="append", default=[], metavar="URL", help="a copy of CHANNEL_DIR")
    repeated.add_argument("--tracker", action="append", default=[], metavar="URL", help="an announce address")
    repeated.add_argument(
        "--depends", action="append", type=_dependency, default=[], metavar="PURL [VERSIONS]", help="in one argument"
    )
    _script.add_json_argument(parser)
    args = parser.parse_args(argv, namespace=_Arguments())
    try:
        return args, _spec(args)
    except ValueError as error:
        parser.error(str(error))


def _file_or_folder(text: str) -> Path:
    return _script.folder(text) if Path(text).is_dir() else _script.file(text)


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
        mirrors=tuple(model.Mirror(url=url) for url in args.mirror),
        trackers=tuple(args.tracker),
        dependencies=tuple(args.depends),
    )


def _files(given: Sequence[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for place in given:
        inside = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        if not inside:
            raise ValueError(f"{place} has no files")
        for path in inside:
            name = path.relative_to(place).as_posix() if place.is_dir() else path.name
            if name in files:
                raise ValueError(f"{files[name]} and {path} would both be {name}")
            files[name] = path
    return files


def _guess(files: dict[str, Path]) -> PackageName | None:
    """What every file's name says, if they agree; builds for several architectures do."""
    guesses = [parse_filename(path.name) for path in files.values()]
    known = [guess for guess in guesses if guess is not None]
    if len(known) < len(guesses) or len({(guess.name, guess.version) for guess in known}) != 1:
        return None
    purls = {guess.purl for guess in known}
    return replace(known[0], purl=purls.pop() if len(purls) == 1 else known[0].purl.partition("?")[0])


async def _publish(args: _Arguments, spec: ReleaseSpec) -> _Result:
    publisher = Publisher(args.channel_dir, signer=GpgSigner(args.gnupghome), keys=[args.key])
    created = not (args.channel_dir / layout.ROOT).exists()
    if created:
        await publisher.create()
    return _Result(await publisher.publish(spec), created)


def _keys(result: _Result) -> dict[str, object]:
    release = result.published.release
    hybrid = {"v1": release.hybrid.info_hash_v1, "v2": release.hybrid.info_hash_v2}
    return {
        "ok": True,
        "name": release.name,
        "version": release.version,
        "purl": release.purl,
        "info_hashes": {"hybrid": hybrid, "v1": {"v1": release.v1.info_hash_v1}},
        "deltas": [],
        "channel": {"serial": result.published.channel_serial, "created": result.created},
    }


def _tell(result: _Result) -> str:
    release = result.published.release
    lines = [f"{release.title} ({release.purl}) is published in channel {result.published.channel_serial}"]
    lines += [f"  {file.path}: {file.length} bytes, sha256 {file.sha256}" for file in release.files]
    if result.created:
        lines.append(f"The channel is new. Its users need {layout.ROOT} over a way that they trust.")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args, spec = _parse(argv)
    return _script.run(lambda: asyncio.run(_publish(args, spec)), as_json=args.json, keys=_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
