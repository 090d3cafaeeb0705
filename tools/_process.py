"""Child processes that surely end, on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.errors import OssdistError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
START_S = 15.0
STOP_S = 5.0
_POLL_S = 0.05
_MAX_LINE_BYTES = 1 << 20


class ServiceError(OssdistError):
    """A program of the quickstart did not do its work."""


def find_program(name: str) -> str | None:
    """Its path; servers stand in folders that are not on everybody's ``PATH``."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


# --- processes -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Child:
    """A running child process.

    Attributes:
        name: For messages.
        log: Where its standard error goes, and its standard output unless that is read here.
    """

    name: str
    log: Path
    _process: asyncio.subprocess.Process = field(repr=False)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it and its own children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def json_line(self, *, timeout_s: float) -> dict[str, object]:
        """The next line of its standard output, which is a JSON object.

        Raises:
            ServiceError: None came in time, or it ended.
        """
        if self._process.stdout is None:
            raise ServiceError(f"{self.name}: its output is not read here")
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise self.failure(f"said nothing for {timeout_s:g} s") from None
        if not line:
            raise self.failure("ended")
        found: dict[str, object] = json.loads(line)
        return found

    async def until(self, question: Callable[[], Awaitable[bool]], what: str, *, timeout_s: float) -> None:
        """Asks until the answer is yes.

        Raises:
            ServiceError: The time is over, or it ended.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await question():
                    if self._process.returncode is not None:
                        raise self.failure(f"ended with {self._process.returncode}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise self.failure(f"was not {what} within {timeout_s:g} s") from None

    async def ended(self, *, timeout_s: float) -> int:
        """Its exit code.

        Raises:
            ServiceError: It still runs after that time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._process.wait()
        except TimeoutError:
            raise self.failure(f"still runs after {timeout_s:g} s") from None

    def failure(self, what: str) -> ServiceError:
        """An error with the end of its log."""
        log = self.log.read_text("utf-8", "replace").strip()[-2000:] if self.log.exists() else ""
        return ServiceError(f"{self.name} {what}{': ' + log if log else ''}")

    async def stop(self) -> None:
        """Asks it to end, and kills what is left of it and its children after `STOP_S`."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            pass  # it is killed below
        finally:
            self.send(signal.SIGKILL)
        await self._process.wait()


@asynccontextmanager
async def child(
    name: str, argv: Sequence[str | Path], *, folder: Path, env: Mapping[str, str], read_output: bool = False
) -> AsyncGenerator[Child]:
    """Runs a program as long as the block, in a process group of its own.

    Args:
        name: For messages and its log.
        argv: The program and its arguments.
        folder: Where it runs, and where its log goes.
        env: Its variables.
        read_output: Its standard output is read with `Child.json_line`.
    """
    log = folder / f"{name}.log"
    # If this process is killed, its children get a signal from the kernel.
    setpriv = shutil.which("setpriv")
    leash = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv is not None else []
    with log.open("ab") as stream:
        process = await asyncio.create_subprocess_exec(
            *leash,
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if read_output else stream,
            stderr=stream,
            cwd=folder,
            env=env,
            start_new_session=True,
            limit=_MAX_LINE_BYTES,
        )
    running = Child(name, log, process)
    try:
        yield running
    finally:
        await asyncio.shield(running.stop())


async def listens(port: int) -> bool:
    """Whether somebody accepts connections on that port."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
