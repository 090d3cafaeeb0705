"""Processes in a group of their own, which can be ended together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from typing import IO, TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_POLL_S = 0.02
_DEATH_S = 5.0
# The program dies with the thread that started it, even if that one is killed and runs no `finally`; only one that
# changes its user, as opentracker does, loses this.
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


def installed(name: str) -> bool:
    """Whether there is such a program on this machine."""
    return shutil.which(name, path=_search_path()) is not None


async def spawn(command: Sequence[str | Path], folder: Path, output: IO[bytes]) -> asyncio.subprocess.Process:
    """Starts a program that leads a process group.

    Args:
        command: The program and its arguments.
        folder: Where it runs, and its home: it sees no profile and no proxy of the person who runs the tests.
        output: Takes its standard output and error.
    """
    return await asyncio.create_subprocess_exec(
        *_DIE_WITH_PARENT,
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=folder,
        env={"PATH": _search_path(), "HOME": str(folder), "LANG": "C.UTF-8", "TMPDIR": str(folder)},
        start_new_session=True,
    )


async def kill(process: asyncio.subprocess.Process) -> None:
    """Kills a process and its group, and waits until nobody of it is alive."""
    signal_group(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DEATH_S):
            await process.wait()
            while _has_members(process.pid):  # noqa: ASYNC110 - the kernel has no event for it
                await asyncio.sleep(_POLL_S)


def signal_group(group: int, number: int) -> bool:
    """Sends a signal; returns whether there was still somebody to get it, dead ones counted."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


def _has_members(group: int) -> bool:
    return signal_group(group, 0) and any(_is_member(process, group) for process in psutil.process_iter())


def _is_member(process: psutil.Process, group: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    return False


def _search_path() -> str:
    """Where programs are looked for; servers stand in folders that are not everybody's."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
