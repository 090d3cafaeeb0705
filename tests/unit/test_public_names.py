"""The package's face."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ossdist


@pytest.mark.parametrize("name", ossdist.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ossdist, name).__name__ == name
    assert name in dir(ossdist)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ossdist.Nothing  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


@pytest.mark.parametrize("module", ["ossdist", "ossdist.sim", "ossdist.transfer.run", "ossdist.release.trust"])
def test_pure_parts_do_not_need_libtorrent(module: str) -> None:
    code = f"import sys, {module}; sys.exit('libtorrent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
