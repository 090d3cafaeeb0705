"""Network namespaces that live as long as this process, and the programs in them.

A namespace is held by a process that reads from a pipe of ours. However this process ends, the pipe ends with it, and
so does every program that was started here (``PR_SET_PDEATHSIG``): the kernel then removes the namespaces and every
link between them. Nothing is written below ``/run/netns``, so there is nothing to be left over.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

_COMMAND_S = 30.0
_STOP_S = 10.0
_WITH_US = ("setpriv", "--pdeathsig", "KILL")


class LabError(Exception):
    """A command of the lab failed, or does not do what it should."""


class Namespace:
    """A network namespace with a loopback interface and nothing else. A context manager.

    Args:
        name: For messages.

    Raises:
        LabError: It cannot be made, for instance without root's rights.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[subprocess.Popen[str]] = []
        # A group of its own: Ctrl-C is for us to handle, and the namespace must be there while we do.
        words = ("unshare", "--net", *_WITH_US, "sh", "-c", "echo held; exec cat")
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0)
        try:
            self._require_held()
            self.run("ip", "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process that holds it; ``ip link ... netns PID`` takes it."""
        return self._holder.pid

    @property
    def received_bytes(self) -> int:
        """What has come in on all links so far, headers counted."""
        return self._counted(0)

    @property
    def sent_bytes(self) -> int:
        """What has gone out on all links so far, headers counted."""
        return self._counted(8)

    def received_on(self, interface: str) -> int:
        """What has come in on one link so far, headers counted."""
        return self._counted(0, interface)

    def _counted(self, column: int, interface: str = "") -> int:
        lines = Path(f"/proc/{self.pid}/net/dev").read_text("ascii").splitlines()[2:]
        found = (line.partition(":") for line in lines)
        return sum(
            int(counts.split()[column])
            for name, _, counts in found
            if name.strip() == interface or (not interface and name.strip() != "lo")
        )

    def run(self, *words: str, given: str = "") -> str:
        """Runs a program to its end.

        Args:
            words: The program and its arguments.
            given: Its standard input.

        Returns:
            Its standard output.

        Raises:
            LabError: It failed.
        """
        done = subprocess.run(
            self._inside(words), input=given, capture_output=True, text=True, check=False, timeout=_COMMAND_S
        )
        if done.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def start(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        stdout: IO[str] | int = subprocess.PIPE,
        stderr: IO[str] | int | None = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[str]:
        """Starts a program that goes on until it is stopped, or the namespace is closed.

        Args:
            words: The program and its arguments.
            env: Variables beside ours.
            stdout: See `subprocess.Popen`.
            stderr: See `subprocess.Popen`.
            pass_fds: See `subprocess.Popen`.
        """
        process = subprocess.Popen(
            (*_WITH_US, *self._inside(words)),
            stdin=subprocess.PIPE,  # open as long as we are
            stdout=stdout,
            stderr=stderr,
            text=True,
            env={**os.environ, **(env or {})},
            pass_fds=pass_fds,
            process_group=0,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Stops what was started, and lets go of the namespace. It may be called twice."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            stop(process)
        self._processes.clear()
        stop(self._holder)

    def _require_held(self) -> None:
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "held\n":
            raise LabError(f"no network namespace for {self.name}: {self._holder.communicate(timeout=_STOP_S)[1]}")

    def _inside(self, words: Sequence[str]) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", *words)


def stop(process: subprocess.Popen[str]) -> None:
    """Ends a process, by force if it does not end when it is asked to."""
    with process:  # closes its pipes, which the holder waits for
        if process.stdin is not None:
            process.stdin.close()
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
