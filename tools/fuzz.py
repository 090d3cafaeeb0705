"""Gives mutated documents to every parser of hostile bytes, and says what they do not stand.

A parser may accept an input or refuse it with its own errors, within bounds of time and memory; everything else is a
finding, and the exit code is 1. The same seed gives the same inputs; `--replay` shows one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _script
from tqdm import tqdm

from tools.fuzzing.harness import input_of, run
from tools.fuzzing.targets import targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.fuzzing.harness import Tally


class _Arguments(_script.Arguments):
    inputs: int
    seed: int
    parser: list[str]
    replay: int | None


def _parse(argv: Sequence[str]) -> _Arguments:
    parser = argparse.ArgumentParser(prog="fuzz.py", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, metavar="N", help="of all parsers together")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--parser", action="append", default=[], metavar="NAME", help="this one alone; may be repeated")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="write one input of one parser to stdout")
    _script.add_json_argument(parser)
    args = parser.parse_args(argv, namespace=_Arguments())
    with tempfile.TemporaryDirectory() as name:
        known = [target.name for target in targets(Path(name))]
    strangers = [name for name in args.parser if name not in known]
    if strangers:
        parser.error(f"there is no parser {strangers[0]!r}; there are {', '.join(known)}")
    if args.replay is not None and len(args.parser) != 1:
        parser.error("--replay needs one --parser")
    return args


def _fuzz(args: _Arguments) -> list[Tally]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        chosen = [target for target in targets(Path(name)) if not args.parser or target.name in args.parser]
        shown = stack.enter_context(tqdm(total=args.inputs, unit="input", file=sys.stderr, disable=None))
        share, rest = divmod(args.inputs, len(chosen))
        tallies: list[Tally] = []
        for index, target in enumerate(chosen):
            shown.set_description(target.name)
            numbers = range(share + (index < rest))
            tallies.append(run(target, numbers, seed=args.seed, on_input=functools.partial(_count, shown)))
        return tallies


def _count(shown: tqdm[NoReturn]) -> None:
    shown.update()


def _keys(tallies: Sequence[Tally]) -> dict[str, object]:
    findings = [finding for tally in tallies for finding in tally.findings]
    keys: dict[str, object] = {
        "ok": not findings,
        "parsers": [
            {
                "name": tally.target,
                "inputs": tally.inputs,
                "accepted": tally.accepted,
                "refused": dict(tally.refused),
                "slowest_s": round(tally.slowest_s, 4),
                "growth_bytes": tally.growth_bytes,
                "seconds": round(tally.seconds, 2),
            }
            for tally in tallies
        ],
        "findings": [{"parser": one.target, "number": one.number, "what": one.what} for one in findings],
    }
    if findings:
        keys |= {"error": "FuzzFinding", "reason": f"{findings[0].target} {findings[0].number}: {findings[0].what}"}
    return keys


def _tell(tallies: Sequence[Tally]) -> str:
    lines = [
        f"{tally.target:18}{tally.inputs:8} inputs {tally.accepted:7} accepted {tally.refused.total():7} refused "
        f"{len(tally.findings):4} findings {tally.seconds:7.1f} s, slowest {tally.slowest_s * 1000:.0f} ms, "
        f"+{tally.growth_bytes >> 20} MiB"
        for tally in tallies
    ]
    found = [f"{one.target} --replay {one.number}: {one.what}" for tally in tallies for one in tally.findings]
    return "\n".join([*lines, *found])


def _replay(args: _Arguments) -> int:
    with tempfile.TemporaryDirectory() as name:
        [target] = [target for target in targets(Path(name)) if target.name == args.parser[0]]
        sys.stdout.buffer.write(input_of(target, args.seed, args.replay or 0))
    return 0


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    if args.replay is not None:
        return _replay(args)
    return _script.run(lambda: _fuzz(args), as_json=args.json, keys=_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
