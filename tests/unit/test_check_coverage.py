"""The gate on coverage: every module counts, and only a report of the tree as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.modules import ROOT, load

if TYPE_CHECKING:
    from pathlib import Path

check_coverage = load("tools/check_coverage.py")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two modules, and nothing else."""
    (tmp_path / "ossdist" / "sub").mkdir(parents=True)
    for name in ("ossdist/a.py", "ossdist/sub/b.py"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1_000, 1_000))
    return tmp_path


def report(tree: Path, percents: dict[str, float]) -> Path:
    path = tree / "coverage.json"
    files = {name: {"summary": {"percent_covered": value}} for name, value in percents.items()}
    path.write_text(json.dumps({"files": files}))
    return path


def test_modules_at_the_minimum_are_covered_well_enough(tree: Path) -> None:
    path = report(tree, {"ossdist/a.py": 90.0, "ossdist/sub/b.py": 100.0})
    assert check_coverage.check(path, tree) == []


def test_every_module_below_the_minimum_is_named(tree: Path) -> None:
    path = report(tree, {"ossdist/a.py": 89.99, "ossdist/sub/b.py": 12.5})
    assert check_coverage.check(path, tree) == [
        "ossdist/sub/b.py: 12.50 %, 90 % needed",
        "ossdist/a.py: 89.99 %, 90 % needed",
    ]


def test_a_module_that_is_not_in_the_report_is_named(tree: Path) -> None:
    path = report(tree, {"ossdist/a.py": 100.0, "ossdist/gone.py": 0.0})
    assert check_coverage.check(path, tree) == ["ossdist/sub/b.py: not in the report"]


def test_a_report_older_than_a_module_says_nothing(tree: Path) -> None:
    path = report(tree, {"ossdist/a.py": 100.0, "ossdist/sub/b.py": 100.0})
    os.utime(path, (999, 999))
    (wrong,) = check_coverage.check(path, tree)
    assert "is older than ossdist/a.py, ossdist/sub/b.py" in wrong


def test_a_missing_report_is_a_failure(tree: Path) -> None:
    (wrong,) = check_coverage.check(tree / "coverage.json", tree)
    assert "missing" in wrong


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"ossdist/a.py": {}}}'])
def test_a_malformed_report_is_a_failure(tree: Path, text: str) -> None:
    path = tree / "coverage.json"
    path.write_text(text)
    (wrong,) = check_coverage.check(path, tree)
    assert "not a report" in wrong


def test_a_tree_without_modules_is_a_failure(tmp_path: Path) -> None:
    (wrong,) = check_coverage.check(report(tmp_path, {}), tmp_path)
    assert "no module" in wrong


def test_the_gate_prints_what_is_wrong_and_fails(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "tools" / "check_coverage.py", tmp_path / "none.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "none.json is missing" in done.stdout
