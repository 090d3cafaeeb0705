"""Whatever mirrors and peers do: the bytes are right, nothing is left behind, and one good source is enough.

Production's transfer and engine over a network in memory, in virtual time.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossdist.config import MirrorConfig
from ossdist.events import MirrorStarted, PieceRefused, Progress
from ossdist.sim import run_virtual
from tests.mirrors.feed_world import FAST, Mirror, World, download, server_of
from tests.programs.payload import tree_digests
from tests.torrents import Payload, damage, several, single

if TYPE_CHECKING:
    from tests.transfer_lab import Lab


def mirrors() -> st.SearchStrategy[Mirror]:
    rates = st.sampled_from([FAST // 4, FAST, FAST * 4])
    moments = st.tuples(st.floats(0, 5), st.floats(5, 15))
    return st.one_of(
        st.builds(Mirror, rates),
        st.builds(Mirror, rates, status=st.sampled_from(["404 Not Found", "503 Busy", "500 Broken", "403 Forbidden"])),
        st.builds(Mirror, rates, corrupt=st.lists(st.integers(0, 40_000), min_size=1, max_size=3).map(tuple)),
        st.builds(Mirror, rates, ranged=st.just(False)),  # noqa: FBT003
        st.builds(Mirror, rates, cut_after=st.integers(0, 60_000)),
        st.builds(Mirror, rates, silent_after=st.integers(0, 60_000)),
        st.builds(Mirror, rates, away=moments),
    )


def configs() -> st.SearchStrategy[MirrorConfig]:
    return st.builds(
        MirrorConfig,
        at_once=st.integers(1, 4),
        connections=st.integers(1, 3),
        head_start_s=st.sampled_from([0.0, 1.0]),
        target_bytes_per_s=st.sampled_from([None, FAST / 2]),
        most_share=st.sampled_from([0.3, 1.0]),
        bytes_per_s=st.sampled_from([0.0, FAST]),
        first_range_bytes=st.sampled_from([1, 40_000, 1 << 20]),
    )


@pytest.fixture(scope="module")
def payloads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Payload, Payload]:
    """One file, and several."""
    folder = tmp_path_factory.mktemp("payloads")
    return single(folder / "single"), several(folder / "several")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(
        World,
        st.lists(mirrors(), min_size=1, max_size=5).map(tuple),
        st.lists(st.sampled_from([2000, FAST, FAST * 4]), max_size=2).map(tuple),
        configs(),
        st.integers(0, 1 << 30),
        st.booleans(),
    )
)
def test_whatever_sources_do_the_bytes_are_right(payloads: tuple[Payload, Payload], world: World) -> None:
    payload = payloads[world.large]
    with tempfile.TemporaryDirectory() as folder:
        lab, feed, failure = run_virtual(download(world, payload, Path(folder)))
        if world.enough:
            assert not failure
        if not failure:
            assert tree_digests(lab.target) == payload.digests
        else:
            assert all(url in failure for url in feed.mirrors)
        good = [f"http://mirror-{number}.example/" for number, mirror in enumerate(world.mirrors) if mirror.good]
        assert all(feed.mirrors[url].failures == 0 for url in good if url in feed.mirrors)


ONE_EACH = MirrorConfig(
    connections=1, first_range_bytes=100_000, order=tuple(f"http://mirror-{number}.example/" for number in range(4))
)


def served(lab: Lab, mirrors: int) -> int:
    """What mirrors have sent in all."""
    return sum(server_of(lab, number).served_bytes for number in range(mirrors))


@pytest.mark.parametrize("flipped", [0, 1000, 20_000, 29_999])
def test_one_flipped_byte_in_one_of_four_mirrors_costs_one_piece(tmp_path: Path, flipped: int) -> None:
    payload = single(tmp_path / "seed", 800_000)
    mirrors = (Mirror(corrupt=(flipped,)), Mirror(), Mirror(), Mirror())
    lab, feed, failure = run_virtual(download(World(mirrors, config=ONE_EACH), payload, tmp_path))
    (refused,) = lab.seen(PieceRefused)
    assert (failure, refused.index) == ("", flipped // payload.hybrid.piece_length)
    assert tree_digests(lab.target) == payload.digests
    assert served(lab, 4) == 800_000 + payload.hybrid.piece_length
    assert feed.wasted_bytes == payload.hybrid.piece_length
    assert [mirror.wrong for mirror in feed.mirrors.values()] == [1, 0, 0, 0]


def test_the_same_mirror_wrong_again_is_out_of_the_transfer(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed", 800_000)
    mirrors = (Mirror(corrupt=(0, 40_000, 80_000)), Mirror(), Mirror(), Mirror())
    lab, feed, failure = run_virtual(download(World(mirrors, config=ONE_EACH), payload, tmp_path))
    bad, *others = feed.mirrors.values()
    assert not failure
    assert tree_digests(lab.target) == payload.digests
    assert (bad.wrong, bad.out) == (2, True)
    assert not any(mirror.out for mirror in others)
    assert sum(started.url == bad.site.url for started in lab.seen(MirrorStarted)) == 1


def test_who_has_failed_comes_after_those_who_have_not(tmp_path: Path) -> None:
    """Mirrors that take connections and say nothing, one at a time: the last one's turn comes before theirs again."""
    payload = single(tmp_path / "seed")
    mute = Mirror(silent_after=0)
    config = replace(ONE_EACH, at_once=1)
    lab, feed, failure = run_virtual(download(World((mute, mute, mute, Mirror()), config=config), payload, tmp_path))
    assert not failure
    assert [mirror.failures for mirror in feed.mirrors.values()] == [1, 1, 1, 0]
    assert lab.seen(Progress)[-1].bytes_from_mirrors == 200_000


def test_what_is_on_disk_is_not_fetched_again(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    damaged = payload.copy(tmp_path / "target")
    damage(damaged.file, [3 * payload.hybrid.piece_length, 7 * payload.hybrid.piece_length + 5])
    lab, _, failure = run_virtual(download(World((Mirror(), Mirror()), config=ONE_EACH), payload, tmp_path))
    assert not failure
    assert tree_digests(lab.target) == payload.digests
    assert served(lab, 2) == 2 * payload.hybrid.piece_length


@pytest.mark.parametrize(("connections", "first_range_bytes"), [(1, 20_000), (2, 20_000), (2, 1 << 20), (3, 1 << 20)])
def test_a_server_without_ranges_is_left_to_itself_while_others_give(
    tmp_path: Path, connections: int, first_range_bytes: int
) -> None:
    payload = single(tmp_path / "seed")
    config = replace(ONE_EACH, connections=connections, first_range_bytes=first_range_bytes)
    mirrors = (Mirror(ranged=False), Mirror(FAST // 4))
    lab, feed, failure = run_virtual(download(World(mirrors, config=config), payload, tmp_path))
    plain, good = feed.mirrors.values()
    assert not failure
    assert (plain.failures, plain.bytes, server_of(lab, 0).served_bytes) == (1, 0, 0)
    assert good.bytes == 200_000


def test_what_is_thrown_away_of_a_whole_file_is_no_silence(tmp_path: Path) -> None:
    """Only the end is missing, and only a slow server without ranges is there: most of the file comes for nothing."""
    payload = single(tmp_path / "seed")
    damage(payload.copy(tmp_path / "target").file, [199_000])
    config = replace(ONE_EACH, silent_s=2.0, min_bytes_per_s=1000.0)
    world = World((Mirror(10_000, ranged=False),), config=config)
    lab, feed, failure = run_virtual(download(world, payload, tmp_path))
    assert not failure
    assert tree_digests(lab.target) == payload.digests
    assert [mirror.failures for mirror in feed.mirrors.values()] == [1]  # it was asked for a part first
    assert served(lab, 1) == 200_000  # at 10,000 a second, with 2 s of patience


def test_what_is_cut_short_is_no_success(tmp_path: Path) -> None:
    """Something comes each time, and the pauses grow all the same."""
    payload = single(tmp_path / "seed")
    world = World((Mirror(cut_after=20_000),), config=replace(ONE_EACH, at_once=1))
    _, feed, _ = run_virtual(download(world, payload, tmp_path))
    (mirror,) = feed.mirrors.values()
    assert mirror.bytes > 0
    health = world.health[mirror.site.url]
    assert health.in_a_row == mirror.failures >= 4
    assert health.successes == 0
