"""Work in a thread that a cancelled caller can stop, at places where that does no harm."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class _StoppedError(Exception):
    """The caller was cancelled, and this is the place to stop."""


async def in_thread(work: Callable[[Callable[[], None]], _T]) -> _T:
    """Runs it until nobody writes to the folder any more, even if this is cancelled.

    Args:
        work: Gets a function to call wherever it may stop; it raises what ends the work if this was cancelled. Work
            that is not stopped by it has come too far: what came of it counts, and the cancellation reaches the
            caller where it waits for the next time.
    """
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise _StoppedError

    loop = asyncio.get_running_loop()
    running = loop.run_in_executor(None, work, check)
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            stop.set()
    try:
        result = running.result()
    except _StoppedError:
        raise asyncio.CancelledError from None
    if stop.is_set() and (task := asyncio.current_task()) is not None:
        loop.call_soon(_cancel_again, task)
    return result


def _cancel_again(task: asyncio.Task[object]) -> None:
    """Delivers what was put off, unless whoever asked for it (a timeout, a group) has taken it back."""
    if task.cancelling() and not task.done():
        task.uncancel()  # so that it counts once
        task.cancel()
