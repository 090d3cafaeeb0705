"""Work in a thread whose caller is cancelled: it stops where it may, and what it came too far for is not lost."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ossdist.stoppable import in_thread
from tests.asynchronous import asynchronous

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 30.0


@dataclass
class Work:
    """Says where it is, and goes on when it is told to."""

    asks: bool
    begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)

    def __call__(self, check: Callable[[], None]) -> str:
        self.begun.set()
        assert self.may_end.wait(WAIT_S)
        if self.asks:
            check()
        return "result"

    async def cancel(self, task: asyncio.Task[object]) -> None:
        """Cancels a task that waits for this work."""
        await asyncio.to_thread(self.begun.wait, WAIT_S)
        task.cancel()
        await asyncio.sleep(0)
        self.may_end.set()


async def run(work: Work, found: list[str]) -> str:
    found.append(await in_thread(work))
    await asyncio.sleep(0)
    found.append("went on")
    return found[0]


@asynchronous
async def test_stops_where_it_may() -> None:
    work, found = Work(asks=True), list[str]()
    task = asyncio.create_task(run(work, found))
    await work.cancel(task)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found == []


@asynchronous
async def test_what_came_too_far_counts_and_the_cancellation_comes_after_it() -> None:
    work, found = Work(asks=False), list[str]()
    task = asyncio.create_task(run(work, found))
    await work.cancel(task)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found == ["result"]
    assert task.cancelling() == 1


@asynchronous
async def test_whoever_waits_no_more_has_the_result() -> None:
    work = Work(asks=False)
    task = asyncio.create_task(in_thread(work))
    await work.cancel(task)
    assert await task == "result"
    assert task.cancelling() == 1


@asynchronous
async def test_a_cancellation_that_was_taken_back_does_not_come() -> None:
    work, found = Work(asks=False), list[str]()

    async def patient() -> str:
        result = await in_thread(work)
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()  # as asyncio.timeout does at its block's end
        found.append(result)
        await asyncio.sleep(0)
        return result

    task = asyncio.create_task(patient())
    await work.cancel(task)
    assert await task == "result"
    assert found == ["result"]
