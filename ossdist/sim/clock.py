"""Virtual time: an event loop that does not wait.

When nothing can run before the next timer, the loop's time jumps to that timer. Hours of a simulation take as long as
their work takes, ``asyncio.sleep`` and ``asyncio.timeout`` included, and two runs tick alike.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")

_STUCK_S = 30.0
"""So long a thread may keep a loop waiting that has no timer."""

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class LoopClock:
    """The running event loop's time as a `Clock`: virtual inside `run_virtual`.

    Args:
        epoch: The wall clock's time when the loop's is zero.
    """

    def __init__(self, epoch: datetime = EPOCH) -> None:
        self._epoch = epoch

    def now(self) -> datetime:
        """The wall clock."""
        return self._epoch + timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:
        """Sleeps on the running event loop."""
        await asyncio.sleep(duration_s)


def run_virtual(main: Coroutine[None, None, _T]) -> _T:
    """Runs a coroutine in virtual time, which begins at zero.

    Nothing in it may wait for the world outside: while a thread or a server works, the next timer is already due.

    Raises:
        RuntimeError: Everything waits, and there is no timer: nobody would ever go on.
    """
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main)


class _JumpingSelector(selectors.DefaultSelector):
    """Looks for input without waiting, and moves time on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = super().select(_STUCK_S)
            if not ready:
                raise RuntimeError("everything waits, and nothing is due")
            return ready
        ready = super().select(0)
        if not ready:
            self.now_s += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s
