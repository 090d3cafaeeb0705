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
            that is not stopped by it has come too far: what came of it counts, and not the cancellation.
    """
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise _StoppedError

    running = asyncio.get_running_loop().run_in_executor(None, work, check)
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            stop.set()
    try:
        return running.result()
    except _StoppedError:
        raise asyncio.CancelledError from None
