"""Shows the whole way on this machine alone: publish, seed, fetch, update, verify.

A throw-away key signs. A tracker, two seeds, a mirror and the client are processes of their own on the loopback
interface; seeds and mirror send slowly enough that the client needs them all. Nothing is left behind.

FILE is the first version of a package, a second FILE its next one. Without any, two consecutive releases of a real
package are downloaded.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import _script
import msgspec
from _demonstration import SEEDS, Demonstration, Fetched
from _samples import Sample, default_samples, samples_of
from _services import mirror, opentracker

from ossdist.publisher import Publisher
from ossdist.release.signing import temporary_signer
from ossdist.swarm.metainfo import make_torrents

if TYPE_CHECKING:
    from collections.abc import Sequence

_FETCH_S = 1.5
"""About how long a fetch shall take: long enough to see every source at work."""

_MIN_RATE_BYTES_PER_S = 128 << 10
_STEP_S = 25.0
_SLOWEST_BYTES_PER_S = 20e6
_NO_DELTAS = "the second version was fetched in full: deltas are not made yet"


class _Arguments(_script.Arguments):
    files: list[Path]


def _parse(argv: Sequence[str]) -> _Arguments:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="quickstart.py", description=__doc__, formatter_class=form)
    parser.add_argument("files", type=_script.file, nargs="*", metavar="FILE", help="one or two")
    _script.add_json_argument(parser)
    args = parser.parse_args(argv, namespace=_Arguments())
    if len(args.files) > 2:
        parser.error("at most two files can be given: a version and the next one")
    return args


async def _demonstrate(files: Sequence[Path], out: TextIO) -> dict[str, object]:
    started_s = time.monotonic()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ossdist-quickstart-")))
        samples = samples_of([file.absolute() for file in files]) or await default_samples(folder)
        demo = await _prepare(stack, folder, samples, out)
        first = await demo.publish(samples[0])
        await demo.start_seeds()
        await demo.seeds_share(first, releases=1)
        fetched = await demo.fetch(first)
        verdicts = [await demo.verify(first, fetched.files[0].path)]
        update: dict[str, object] = {"saving": None, "note": "one file was given, so there is nothing to update to"}
        if len(samples) > 1:
            second = await demo.publish(samples[1])
            await demo.seeds_share(second, releases=2)
            updated = await demo.fetch(second)
            verdicts.append(await demo.verify(second, updated.files[0].path))
            update = _update_keys(updated)
            demo.say("update", f"saved {update['saving']:.0%} of the bytes; {_NO_DELTAS}")
        signatures = await demo.gpg_verify()
        sent = await demo.stop_seeds()
        demo.say("seeds", ", ".join(f"{name} sent {count:,} bytes" for name, count in sent.items()))
    return {
        "ok": all(verdict.ok for verdict in verdicts),
        **_release_keys(fetched),
        "update": update,
        "signatures": signatures,
        "sent": sent,
        "services": {"tracker": demo.tracker.url if demo.tracker else None, "mirror": demo.mirror.name},
        "seconds": round(time.monotonic() - started_s, 3),
    }


def _update_keys(updated: Fetched) -> dict[str, object]:
    file = updated.files[0]
    came = file.bytes_from.swarm + file.bytes_from.mirror
    return {
        "saving": round(1 - came / file.bytes, 4),
        "note": _NO_DELTAS,
        **_release_keys(updated),
    }


def _release_keys(fetched: Fetched) -> dict[str, object]:
    """The files are gone when this is read, so their paths are those in the release."""
    files = [msgspec.structs.replace(file, path=Path(file.path).name) for file in fetched.files]
    return {"release": fetched.release, "files": msgspec.to_builtins(files)}


async def _prepare(stack: AsyncExitStack, folder: Path, samples: Sequence[Sample], out: TextIO) -> Demonstration:
    """Makes a key, starts tracker and mirror, and creates the channel."""
    for name in ("channel", "home", "tmp"):
        (folder / name).mkdir()
    env = _environment(folder)
    sizes = [sample.file.stat().st_size for sample in samples]
    rate = max(_MIN_RATE_BYTES_PER_S, int(max(sizes) / _FETCH_S / (SEEDS + 1)))
    step_s = _STEP_S + max(sizes) / _SLOWEST_BYTES_PER_S
    signer = stack.enter_context(temporary_signer())
    key = signer.create_key("OSSDist quickstart (throw-away)")
    server = await stack.enter_async_context(mirror(folder, folder / "channel", env, rate_bytes_per_s=rate))
    tracker = await stack.enter_async_context(opentracker(folder, env))
    if tracker is not None:
        await tracker.allow([one for sample in samples for one in _info_hashes(sample)])
    publisher = Publisher(folder / "channel", signer=signer, keys=[key])
    await publisher.create()
    demo = Demonstration(folder, env, out, stack, publisher, tracker, server, rate, step_s)
    kinds = "opentracker" if tracker is not None else "no tracker (opentracker is not installed)"
    demo.say("started", f"{kinds}, a mirror ({server.name}), and a channel signed by {key}")
    return demo


def _info_hashes(sample: Sample) -> list[str]:
    """Under what a release's torrents are announced. They follow from the file alone."""
    entry = (sample.file.name, sample.file.stat().st_size)
    torrents = make_torrents(sample.file.parent, [entry], name=sample.file.name)
    hybrid, v1 = torrents.hybrid.info_hashes, torrents.v1.info_hashes
    return [one[:40] for one in (hybrid.v1, hybrid.v2, v1.v1) if one is not None]


def _environment(folder: Path) -> dict[str, str]:
    """The children's variables: whatever they write by default, they write below ``folder``."""
    own = {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    return {name: value for name, value in os.environ.items() if name != "GNUPGHOME"} | own


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    out = sys.stderr if args.json else sys.stdout
    return _script.run(
        lambda: asyncio.run(_demonstrate(args.files, out)),
        as_json=args.json,
        keys=lambda keys: keys,
        tell=lambda keys: f"done      in {keys['seconds']:.1f} s; every process has ended, every file is removed",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
