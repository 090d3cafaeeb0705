"""Lets calls of the operating system fail, or something happen just before them."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class _Faults:
    """Makes calls of the operating system fail, seen through Python's audit hook, which cannot be taken off."""

    def __init__(self) -> None:
        self.judge: Callable[[str, str], BaseException | None] | None = None
        self._installed = False

    def install(self) -> None:
        if not self._installed:
            sys.addaudithook(self._hook)
            self._installed = True

    def _hook(self, event: str, args: tuple[object, ...]) -> None:
        if self.judge is None or event not in {"os.mkdir", "os.rename", "open"}:
            return
        path = args[1] if event == "os.rename" else args[0]
        if event == "open" and not int(str(args[2])) & os.O_CREAT:
            return
        if isinstance(path, (str, os.PathLike)):
            fault = self.judge(event, os.fspath(path))  # pyright: ignore[reportUnknownArgumentType]
            if fault is not None:
                raise fault


_FAULTS = _Faults()


@contextmanager
def before(
    event: str, part: str, action: Callable[[], BaseException | None], *, after: int = 0
) -> Generator[list[str]]:
    """Before the call number ``after`` whose path contains ``part``: does something, in the thread of the call.

    What ``action`` returns is raised instead of the call.
    """
    _FAULTS.install()
    seen: list[str] = []

    def judge(happening: str, path: str) -> BaseException | None:
        if happening != event or part not in path:
            return None
        seen.append(path)
        return action() if len(seen) == after + 1 else None

    _FAULTS.judge = judge
    try:
        yield seen
    finally:
        _FAULTS.judge = None


@contextmanager
def fault(event: str, part: str, error: BaseException, *, after: int = 0) -> Generator[list[str]]:
    """Lets the call number ``after`` whose path contains ``part``, and all later ones, fail."""
    _FAULTS.install()
    seen: list[str] = []

    def judge(happening: str, path: str) -> BaseException | None:
        if happening != event or part not in path:
            return None
        seen.append(path)
        return error if len(seen) > after else None

    _FAULTS.judge = judge
    try:
        yield seen
    finally:
        _FAULTS.judge = None


def full() -> OSError:
    """No space left."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
