"""Runs a scenario of the simulator: a swarm of any size, in virtual time, the same for the same seed.

SCENARIO is the name of one that comes with the package (--list) or a TOML file. Production's own policy decides in it;
docs/simulation.md says what the model leaves out, and how near it comes to real swarms.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import _script
import msgspec
from tqdm import tqdm

from ossdist.errors import FormatError, StorageError

try:
    from ossdist.sim.crowd import Cadence, Result, load, run, run_cadence, shipped
    from ossdist.sim.crowd.library import with_peers
    from ossdist.sim.crowd.plot import plot_completion
    from ossdist.sim.crowd.scenario import comers
except ImportError as error:
    sys.exit(f"{error} (uv sync --extra sim)")

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from ossdist.sim.crowd import Scenario

_LINE_EVERY_S = 5.0
_MOST_PEERS = 100_000


class _Arguments(_script.Arguments):
    scenario: str | None
    list: bool
    seed: int
    peers: int | None
    plot: Path | None


@dataclass(frozen=True)
class _Simulated:
    """A run, and the one that it is compared with."""

    result: Result
    baseline: Result
    cadence: Cadence | None
    seconds: float

    @property
    def trace_hash(self) -> str:
        """Of everything."""
        return self.result.trace_hash if self.cadence is None else self.cadence.trace_hash


def _parse(argv: Sequence[str]) -> _Arguments:
    parser = argparse.ArgumentParser(prog="simulate.py", description=__doc__)
    parser.add_argument("scenario", nargs="?", metavar="SCENARIO")
    parser.add_argument("--list", action="store_true", help="name the scenarios that come with the package")
    parser.add_argument("--seed", type=_whole, default=1, help="of all randomness; default: 1")
    parser.add_argument("--peers", type=_peers, metavar="N", help="so many hosts beside the seeds")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw who is done when")
    _script.add_json_argument(parser)
    args = parser.parse_args(argv, namespace=_Arguments())
    if (args.scenario is None) != args.list:
        parser.error("give either SCENARIO or --list")
    return args


def _whole(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number below a thousand millions")
    return int(text)


def _peers(text: str) -> int:
    if not 1 <= _whole(text) <= _MOST_PEERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST_PEERS}")
    return int(text)


def _scenario(args: _Arguments) -> Scenario:
    text = str(args.scenario)
    name = text if text in shipped() or not Path(text).is_file() else Path(text)
    scenario = load(name)
    try:
        return scenario if args.peers is None else with_peers(scenario, args.peers)
    except ValueError as error:
        raise FormatError(str(error), document="--peers") from error


def _simulate(args: _Arguments) -> _Simulated:
    scenario = _scenario(args)
    begin_s = time.monotonic()
    total = comers(scenario)
    bar: tqdm[NoReturn] = tqdm(total=total, unit="peer", disable=not sys.stderr.isatty(), file=sys.stderr)
    with bar:
        show = _progress(bar, total)
        cadence = run_cadence(scenario, seed=args.seed, on_progress=show) if scenario.cadence else None
        result = cadence.first if cadence is not None else run(scenario, seed=args.seed, on_progress=show)
        baseline = result
        if scenario.incentives:
            without = msgspec.structs.replace(scenario, incentives=False)
            baseline = run(without, seed=args.seed, on_progress=show)
    if args.plot is not None:
        _plot(result, baseline, cadence, args.plot)
    return _Simulated(result, baseline, cadence, time.monotonic() - begin_s)


def _progress(bar: tqdm[NoReturn], total: int) -> Callable[[float, int], None]:
    last_s = time.monotonic()

    def show(now_s: float, completed: int) -> None:
        nonlocal last_s
        bar.n = completed
        bar.set_postfix_str(f"{now_s:.0f} virtual seconds", refresh=False)
        bar.update(0)
        if bar.disable and time.monotonic() - last_s >= _LINE_EVERY_S:
            last_s = time.monotonic()
            _script.write_line(f"{completed} of {total} complete after {now_s:.0f} virtual seconds", sys.stderr)

    return show


def _plot(result: Result, baseline: Result, cadence: Cadence | None, path: Path) -> None:
    curves = {result.scenario: result}
    if baseline is not result:
        curves["without incentives"] = baseline
    for update in cadence.updates if cadence is not None else ():
        curves[f"day {update.day:g}, delta"] = update.delta
    try:
        plot_completion(curves, path)
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}. Choose another place for the plot.", path=path
        ) from error


def _keys(done: _Simulated) -> dict[str, object]:
    result = done.result
    keys: dict[str, object] = {
        "ok": True,
        "scenario": result.scenario,
        "seed": result.seed,
        "trace_hash": done.trace_hash,
        "completion": msgspec.to_builtins(result.completion),
        "by_profile": msgspec.to_builtins(result.by_profile),
        "came": result.came,
        "completed": result.completed,
        "gave_up": result.gave_up,
        "keep_seeding": result.keep_seeding,
        "baseline_keep_seeding": done.baseline.keep_seeding,
        "baseline_by_profile": msgspec.to_builtins(done.baseline.by_profile),
        "seed_copies": result.seed_copies,
        "mirror_copies": result.mirror_copies,
        "wasted": result.wasted,
        "simulated_s": result.simulated_s,
        "seconds": round(done.seconds, 3),
    }
    if done.cadence is not None:
        keys["cadence"] = {
            "saving": done.cadence.saving,
            "full_bytes": done.cadence.full_bytes,
            "delta_bytes": done.cadence.delta_bytes,
            "seeds_full_bytes": done.cadence.seeds_full_bytes,
            "seeds_delta_bytes": done.cadence.seeds_delta_bytes,
            "updates": [
                {
                    "day": update.day,
                    "full": msgspec.to_builtins(update.full.completion),
                    "delta": msgspec.to_builtins(update.delta.completion),
                }
                for update in done.cadence.updates
            ],
        }
    return keys


def _tell(done: _Simulated) -> str:
    result = done.result
    done_of = f"{result.completed} of {result.came} complete, {result.gave_up} gave up"
    lines = [f"{result.scenario}, seed {result.seed}: {done_of}"]
    for name, found in {"all": result.completion, **result.by_profile}.items():
        if found is not None:
            lines.append(f"  {name:20} p50 {found.p50:8.1f} s   p99 {found.p99:8.1f} s   last {found.last:8.1f} s")
    lines.append(
        f"  {result.seed_copies:.2f} copies from seeds, {result.mirror_copies:.2f} from mirrors, "
        f"{result.wasted:.1%} of all bytes for nothing, {result.keep_seeding:.0%} keep seeding"
    )
    if done.baseline is not result:
        for name, found in done.baseline.by_profile.items():
            lines.append(f"  without incentives: {name:20} p50 {found.p50:8.1f} s   p99 {found.p99:8.1f} s")
    if done.cadence is not None:
        lines.append(
            f"  {len(done.cadence.updates)} updates: deltas spare users {done.cadence.saving:.0%}, and take the seeds "
            f"{done.cadence.seeds_delta_bytes / 1e6:.0f} MB instead of {done.cadence.seeds_full_bytes / 1e6:.0f} MB"
        )
    return "\n".join([*lines, f"  trace {done.trace_hash}, {done.seconds:.1f} s"])


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    if args.list:
        names = shipped()
        return _script.run(
            lambda: names,
            as_json=args.json,
            keys=lambda found: {"ok": True, "scenarios": list(found)},
            tell=lambda found: "\n".join(f"{name:30}{load(name).about}" for name in found),
        )
    return _script.run(lambda: _simulate(args), as_json=args.json, keys=_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
