"""tools/simulate.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ossdist.sim.crowd import shipped
from tests.tools.scripts import Json, run

if TYPE_CHECKING:
    from pathlib import Path

MINE = """
name = "mine"
about = "Two who come."
length = 1_000_000
piece_length = 65_536
hosts = [
  {count = 1, profile = "altruist", up_mbit = 10, down_mbit = 10, has_all = true},
  {count = 2, up_mbit = 10, down_mbit = 10},
]
"""


def test_a_scenario_of_ones_own_is_run_the_same_every_time(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, "utf-8")
    first, again, other = (run("simulate", path, "--seed", seed, "--json") for seed in (3, 3, 4))
    assert first.code == 0, first
    answer = first.answer
    assert (answer["ok"], answer["scenario"], answer["seed"], answer["completed"]) == (True, "mine", 3, 2)
    assert set(cast("Json", answer["completion"])) == {"p50", "p99", "p999", "last"}
    assert answer["keep_seeding"] == answer["baseline_keep_seeding"] == 1.0
    assert answer["trace_hash"] == again.answer["trace_hash"] != other.answer["trace_hash"]


def test_with_incentives_it_is_compared_with_itself_without(tmp_path: Path) -> None:
    plot = tmp_path / "plot.png"
    done = run("simulate", "free-riders-with-incentives", "--peers", 12, "--plot", plot, "--json")
    assert done.code == 0, done
    assert set(cast("Json", done.answer["by_profile"])) == set(cast("Json", done.answer["baseline_by_profile"]))
    assert done.answer["by_profile"] != done.answer["baseline_by_profile"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_cadence_says_what_deltas_spare(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE + "cadence = [{day = 7, delta_share = 0.1}]\n", "utf-8")
    done = run("simulate", path, "--json")
    cadence = cast("Json", done.answer["cadence"])
    assert cadence["saving"] == 0.9
    assert len(cast("list[Json]", cadence["updates"])) == 1
    told = run("simulate", path, "--plot", tmp_path / "plot.png")
    assert "deltas spare users 90%" in told.out
    assert "2 of 2 complete" in told.out


def test_scenarios_are_listed() -> None:
    assert run("simulate", "--list", "--json").answer["scenarios"] == list(shipped())
    assert "flash-crowd" in run("simulate", "--list").out


def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    assert "flash-crowd" in run("simulate", "nothing", "--json").refused("FormatError")
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace("count = 2", "count = 0"), "utf-8")
    assert "count" in run("simulate", path, "--json").refused("FormatError")
    assert "kinds" in run("simulate", "asymmetric", "--peers", 2, "--json").refused("FormatError")
    path.write_text(MINE, "utf-8")
    assert "no/where.png" in run("simulate", path, "--plot", tmp_path / "no" / "where.png", "--json").refused(
        "StorageError"
    )
    for usage in ((), ("--list", "flash-crowd"), ("flash-crowd", "--seed", "x"), ("flash-crowd", "--peers", "0")):
        assert run("simulate", *usage).code == 2
