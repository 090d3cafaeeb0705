"""Scenarios as data, those that come with the package, and what a run says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.errors import FormatError
from ossdist.sim.crowd import load, run, run_cadence, shipped
from ossdist.sim.crowd.library import with_peers
from ossdist.sim.crowd.plot import plot_completion
from ossdist.sim.crowd.scenario import MAX_SCENARIO_BYTES, Scenario, comers, decode
from ossdist.sim.crowd.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.sim.crowd.run import Result

SMALL = b"""
name = "small"
about = "One seed, a few who come."
length = 2_000_000
piece_length = 65_536

[[hosts]]
count = 1
profile = "altruist"
up_mbit = 20
down_mbit = 20
has_all = true

[[hosts]]
count = 3
up_mbit = 10
down_mbit = 20
over_s = 2

[[hosts]]
count = 2
profile = "free rider"
up_mbit = 10
down_mbit = 20
"""


def small(**changes: object) -> Scenario:
    return msgspec.structs.replace(decode(SMALL, document="small"), **changes)


# --- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_runs_in_small(name: str) -> None:
    whole = load(name)
    kinds = sum(not hosts.has_all for hosts in whole.hosts)
    scenario = msgspec.structs.replace(with_peers(whole, max(8, kinds)), length=2_000_000, piece_length=65_536)
    result = run(scenario, seed=1)
    assert result.scenario == whole.name
    assert result.completed == result.came - result.gave_up
    assert result.completed


def test_the_scenarios_that_were_promised_are_there() -> None:
    assert set(shipped()) >= {
        *("flash-crowd", "long-tail", "p2p-blocked", "mirror-outage", "poisoners", "free-riders"),
        *("free-riders-with-incentives", "asymmetric", "release-cadence"),
    }


def test_a_file_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(SMALL)
    assert load(path) == small()
    path.write_bytes(b"#" * (MAX_SCENARIO_BYTES + 1))
    with pytest.raises(FormatError, match="larger than"):
        load(path)


PIECES = b"piece_length = 65_536"
LENGTH = b"length = 2_000_000"
LATER = b"over_s = 2"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((b"name", b"\xffname"), "UTF-8"),
        ((b"count = 3", b"count = [3"), "line"),
        ((b"count = 3", b"count = 0"), "count"),
        ((b"count = 3", b"cuont = 3"), "cuont"),
        ((LATER, b"over_s = -2"), "over_s"),
        ((b'"free rider"', b'"freerider"'), "'freerider' is none of"),
        ((LATER, b'places = ["mars"]'), "mars"),
        ((LATER, b"settings = { slotz = 1 }"), "slotz"),
        ((LATER, b"settings = { slots = -1 }"), "slots"),
        ((PIECES, b"piece_length = 1"), "piece_length"),
        ((LENGTH, b"length = 0"), "length"),
        ((LENGTH, LENGTH + b"\nuntil_s = 0"), "until_s"),
        ((LENGTH, b"length = 2_000_000_000_000_000"), "pieces"),
        ((b"count = 3", b"count = 99_999"), "too many"),
        (
            (PIECES, PIECES + b'\nmirrors = [{url = "u", up_mbit = 1, place = "x"}]'),
            "'x'",
        ),
        (
            (PIECES, PIECES + b'\nmirrors = [{url = "u", up_mbit = 1, down = [[5, 1]]}]'),
            "down",
        ),
        ((LENGTH, LENGTH + b"\ncadence = [{day = 7, delta_share = 0}]"), "delta_share"),
        ((LENGTH, LENGTH + b'\ntopology = {type = "ring"}'), "ring"),
        (
            (LENGTH, LENGTH + b'\ntopology = {type = "clusters", count = 0, uplink_mbit = 1}'),
            "topology",
        ),
        ((LENGTH, LENGTH + b"\nstep_s = 0"), "step_s"),
        ((LATER, b"settings = { slots = 1.5 }"), "slots"),
        ((LATER, b"settings = { poison = 2 }"), "poison"),
        ((LATER, b"settings = { dialable = 0.5 }"), "dialable"),
        ((LATER, b'profile = "flaky"\nsettings = { up_s = inf }'), "up_s"),
        ((LENGTH, LENGTH + b"\nstep_s = inf"), "step_s"),
        ((LENGTH, LENGTH + b"\nuntil_s = inf"), "until_s"),
        ((LENGTH, LENGTH + b'\ntopology = {type = "star", places = {}}'), "places"),
        ((LENGTH, LENGTH + b'\ntopology = {type = "star", places = {core = "open"}}'), "'core'"),
        ((LENGTH, b"length = 99_999_999_999"), "larger"),
        (
            (PIECES, PIECES + b'\nmirrors = [{url = "u", up_mbit = 1}, {url = "u", up_mbit = 2}]'),
            "same url",
        ),
        ((LATER, b'profile = "flaky"\nsettings = { up_s = 0 }'), "up_s"),
        ((LATER, b'profile = "capped mobile"\nsettings = { look_s = 0 }'), "look_s"),
        ((LATER, b'profile = "whitewasher"\nsettings = { pause_s = 0 }'), "pause_s"),
        ((LATER, b'profile = "whitewasher"\nsettings = { names = 0 }'), "names"),
        ((LATER, b'profile = "whitewasher"\nsettings = { names = 1000, identities = 1000 }'), "too many"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(change: tuple[bytes, bytes], says: str) -> None:
    before, after = change
    with pytest.raises(FormatError, match=says) as caught:
        decode(SMALL.replace(before, after, 1), document="my.toml")
    assert str(caught.value).startswith("my.toml: ")


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(FormatError, match="flash-crowd"):
        load("flashcrowd")


def test_as_many_peers_as_are_asked_for() -> None:
    scenario = with_peers(small(), 50)
    assert [hosts.count for hosts in scenario.hosts] == [1, 30, 20]
    assert sum(hosts.count for hosts in with_peers(small(), 7).hosts) == 8
    with pytest.raises(ValueError, match="2 kinds"):
        with_peers(small(), 1)
    with pytest.raises(ValueError, match="nobody comes"):
        with_peers(small(hosts=small().hosts[:1]), 10)
    with pytest.raises(FormatError, match="too many"):
        with_peers(small(), 100_000)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8), st.integers(0, 2000))
def test_every_kind_keeps_its_part(counts: list[int], more: int) -> None:
    seed, template, _ = small().hosts
    kinds = [msgspec.structs.replace(template, count=count) for count in counts]
    peers = len(counts) + more
    found = [hosts.count for hosts in with_peers(small(hosts=(seed, *kinds)), peers).hosts]
    assert found[0] == 1
    assert sum(found[1:]) == peers
    assert min(found[1:]) >= 1
    exact = [max(1.0, count * peers / sum(counts)) for count in counts]
    assert all(abs(one - another) <= len(counts) for one, another in zip(found[1:], exact, strict=True))


@pytest.mark.parametrize("name", shipped())
def test_as_many_come_as_are_said_to(name: str) -> None:
    scenario = msgspec.structs.replace(load(name), length=65_536, piece_length=65_536, until_s=1.0, cadence=())
    assert run(scenario, seed=1).came == comers(scenario)


# --- running ---------------------------------------------------------------------------------------------


def test_a_result_says_what_happened() -> None:
    seen: list[tuple[float, int]] = []
    result = run(small(), seed=1, on_progress=lambda now_s, done: seen.append((now_s, done)))
    assert (result.came, result.completed, result.gave_up) == (5, 5, 0)
    assert set(result.by_profile) == {"default", "free rider"}
    assert result.completion is not None
    assert 0 < result.completion.p50 <= result.completion.p99 <= result.completion.p999 <= result.completion.last
    assert result.seed_copies >= 1.0
    assert result.mirror_copies == 0.0
    assert 0 <= result.wasted < 0.2
    assert result.keep_seeding == 3 / 5  # free riders leave
    assert [done for _, done in seen] == sorted(done for _, done in seen)
    assert seen[-1][1] == 5


def test_the_same_seed_gives_the_same_trace_and_another_one_another() -> None:
    assert run(small(), seed=7).trace_hash == run(small(), seed=7).trace_hash
    assert run(small(), seed=7).trace_hash != run(small(), seed=8).trace_hash


BUSY = (
    SMALL.replace(b"count = 3", b"count = 20").replace(b"count = 2", b"count = 15")
    + b"""
[[hosts]]
count = 2
profile = "whitewasher"
up_mbit = 5
down_mbit = 5

[[hosts]]
count = 3
profile = "flaky"
up_mbit = 5
down_mbit = 10
settings = { up_s = 3, down_s = 1 }

[[mirrors]]
url = "https://m.example/"
up_mbit = 5
down = [[1, 2]]
wrong = 0.01
"""
)


def test_a_trace_is_the_same_on_every_python() -> None:
    """Changes whenever the model does; what must not happen is that it differs between two machines."""
    busy = msgspec.structs.replace(decode(BUSY, document="busy"), incentives=True)
    assert run(busy, seed=1).trace_hash == "069cc28336e15feb78036bdbe49134b3e61746772612eb437e5e904760f6f17c"


def test_incentives_put_contributors_first() -> None:
    hosts = tuple(msgspec.structs.replace(each, count=each.count * 6, up_mbit=5) for each in small().hosts[1:])
    crowd = small(length=40_000_000, hosts=(small().hosts[0], *hosts))
    without, with_them = run(crowd, seed=1), run(msgspec.structs.replace(crowd, incentives=True), seed=1)
    gain = {name: with_them.by_profile[name].p50 / found.p50 for name, found in without.by_profile.items()}
    assert gain["default"] < gain["free rider"]
    assert with_them.completed == with_them.came  # nobody starves


def test_who_keeps_seeding_is_looked_at_five_minutes_later() -> None:
    hosts = small().hosts
    early = msgspec.structs.replace(hosts[1], count=2, over_s=0.0, settings={"seeds_for_s": 100.0})
    late = msgspec.structs.replace(hosts[2], count=1, profile="default", arrive_s=1000.0)
    result = run(small(hosts=(hosts[0], early, late)), seed=1)
    assert result.keep_seeding == pytest.approx(1 / 3)


def test_who_leaves_soon_does_not_keep_seeding() -> None:
    hosts = small().hosts
    short = msgspec.structs.replace(hosts[1], settings={"seeds_for_s": 60.0})
    assert run(small(hosts=(hosts[0], short)), seed=1).keep_seeding == 0.0


@pytest.mark.parametrize("until_s", [0.3, 1.7])
def test_a_run_ends_at_a_time_at_which_nothing_happens(until_s: float) -> None:
    late = msgspec.structs.replace(small().hosts[1], arrive_s=1000.0)
    assert run(small(until_s=until_s, hosts=(*small().hosts, late)), seed=1).simulated_s == pytest.approx(until_s)


def test_settings_are_whole_numbers_shares_and_truths() -> None:
    toml = SMALL.replace(LATER, b"settings = { slots = 4, up_share = 0.5, dialable = false, identities = 2 }")
    assert run(decode(toml, document="x"), seed=1).came == 8


def test_a_run_ends_at_its_time() -> None:
    result = run(small(until_s=1.0), seed=1)
    assert (result.completed, result.gave_up, result.completion) == (0, 0, None)
    assert result.keep_seeding == 0.0
    assert result.simulated_s <= 1.0


def test_mirrors_count_for_themselves() -> None:
    scenario = decode(
        SMALL + b'\n[[mirrors]]\nurl = "https://m.example/"\nup_mbit = 50\ndown = [[1, 2]]\n', document="x"
    )
    assert 0.2 < run(scenario, seed=1).mirror_copies < 5


def test_a_month_of_deltas_costs_what_deltas_weigh() -> None:
    cadence = load("release-cadence").cadence
    found = run_cadence(small(cadence=cadence), seed=3)
    assert len(found.updates) == len(cadence)
    share = sum(release.delta_share for release in cadence) / len(cadence)
    assert found.saving == pytest.approx(1 - share, abs=0.001)
    assert found.seeds_delta_bytes < found.seeds_full_bytes
    assert found.trace_hash == run_cadence(small(cadence=cadence), seed=3).trace_hash
    assert [update.day for update in found.updates] == [release.day for release in cadence]
    nothing = run_cadence(small(), seed=3)
    assert nothing.saving == 0.0


def test_a_trace_tells_order_and_time_apart() -> None:
    def trace(*events: tuple[float, bytes, int]) -> str:
        made = Trace()
        for time_s, what, who in events:
            made.note(time_s, what, who)
        assert made.events == len(events)
        return made.hexdigest()

    base = trace((1.0, b"join", 1), (2.0, b"leave", 1))
    assert base == trace((1.0, b"join", 1), (2.0, b"leave", 1))
    assert (
        len({base, trace((2.0, b"leave", 1), (1.0, b"join", 1)), trace((1.0, b"join", 1), (2.001, b"leave", 1))}) == 3
    )


def test_a_plot_is_a_picture(tmp_path: Path) -> None:
    result = run(small(), seed=1)
    nobody: Result = replace(result, outcomes=())
    plot_completion({"everybody": result, "nobody": nobody}, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['simpy'] = None; import ossdist.sim.crowd"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "install ossdist[sim]" in done.stderr
