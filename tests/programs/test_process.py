"""A program and its children are gone after its block, whatever happened in it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest

from tests.asynchronous import asynchronous
from tests.programs.process import Program, ProgramError, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def is_gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


class Stubborn(Program):
    """Starts a child, ignores requests to end, and says so when it is up."""

    name: ClassVar[str] = "stubborn"
    start_timeout_s: ClassVar[float] = 10
    stop_timeout_s: ClassVar[float] = 0.3
    code: ClassVar[str] = (
        "import signal, subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
        "signal.pause()\n"
    )

    def _command(self) -> Sequence[str | Path]:
        return sys.executable, "-c", self.code

    async def _ready(self) -> bool:
        return self.log().endswith("\n")

    def family(self) -> list[int]:
        return [self.pid, int(self.log().split()[-1])]


class NeverReady(Stubborn):
    start_timeout_s: ClassVar[float] = 1.5

    async def _ready(self) -> bool:
        return False


class Stillborn(Stubborn):
    code: ClassVar[str] = "raise SystemExit('no such luck')"

    async def _ready(self) -> bool:
        raise ConnectionRefusedError


@asynchronous
async def test_program_and_its_children_are_gone_after_the_block(tmp_path: Path) -> None:
    async with Stubborn(tmp_path) as program:
        family = program.family()
        assert not any(is_gone(pid) for pid in family)
    assert all(is_gone(pid) for pid in family)


@asynchronous
async def test_program_is_gone_after_a_failure_in_the_block(tmp_path: Path) -> None:
    program = Stubborn(tmp_path)
    with pytest.raises(ZeroDivisionError):
        async with program:
            raise ZeroDivisionError
    assert all(is_gone(pid) for pid in program.family())


@asynchronous
async def test_program_is_gone_after_cancellation(tmp_path: Path) -> None:
    program, up = Stubborn(tmp_path), asyncio.Event()

    async def use() -> None:
        async with program:
            up.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await up.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # and a second time, while it is being stopped
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(_wait_for_the_end, program.family())


def _wait_for_the_end(pids: list[int]) -> None:
    """Both were killed, but nobody may have waited for them."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(5)


@asynchronous
async def test_program_that_is_never_ready_is_stopped_and_its_log_shown(tmp_path: Path) -> None:
    program = NeverReady(tmp_path)
    with pytest.raises(ProgramError, match="in vain") as caught:
        await program.__aenter__()
    assert str(program.family()[1]) in str(caught.value)
    assert all(is_gone(pid) for pid in program.family())


@asynchronous
async def test_program_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"ended with 1 .*\n.*\nno such luck"):
        await Stillborn(tmp_path).__aenter__()


@asynchronous
async def test_run_reports_a_failure_and_kills_what_is_too_slow(tmp_path: Path) -> None:
    assert await run(["echo", "hello"], folder=tmp_path) == "hello\n"
    with pytest.raises(ProgramError, match="ended with 3"):
        await run([sys.executable, "-c", "raise SystemExit(3)"], folder=tmp_path)
    with pytest.raises(ProgramError, match="still ran"):
        await run(["sleep", "600"], folder=tmp_path, timeout_s=0.2)
