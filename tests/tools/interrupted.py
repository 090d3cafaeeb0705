"""Runs a script that gets a signal just before it renames something, and that knows of it when it goes on.

Called with the signal's number, the end of the new name, the script and its arguments.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
import sys
from contextlib import suppress
from pathlib import Path


async def settle() -> None:
    """Lets the loop do what it does about the signal."""
    for _ in range(10):
        await asyncio.sleep(0)


class Interrupter:
    """An audit hook that sends the signal, once."""

    def __init__(self, number: signal.Signals, name: str) -> None:
        self._number = number
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        if event == "subprocess.Popen":  # gpg is called in the loop's thread first, and in others later
            with suppress(RuntimeError):
                self._loop = asyncio.get_running_loop()
        if event == "os.rename" and str(args[1]).endswith(self._name):
            assert self._loop is not None
            self._name = "never again"
            os.kill(os.getpid(), self._number)
            asyncio.run_coroutine_threadsafe(settle(), self._loop).result(60)


if __name__ == "__main__":
    number, name, script = sys.argv[1:4]
    sys.addaudithook(Interrupter(signal.Signals(int(number)), name))
    sys.argv = sys.argv[3:]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")
