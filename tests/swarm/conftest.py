"""Fixtures of the session tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.swarm.worlds import WORLDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.swarm.worlds import World


@pytest.fixture(params=WORLDS, ids=lambda kind: kind.__name__)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Each of the worlds that sessions may meet in."""
    made: World = request.param(tmp_path)
    return made
