"""Files that move, in every session: libtorrent's and the one in memory alike."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import StorageError
from ossdist.transfer.session import AddTorrent
from ossdist.transfer.torrent_events import CheckingDone, Finished, PieceVerified
from tests.programs.payload import tree_digests
from tests.swarm.worlds import DEADLINE_S, contract, until_checked, until_finished
from tests.torrents import NAME, damage, several, single

if TYPE_CHECKING:
    from tests.swarm.worlds import World


@contract
async def test_a_file_moves_while_a_leecher_reads_it(world: World) -> None:
    payload = single(world.new_folder())
    digests = payload.digests
    seeder, leecher = await world.session(upload_bytes_per_s=300_000), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target, moved = world.new_folder(), world.new_folder() / "deep" / "moved"
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(seeder),)))
    with leech.subscribe() as subscription:
        await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
        await seed.rename(0, moved)
        assert not any(isinstance(event, Finished) for event in subscription.drain())
        await subscription.until(Finished, timeout_s=DEADLINE_S)
    assert tree_digests(target) == digests
    assert not payload.file.exists()
    assert tree_digests(moved) == {".": digests[NAME]}
    assert (await seed.status()).error == ""


@contract
async def test_a_renamed_file_is_checked_at_its_new_place(world: World) -> None:
    payload = several(world.new_folder())
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    for file in payload.hybrid.files:
        await seed.rename(file.index, target / file.path)
        await seed.rename(file.index, target / file.path)  # it is there already
    with seed.subscribe() as subscription:
        await until_checked(seed)
        subscription.drain()
        await seed.recheck()
        await subscription.until(CheckingDone, timeout_s=DEADLINE_S)
    assert all(await seed.pieces())
    assert [path for path in payload.folder.rglob("*") if path.is_file()] == []


@contract
async def test_a_renamed_file_replaces_what_stood_there(world: World) -> None:
    payload = single(world.new_folder())
    digest = payload.digests[NAME]
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    old = world.new_folder()
    old.mkdir()
    (old / "old").write_text("an older version")
    await seed.rename(0, old / "old")
    assert tree_digests(old) == {"old": digest}


@contract
async def test_a_rename_that_cannot_be_leaves_the_file(world: World) -> None:
    payload = single(world.new_folder())
    digests = payload.digests
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    blocked = world.new_folder()
    blocked.write_text("no folder")
    with pytest.raises(StorageError) as caught:
        await seed.rename(0, blocked / "file")
    assert caught.value.path == blocked / "file"
    with pytest.raises(ValueError, match="no file 7"):
        await seed.rename(7, world.new_folder())
    leech = await leecher.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),))
    )
    await until_finished(leech)
    assert payload.digests == digests


@contract
async def test_files_of_a_seed_and_renamed_files_are_never_written_to(world: World) -> None:
    payload = single(world.new_folder())
    wrong = payload.copy(world.new_folder())
    good, seeder, renamer, witness = [await world.session() for _ in range(4)]
    slow = await world.session(upload_bytes_per_s=400_000)
    for session in (good, slow):
        await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=wrong.folder, seed=True))
    moved = world.new_folder() / "moved"
    renamed = await renamer.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(good),))
    )
    await until_finished(renamed)
    await renamed.rename(0, moved)
    for torrent, file in ((seed, wrong.file), (renamed, moved)):
        await until_checked(torrent)
        damage(file, [100_000])
        before = file.read_bytes()
        with torrent.subscribe() as subscription:
            await torrent.recheck()
            await subscription.until(CheckingDone, timeout_s=DEADLINE_S)
        await torrent.connect(world.address(good))
        async with asyncio.timeout(DEADLINE_S):
            while not any(peer.seed for peer in await torrent.peers()):  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0.01)
        # Somebody who does fetch, and from a slow seed, is through before they have begun.
        leech = await witness.add(
            AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(slow),), pex=False)
        )
        await until_finished(leech)
        await leech.remove()
        assert (await torrent.pieces()).count(False) == 1
        assert file.read_bytes() == before


@contract
async def test_a_pad_file_cannot_be_renamed(world: World) -> None:
    payload = several(world.new_folder())
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    known = {file.index for file in payload.hybrid.files}
    pad = next(index for index in range(max(known)) if index not in known)
    with pytest.raises(ValueError, match=f"no file {pad}"):
        await seed.rename(pad, world.new_folder())


@contract
async def test_files_may_have_other_names_from_the_start(world: World) -> None:
    payload = single(world.new_folder())
    digest = payload.digests[NAME]
    elsewhere = world.new_folder() / "deep" / "name"
    elsewhere.parent.mkdir(parents=True)
    payload.file.rename(payload.folder / "other")
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, rename=((0, Path("other")),)))
    await until_checked(seed)
    leech = await leecher.add(
        AddTorrent(
            source=payload.hybrid,
            save_path=world.new_folder(),
            rename=((0, elsewhere),),
            peers=(world.address(seeder),),
        )
    )
    await until_finished(leech)
    assert tree_digests(elsewhere) == {".": digest}
