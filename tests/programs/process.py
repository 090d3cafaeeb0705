"""Starts real programs, waits until they are ready, and stops them whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import signal
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar, Self, TypeVar

from tests.programs.spawn import kill, signal_group, spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

_T = TypeVar("_T")

_POLL_S = 0.02
_LOG_TAIL_CHARS = 6000


class ProgramError(Exception):
    """A program did not do what was asked.

    Attributes:
        program: Its name.
        log: The end of what it wrote.
    """

    def __init__(self, program: str, what: str, log: str) -> None:
        self.program = program
        self.log = log
        super().__init__(f"{program}: {what}\n--- its output ends with ---\n{log or '(nothing)'}")


class Program(ABC):
    """A real program that runs as long as its ``async with`` block.

    A driver tells how to start it (`_command`) and when it is ready (`_ready`).

    Args:
        folder: Its home: profile, configuration, log. Made if it is missing; a second run may use it again.
    """

    name: ClassVar[str]
    start_timeout_s: ClassVar[float] = 30
    stop_timeout_s: ClassVar[float] = 5

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self._process: asyncio.subprocess.Process | None = None

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """Writes the configuration; returns the program and its arguments."""

    @abstractmethod
    async def _ready(self) -> bool:
        """It answers; `OSError` counts as no."""

    async def _ask_to_stop(self) -> None:
        """Asks it to end in good order."""
        self.signal(signal.SIGTERM)

    async def __aenter__(self) -> Self:
        command = self._command()
        with self._log_path.open("ab") as log:
            self._process = await spawn(command, self.folder, log)
        try:
            await self.until(self._ready, "to be ready", timeout_s=self.start_timeout_s)
        except BaseException:
            await self._stop(self._process)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            await self._stop(self._process)

    @property
    def pid(self) -> int:
        """Of the program itself; its children are in the process group of that number.

        Raises:
            ProgramError: It was never started.
        """
        return self._running().pid

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program and its children; to nobody if they are gone."""
        signal_group(self._running().pid, number)

    def log(self) -> str:
        """The end of what it wrote to its standard output and error."""
        try:
            return self._log_path.read_text("utf-8", "replace")[-_LOG_TAIL_CHARS:]
        except FileNotFoundError:
            return ""

    def failure(self, what: str) -> ProgramError:
        """An error about this program, with its log."""
        return ProgramError(self.name, what, self.log())

    async def until(self, probe: Callable[[], Awaitable[_T | None]], what: str, *, timeout_s: float) -> _T:
        """Asks again and again until the answer is true; returns it.

        Args:
            probe: The question. An `OSError`, such as a refused connection, counts as no.
            what: What is being waited for, for the error message.
            timeout_s: For how long to ask, in seconds.

        Raises:
            ProgramError: The time is over, or the program ended.
        """
        process = self._running()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        if answer := await probe():
                            return answer
                    if process.returncode is not None:
                        break
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise self.failure(f"waited {timeout_s:g} s in vain for it {what}") from None
        raise self.failure(f"ended with {process.returncode} while waiting for it {what}")

    async def ended(self, *, timeout_s: float) -> int:
        """Waits until it ends by itself; returns its exit status.

        Raises:
            ProgramError: It still runs after that time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._running().wait()
        except TimeoutError:
            raise self.failure(f"still runs after {timeout_s:g} s") from None

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise self.failure("was not started")
        return self._process

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(self.stop_timeout_s):
                if process.returncode is None:
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        await self._ask_to_stop()
                await process.wait()
        except TimeoutError:
            pass  # it is killed below
        finally:
            await kill(process)

    @property
    def _log_path(self) -> Path:
        return self.folder / "output.log"


async def run(command: Sequence[str | Path], *, folder: Path, timeout_s: float = 60) -> str:
    """Runs a program to its end; returns what it wrote to its standard output and error.

    Args:
        command: The program and its arguments; paths among them count from here, not from ``folder``.
        folder: Where it runs, and its home.
        timeout_s: For how long it may run, in seconds.

    Raises:
        ProgramError: It failed, or was too slow.
    """
    name = Path(command[0]).name
    with tempfile.TemporaryFile(dir=folder) as output:
        process = await spawn(_words(command), folder, output)
        try:
            async with asyncio.timeout(timeout_s):
                status = await process.wait()
        except TimeoutError:
            raise ProgramError(name, f"still ran after {timeout_s:g} s", _read(output)) from None
        finally:
            await kill(process)
        text = _read(output)
    if status:
        raise ProgramError(name, f"ended with {status}", text)
    return text


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _words(command: Sequence[str | Path]) -> list[str]:
    return [word if isinstance(word, str) else str(word.absolute()) for word in command]
