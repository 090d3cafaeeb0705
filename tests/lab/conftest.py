"""The lab's fixtures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.lab.network import Network
from tests.lab.releases import Scene, make_scene

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.keys import Keys


@pytest.fixture
def network() -> Generator[Network]:
    """An empty network."""
    if os.geteuid() != 0:
        pytest.skip("only root can make network namespaces")
    with Network() as made:
        yield made


@pytest.fixture
def scene(tmp_path: Path, keys: Keys, network: Network) -> Scene:
    """A channel whose tracker, mirror and seed run in the lab."""
    return make_scene(tmp_path, keys, network)
