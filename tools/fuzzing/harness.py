"""Gives mutated input to a parser, and notes everything that is neither a result nor a refusal."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tools.fuzzing.mutation import mutate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from tools.fuzzing.targets import Target

DEADLINE_S = 2.0
"""For one input; a thousand times what the slowest needs on a quiet machine."""

MAX_GROWTH_BYTES = 300 << 20
"""Of the peak memory, over all inputs of a parser."""

_MOST_BYTES = 8 << 20


@dataclass(frozen=True)
class Finding:
    """An input that a parser does not stand.

    Attributes:
        target: The parser.
        number: The input's; with the seed it gives the same input again.
        what: What came of it.
    """

    target: str
    number: int
    what: str


@dataclass
class Tally:
    """What came of a parser's inputs.

    Attributes:
        target: The parser.
        inputs: How many there were.
        accepted: How many of them are good documents.
        refused: How many were refused, by the error's class.
        findings: What should not be.
        slowest_s: The longest that one took.
        growth_bytes: By how much the peak memory of this process grew.
        seconds: All together.
    """

    target: str
    inputs: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    findings: list[Finding] = field(default_factory=list[Finding])
    slowest_s: float = 0.0
    growth_bytes: int = 0
    seconds: float = 0.0


class _LateError(BaseException):
    """The time is over; no parser catches it."""


def input_of(target: Target, seed: int, number: int) -> bytes:
    """One input, the same for the same seed and number."""
    random = Random(f"{seed} {target.name} {number}")
    data = mutate(random.choice(target.corpus), target.corpus, target.kind, random)[:_MOST_BYTES]
    if target.limit_bytes and random.random() < 0.001:  # as long as it may be, and one byte longer
        data += b" " * (target.limit_bytes + random.randint(0, 1) - len(data))
    return data


def run(
    target: Target,
    numbers: Iterable[int],
    *,
    seed: int,
    deadline_s: float = DEADLINE_S,
    max_growth_bytes: int = MAX_GROWTH_BYTES,
    on_input: Callable[[], None] = lambda: None,
) -> Tally:
    """Runs a parser over inputs. In the main thread: the deadline is a signal.

    Args:
        target: The parser.
        numbers: Which inputs.
        seed: Of all of them.
        deadline_s: For each.
        max_growth_bytes: By how much the peak memory may grow.
        on_input: Called after each.
    """
    tally = Tally(target.name)
    _forget_peak()
    begun_s, before = time.monotonic(), _peak_bytes()
    former = signal.signal(signal.SIGALRM, _raise_late)
    try:
        for number in numbers:
            tally.inputs += 1
            what = _try(target, input_of(target, seed, number), tally, deadline_s)
            if what is not None:
                tally.findings.append(Finding(target.name, number, what))
            growth = _peak_bytes() - before
            if growth > max_growth_bytes >= tally.growth_bytes:
                tally.findings.append(Finding(target.name, number, f"memory grew by {growth >> 20} MiB"))
            tally.growth_bytes = growth
            on_input()
    finally:
        signal.signal(signal.SIGALRM, former)
    tally.seconds = time.monotonic() - begun_s
    return tally


def _try(target: Target, data: bytes, tally: Tally, deadline_s: float) -> str | None:
    """Gives one input to the parser; says what is wrong with what came of it."""
    begun_s = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, deadline_s)
    try:
        value = target.read(data)
        tally.accepted += 1
        if target.write is not None and target.read(target.write(value)) != value:
            return "written and read again it is another"
    except target.refusals as error:
        tally.refused[type(error).__name__] += 1
    except _LateError:
        return f"took longer than {deadline_s:g} s"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - begun_s)
    return None


def _raise_late(_number: int, _frame: FrameType | None) -> None:
    raise _LateError


def _forget_peak() -> None:
    """From now on the peak is the present (proc(5), ``clear_refs``)."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _peak_bytes() -> int:
    """The most memory that was resident since `_forget_peak`."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise RuntimeError("/proc/self/status has no VmHWM")
