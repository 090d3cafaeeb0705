"""The lab's fixtures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.lab.network import Network

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def network() -> Generator[Network]:
    """An empty network."""
    if os.geteuid() != 0:
        pytest.skip("only root can make network namespaces")
    with Network() as made:
        yield made
