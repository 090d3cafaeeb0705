"""Runs the scripts of tools/ as their users do: as processes."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    import signal
    from types import TracebackType

TOOLS = Path(__file__).resolve().parents[2] / "tools"
LOCAL = ("--listen", "127.0.0.1:0", "--no-dht", "--no-lsd")
DEADLINE_S = 60.0

Json = dict[str, object]


@dataclass(frozen=True)
class Done:
    """A script that has ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Json:
        """The JSON object on the last line of its standard output."""
        return parse(self.out.splitlines()[-1])

    def refused(self, error: str) -> str:
        """The reason of a refusal, after its form was checked."""
        assert self.code == 1, self
        assert "Traceback" not in self.err, self.err
        answer = self.answer
        assert answer["ok"] is False
        assert answer["error"] == error, answer
        return str(answer["reason"])


def parse(line: str) -> Json:
    """A JSON object."""
    found: object = json.loads(line)
    assert isinstance(found, dict)
    return cast("Json", found)


def run(script: str, *args: object, env: dict[str, str] | None = None) -> Done:
    """Runs a script to its end."""
    done = subprocess.run(
        command(script, *args),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
        env=os.environ | (env or {}),
    )
    return Done(done.returncode, done.stdout, done.stderr)


def command(script: str, *args: object) -> list[str]:
    """The words that call a script."""
    return [sys.executable, str(TOOLS / f"{script}.py"), *map(str, args)]


class Running:
    """A script that runs as long as the block.

    Args:
        script: Its name.
        args: Its arguments.
        env: Variables beside the caller's.
    """

    def __init__(self, script: str, *args: object, env: dict[str, str] | None = None) -> None:
        pipe = subprocess.PIPE
        words = command(script, *args)
        self._process = subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=os.environ | (env or {}))
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: queue.Queue[str | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=_pass_on, args=(stream, lines))
            for stream, lines in ((self._process.stdout, self._lines), (self._process.stderr, self._errors))
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.terminate()
            try:
                self._process.wait(DEADLINE_S)
            finally:
                self._process.kill()
            for thread in self._threads:
                thread.join(DEADLINE_S)

    def line(self) -> str:
        """The next line of its standard output."""
        return _next(self._lines)

    def until(self, key: str, value: object) -> Json:
        """The next line of JSON in which a key has that value."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            found = parse(self.line())
            if found.get(key) == value:
                return found
        raise AssertionError(f"no line had {key} {value}")

    def says(self, text: str) -> str:
        """The next line of its standard error with that text in it."""
        while text not in (line := _next(self._errors)):
            pass
        return line

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def ended(self) -> Done:
        """What it came to, with what was not read before."""
        code = self._process.wait(DEADLINE_S)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        return Done(code, _rest(self._lines), _rest(self._errors))


def _pass_on(stream: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    assert stream is not None
    for line in stream:
        lines.put(line.rstrip("\n"))
    lines.put(None)


def _next(lines: queue.Queue[str | None]) -> str:
    line = lines.get(timeout=DEADLINE_S)
    if line is None:
        raise AssertionError("the script has ended")
    return line


def _rest(lines: queue.Queue[str | None]) -> str:
    return "\n".join(iter(lambda: lines.get(timeout=DEADLINE_S) or "\0", "\0"))
