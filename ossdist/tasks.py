"""Work that must come to its end, whoever loses patience."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")


async def run_to_end(work: Coroutine[object, object, _T]) -> _T:
    """Runs ``work`` to its end, and only then passes on that the caller was cancelled meanwhile.

    `asyncio.shield` alone returns at the first cancellation while the work goes on, so that what comes after it meets
    work that is still under way.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the work has ended, and its own error, if any, is the cause.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError from (None if task.cancelled() else task.exception())
    return task.result()
