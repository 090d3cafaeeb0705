"""Runs asynchronous tests, each on a loop of its own and with a deadline."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_P = ParamSpec("_P")

DEADLINE_S = 120.0


def asynchronous(test: Callable[_P, Coroutine[None, None, None]]) -> Callable[_P, None]:
    """Makes an asynchronous test one that pytest can call."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), DEADLINE_S))

    return run
