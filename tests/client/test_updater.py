"""Updates of what is believed of a channel, over real folders and with the real gpg: attacks and honest changes."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import (
    EquivocationError,
    ExpiredError,
    FormatError,
    ManifestMismatchError,
    MirrorError,
    NotFoundError,
    OssdistError,
    RemovedReleaseError,
    RollbackError,
    RotationError,
    SignatureError,
    UnknownRootError,
)
from ossdist.release import layout
from ossdist.release.channel import paginate
from ossdist.release.model import encode
from tests.asynchronous import asynchronous
from tests.channel_documents import Documents
from tests.releases import DAY, entry_of
from tests.trust_worlds import NOW, BrokenDocuments, World, channel_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys


@pytest.fixture
def world(tmp_path: Path, keys: Keys) -> World:
    made = World(Documents(tmp_path / "channel", keys), keys.root(keys.alice), tmp_path / "state.json")
    made.documents.put_channel(channel_of(entry_of(), serial=5), keys.alice)
    return made


# --- the channel -----------------------------------------------------------------------------------------


@asynchronous
async def test_a_first_update_and_the_next_ones(world: World, keys: Keys) -> None:
    assert (await world.update()).channel.serial == 5
    world.documents.put_channel(channel_of(entry_of(), entry_of(version="2.0", serial=6), serial=6), keys.alice)
    async with world.updater() as updater:
        assert (await updater.update()).entry("tool", None).version == "2.0"
        assert (await updater.update()).channel.serial == 6


@asynchronous
async def test_an_update_fetches_only_the_pages_that_are_new(world: World, keys: Keys) -> None:
    entries = [entry_of(version=str(number), serial=number) for number in range(1, 601)]
    world.documents.put_channel(channel_of(*entries, serial=600), keys.alice)
    await world.update()
    grown = channel_of(*entries, entry_of(version="601", serial=601), serial=601)
    _, before = paginate(channel_of(*entries, serial=600))
    world.documents.put_channel(grown, keys.alice)
    world.documents.remove(list(before))  # what is remembered is not needed again, even in another run
    world.documents.put_pages({path: data for path, data in paginate(grown)[1].items() if path not in before})
    assert len((await world.update()).channel.releases) == 601


@asynchronous
async def test_a_rollback_is_noticed_in_another_run(world: World, keys: Keys) -> None:
    await world.update()
    world.documents.put_channel(channel_of(serial=4), keys.alice)
    with pytest.raises(RollbackError):
        await world.update()
    world.documents.put_channel(channel_of(serial=5), keys.alice)
    with pytest.raises(EquivocationError):
        await world.update()
    world.documents.put_channel(channel_of(serial=6), keys.alice)
    with pytest.raises(RemovedReleaseError):
        await world.update()


@asynchronous
async def test_what_was_refused_is_not_remembered(world: World, keys: Keys) -> None:
    world.documents.put_channel(channel_of(serial=9), keys.mallory)
    with pytest.raises(SignatureError):
        await world.update()
    assert not world.state.exists()
    assert world.clock.pauses  # it may have been replaced at that moment, so it was read again


@asynchronous
async def test_time_counts_from_the_beginning_of_the_update(world: World, keys: Keys) -> None:
    world.documents.put_channel(channel_of(serial=5, expires=NOW + DAY), keys.alice)
    world.clock.time = NOW + DAY
    with pytest.raises(ExpiredError):
        await world.update()


@asynchronous
async def test_a_page_that_is_swapped_or_gone_stops_the_update(world: World, keys: Keys) -> None:
    (page,) = paginate(channel_of(entry_of(), serial=5))[1]
    path = world.documents.folder / page
    good = path.read_bytes()
    path.write_bytes(good.replace(b"tool", b"toll"))
    with pytest.raises(ManifestMismatchError):
        await world.update()
    path.unlink()
    with pytest.raises(NotFoundError):
        await world.update()
    mended = world.copy("mirror")
    mended.put_pages({page: good})
    assert (await world.update(world.documents, mended)).channel.serial == 5


# --- several mirrors -------------------------------------------------------------------------------------


@asynchronous
async def test_one_stale_or_hostile_mirror_keeps_nobody_from_the_update(world: World, keys: Keys) -> None:
    stale, hostile, broken = world.copy("stale"), world.copy("hostile"), BrokenDocuments()
    stale.put_channel(channel_of(entry_of(), serial=4), keys.alice)
    hostile.put_channel(channel_of(serial=99), keys.mallory)
    for order in itertools.permutations([stale, hostile, world.documents]):
        assert (await world.update(*order, broken)).channel.serial == 5


@asynchronous
async def test_a_mirror_without_the_index_does_not_win(world: World, keys: Keys) -> None:
    ahead = world.copy("ahead")
    ahead.put_channel(channel_of(entry_of(), entry_of(version="2.0", serial=6), serial=6), keys.alice)
    for page in (ahead.folder / "index").iterdir():
        page.unlink()
    assert (await world.update(ahead, world.documents)).channel.serial == 5


@asynchronous
async def test_when_no_mirror_is_of_use_the_first_ones_reason_is_told(world: World, keys: Keys) -> None:
    hostile = world.copy("hostile")
    hostile.put_channel(channel_of(serial=99), keys.mallory)
    with pytest.raises(SignatureError):
        await world.update(hostile, BrokenDocuments())
    with pytest.raises(MirrorError):
        await world.update(BrokenDocuments(), hostile)


# --- roots -----------------------------------------------------------------------------------------------


@asynchronous
async def test_a_chain_of_roots_is_followed(world: World, keys: Keys) -> None:
    signers = [keys.alice, keys.bob, keys.carol, keys.split]
    for serial, (old, new) in enumerate(itertools.pairwise(signers), start=2):
        world.documents.put_root(keys.root(new, serial=serial), old, new)
    world.documents.put_channel(channel_of(entry_of(), serial=6), keys.split)
    async with world.updater() as updater:
        assert (await updater.update()).signed_by.keys == (keys.split,)
        assert updater.root.serial == 4
    # A mirror that no longer has the roots on the way cannot take the client back to an older one.
    world.documents.remove([layout.numbered_root(serial) for serial in (2, 3, 4)])
    async with world.updater() as updater:
        assert updater.root.serial == 4
        world.documents.put_channel(channel_of(entry_of(), serial=7), keys.alice)
        with pytest.raises(SignatureError):
            await updater.update()


@asynchronous
async def test_a_root_that_only_one_side_signed_is_refused(world: World, keys: Keys) -> None:
    for signers in ((keys.alice,), (keys.bob,), (keys.mallory, keys.bob), ()):
        world.documents.put_root(keys.root(keys.bob, serial=2), *signers)
        with pytest.raises(SignatureError) as caught:
            await world.update()
        assert caught.value.document == "2.root.json"
        for path in world.documents.folder.glob("2.root.json*"):
            path.unlink()
    assert (await world.update()).channel.serial == 5


@asynchronous
async def test_a_root_that_leaves_one_out_is_refused(world: World, keys: Keys) -> None:
    world.documents.put(layout.numbered_root(2), encode(keys.root(keys.alice, serial=3)), keys.alice)
    with pytest.raises(RotationError):
        await world.update()


@asynchronous
async def test_a_fast_forwarded_channel_recovers_when_its_key_is_rotated(world: World, keys: Keys) -> None:
    world.documents.put_channel(channel_of(entry_of(), serial=1 << 50), keys.alice)
    await world.update()
    world.documents.put_channel(channel_of(entry_of(), serial=6), keys.alice)
    with pytest.raises(RollbackError):
        await world.update()
    renewed = keys.root(keys.alice, keys.bob, serial=2, channel=[keys.bob])
    world.documents.put_root(renewed, keys.alice)
    world.documents.put_channel(channel_of(entry_of(), serial=6), keys.bob)
    assert (await world.update()).channel.serial == 6
    # A rotation that leaves the channel's signers alone forgets nothing.
    world.documents.put_root(keys.root(keys.alice, keys.bob, serial=3, channel=[keys.bob]), keys.alice)
    world.documents.put_channel(channel_of(entry_of(), serial=5), keys.bob)
    with pytest.raises(RollbackError):
        await world.update()


@asynchronous
async def test_a_root_may_expire_on_the_way_but_not_at_the_end(world: World, keys: Keys) -> None:
    past = NOW - DAY
    root = keys.root(keys.alice, expires=past)
    with pytest.raises(ExpiredError):
        await world.update(root=root)
    world.documents.put_root(keys.root(keys.alice, serial=2), keys.alice)
    assert (await world.update(root=root)).channel.serial == 5


@asynchronous
async def test_one_mirror_that_invents_a_root_stops_nobody(world: World, keys: Keys) -> None:
    hostile = world.copy("hostile")
    hostile.put_root(keys.root(keys.mallory, serial=2), keys.mallory)
    assert (await world.update(hostile, world.documents)).channel.serial == 5
    world.documents.put_root(keys.root(keys.bob, serial=2), keys.alice, keys.bob)
    world.documents.put_channel(channel_of(entry_of(), serial=6), keys.bob)
    assert (await world.update(hostile, world.documents)).channel.serial == 6


@asynchronous
async def test_roots_without_end_are_not_followed(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossdist.updater.MAX_ROTATIONS", 2)
    for serial in (2, 3, 4):
        world.documents.put_root(keys.root(keys.alice, serial=serial), keys.alice)
    with pytest.raises(FormatError, match="more than 2 newer roots"):
        await world.update()


@asynchronous
async def test_the_memory_must_go_back_to_the_root_that_is_given(world: World, keys: Keys) -> None:
    await world.update()
    with pytest.raises(UnknownRootError) as caught:
        await world.update(root=keys.root(keys.bob))
    assert str(world.state) in str(caught.value)
    newer = keys.root(keys.bob, serial=2)
    world.documents.put_channel(channel_of(serial=1), keys.bob)
    assert (await world.update(root=newer)).channel.serial == 1  # the caller vouches for it, and it has other signers
    assert (await world.update()).channel.serial == 1


@asynchronous
async def test_every_refusal_leaves_the_memory_as_it_was(world: World, keys: Keys) -> None:
    await world.update()
    remembered = world.state.read_bytes()
    attacks = [
        lambda: world.documents.put_channel(channel_of(serial=4), keys.alice),
        lambda: world.documents.put_channel(channel_of(serial=7, expires=NOW - timedelta(seconds=1)), keys.alice),
        lambda: world.documents.put_channel(channel_of(serial=7), keys.mallory),
        lambda: world.documents.put(layout.CHANNEL, b"{}", keys.alice),
    ]
    for attack in attacks:
        attack()
        with pytest.raises(OssdistError):
            await world.update()
        assert world.state.read_bytes() == remembered
