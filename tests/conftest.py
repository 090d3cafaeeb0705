"""Fixtures that every kind of test may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.keys import keys

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["keys"]

# How long one example takes says more about the machine's other work than about the code.
settings.register_profile("ossdist", deadline=None)
settings.load_profile("ossdist")


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a test's clients remember of channels is remembered for that test alone, not in somebody's home."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder
