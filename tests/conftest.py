"""Fixtures that every kind of test may use."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.keys import keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType
    from typing import Any

__all__ = ["keys"]

_settrace = sys.settrace


def _settrace_patiently(function: Callable[[FrameType, str, Any], Any] | None) -> None:
    """Python 3.11 refuses a thread's trace function, which coverage sets, while another thread's is being set.

    The thread would die before it has begun. The refusal itself makes the next try succeed.
    """
    for _ in range(100):
        try:
            return _settrace(function)
        except RuntimeError as error:
            if "another trace function is being installed" not in str(error):
                raise
    return _settrace(function)


sys.settrace = _settrace_patiently

# How long one example takes says more about the machine's other work than about the code.
# A gate tries the same examples every time, so that its verdict is about the change; elsewhere chance searches on.
settings.register_profile("ossdist", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ossdist")


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a test's clients remember of channels is remembered for that test alone, not in somebody's home."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder
