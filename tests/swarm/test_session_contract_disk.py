"""What every session does with the disk: libtorrent's and the one in memory alike."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import StorageError, SwarmError
from ossdist.transfer.session import (
    AddTorrent,
    CheckingDone,
    Finished,
    PeerDisconnected,
    PieceFailed,
    PieceVerified,
    StorageFailed,
    TorrentState,
)
from tests.programs.payload import tree_digests
from tests.swarm.worlds import DEADLINE_S, contract, events_until, until_checked, until_finished
from tests.torrents import NAME, damage, several, single

if TYPE_CHECKING:
    from ossdist.transfer.session import Session, Torrent, TorrentEvent
    from tests.swarm.worlds import World
    from tests.torrents import Payload


def pieces_in(seen: list[TorrentEvent]) -> list[int]:
    return [event.index for event in seen if isinstance(event, PieceVerified)]


async def partial(world: World, payload: Payload, pieces: range) -> tuple[Session, Torrent, Path]:
    """A torrent with these pieces alone, and its folder."""
    session, target = await world.session(), world.new_folder()
    torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=target))
    await until_checked(torrent)
    with torrent.subscribe() as subscription:
        for index in pieces:
            await torrent.add_piece(index, payload.piece(payload.hybrid, index))
            await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
    return session, torrent, target


# --- what is on disk -------------------------------------------------------------------------------------


@contract
async def test_what_is_on_disk_is_found_and_not_fetched_again(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    target.mkdir()
    (target / NAME).write_bytes(payload.file.read_bytes()[:100_000])
    damage(target / NAME, [20_000])
    found = [0, *range(2, 100_000 // payload.hybrid.piece_length)]
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(seeder),)))
    with leech.subscribe() as subscription:
        checked = await events_until(subscription, CheckingDone)
        fetched = await events_until(subscription, Finished)
    assert pieces_in(checked) == found
    assert not any(isinstance(event, PieceFailed) for event in checked)
    assert sorted(pieces_in(fetched)) == sorted(set(range(payload.hybrid.num_pieces)) - set(found))
    assert tree_digests(target) == payload.digests
    missing_bytes = payload.hybrid.total - len(found) * payload.hybrid.piece_length
    assert (await leech.status()).payload_download == missing_bytes


@contract
async def test_what_is_complete_is_seeded(world: World) -> None:
    payload = several(world.new_folder())
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder))
    with seed.subscribe() as subscription:
        seen = await events_until(subscription, CheckingDone)
    assert pieces_in(seen) == list(range(payload.hybrid.num_pieces))
    assert [event for event in seen if not isinstance(event, PieceVerified)] == [Finished(), CheckingDone()]
    assert (await seed.status()).state is TorrentState.SEEDING


@contract
async def test_a_seed_starts_without_reading(world: World) -> None:
    payload = single(world.new_folder())
    seed = await (await world.session()).add(AddTorrent(source=payload.v1, save_path=payload.folder, seed=True))
    with seed.subscribe() as subscription:
        assert pieces_in(await events_until(subscription, Finished, CheckingDone)) == []
    assert all(await seed.pieces())


@contract
async def test_a_recheck_notices_a_changed_byte(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(seeder),)))
    await until_finished(leech)
    damage(target / NAME, [100_000])
    with leech.subscribe() as subscription:
        await leech.recheck()
        seen = await events_until(subscription, CheckingDone, PeerDisconnected)
        bad = 100_000 // payload.hybrid.piece_length
        assert pieces_in(seen) == [index for index in range(payload.hybrid.num_pieces) if index != bad]
        assert not any(isinstance(event, Finished | PieceFailed) for event in seen)
        # The seed is found again without being named.
        assert pieces_in(await events_until(subscription, Finished)) == [bad]
    assert tree_digests(target) == payload.digests
    assert (await leech.status()).payload_download == payload.hybrid.total + payload.hybrid.piece_length


@contract
async def test_a_recheck_of_what_is_right_changes_nothing(world: World) -> None:
    payload = single(world.new_folder())
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    with seed.subscribe() as subscription:
        await events_until(subscription, CheckingDone)
        await seed.recheck()
        seen = await events_until(subscription, CheckingDone)
    assert pieces_in(seen) == list(range(payload.hybrid.num_pieces))
    assert seen[-2:] == [Finished(), CheckingDone()]
    assert (await seed.status()).state is TorrentState.SEEDING


# --- resuming --------------------------------------------------------------------------------------------


@contract
async def test_trusted_resume_data_spare_the_check(world: World) -> None:
    payload = single(world.new_folder())
    session, torrent, target = await partial(world, payload, range(5))
    data = await torrent.resume_data()
    await torrent.remove()
    damage(target / NAME, [20_000])
    again = await session.add(
        AddTorrent(source=payload.hybrid, save_path=target, resume_data=data, resume_trusted=True)
    )
    with again.subscribe() as subscription:
        assert pieces_in(await events_until(subscription, CheckingDone)) == list(range(5))
    assert await again.pieces() == (*(True,) * 5, *(False,) * (payload.hybrid.num_pieces - 5))
    assert (await again.status()).bytes_done == 5 * payload.hybrid.piece_length


@contract
async def test_resume_data_that_are_not_trusted_are_checked(world: World) -> None:
    payload = single(world.new_folder())
    session, torrent, target = await partial(world, payload, range(5))
    data = await torrent.resume_data()
    await torrent.remove()
    damage(target / NAME, [20_000])
    again = await session.add(AddTorrent(source=payload.hybrid, save_path=target, resume_data=data))
    with again.subscribe() as subscription:
        assert pieces_in(await events_until(subscription, CheckingDone)) == [0, 2, 3, 4]
    assert await again.pieces() == (True, False, True, True, True, *(False,) * (payload.hybrid.num_pieces - 5))


@contract
async def test_resume_data_of_a_complete_torrent_seed_at_once(world: World) -> None:
    payload = single(world.new_folder())
    session = await world.session()
    first = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder))
    await until_finished(first)
    data = await first.resume_data()
    await first.remove()
    again = await session.add(
        AddTorrent(source=payload.hybrid, save_path=payload.folder, resume_data=data, resume_trusted=True)
    )
    with again.subscribe() as subscription:
        seen = await events_until(subscription, CheckingDone)
    assert pieces_in(seen) == list(range(payload.hybrid.num_pieces))
    assert seen[-2:] == [Finished(), CheckingDone()]
    assert (await again.status()).state is TorrentState.SEEDING


@contract
async def test_resume_data_without_the_file_say_nothing(world: World) -> None:
    payload = single(world.new_folder())
    session, torrent, target = await partial(world, payload, range(5))
    data = await torrent.resume_data()
    await torrent.remove()
    (target / NAME).unlink()
    again = await session.add(
        AddTorrent(source=payload.hybrid, save_path=target, resume_data=data, resume_trusted=True)
    )
    await until_checked(again)
    assert not any(await again.pieces())


@contract
async def test_resume_data_remember_the_peers(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(upload_bytes_per_s=200_000), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(seeder),)))
    with leech.subscribe() as subscription:
        await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
    data = await leech.resume_data()
    await leech.remove()
    again = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, resume_data=data))
    await until_finished(again)


@pytest.mark.parametrize("trusted", [True, False])
@contract
async def test_resume_data_that_do_not_fit_are_refused(world: World, trusted: bool) -> None:  # noqa: FBT001
    payload, other = single(world.new_folder()), single(world.new_folder(), seed=1)
    session, torrent, _ = await partial(world, other, range(1))
    data = await torrent.resume_data()
    for wrong in (data, b"", b"junk", data[: len(data) // 2]):
        with pytest.raises(SwarmError):
            await session.add(
                AddTorrent(
                    source=payload.hybrid, save_path=world.new_folder(), resume_data=wrong, resume_trusted=trusted
                )
            )
    await session.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder()))


# --- pieces from elsewhere -------------------------------------------------------------------------------


@contract
async def test_pieces_may_come_from_elsewhere(world: World) -> None:
    payload = several(world.new_folder())
    _, torrent, target = await partial(world, payload, range(payload.hybrid.num_pieces))
    await until_finished(torrent)
    assert tree_digests(target) == payload.digests
    assert (await torrent.status()).payload_download == 0


@contract
async def test_a_wrong_piece_from_elsewhere_is_refused(world: World) -> None:
    payload = single(world.new_folder())
    _, torrent, _ = await partial(world, payload, range(1))
    with torrent.subscribe() as subscription:
        await torrent.add_piece(3, bytes(payload.hybrid.piece_length))
        assert await events_until(subscription, PieceFailed) == [PieceFailed(3)]
        await torrent.add_piece(0, bytes(payload.hybrid.piece_length))  # it is here already
        await torrent.add_piece(3, payload.piece(payload.hybrid, 3))
        assert await events_until(subscription, PieceVerified) == [PieceVerified(3)]
    assert [index for index, here in enumerate(await torrent.pieces()) if here] == [0, 3]


@contract
async def test_a_piece_that_cannot_be_is_the_callers_mistake(world: World) -> None:
    payload = single(world.new_folder())
    _, torrent, _ = await partial(world, payload, range(1))
    last = payload.hybrid.num_pieces - 1
    for index, length in ((-1, 16384), (last + 1, 16384), (last, 16384), (3, 16383), (3, 0)):
        with pytest.raises(ValueError, match="piece"):
            await torrent.add_piece(index, bytes(length))


# --- renaming --------------------------------------------------------------------------------------------


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


# --- trouble ---------------------------------------------------------------------------------------------


@contract
async def test_a_disk_that_refuses_stops_the_torrent_until_it_is_mended(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    blocked = world.new_folder()
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=blocked))
    await until_checked(leech)
    blocked.write_text("no folder")
    with leech.subscribe() as subscription:
        await leech.connect(world.address(seeder))
        failed = await subscription.until(StorageFailed, timeout_s=DEADLINE_S)
        assert failed.errno == errno.ENOTDIR
        assert failed.path == str(blocked / NAME)
        assert failed.reason
        status = await leech.status()
        assert status.error
        assert status.paused
        assert await leech.pieces() == (False,) * payload.hybrid.num_pieces
        blocked.unlink()
        await leech.resume()
        await subscription.until(Finished, timeout_s=DEADLINE_S)
    assert (await leech.status()).error == ""
    assert tree_digests(blocked) == payload.digests


@contract
async def test_a_full_disk_has_its_own_number(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    full = world.new_folder()
    full.mkdir()
    (full / NAME).symlink_to("/dev/full")
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=full, peers=(world.address(seeder),)))
    with leech.subscribe() as subscription:
        failed = await subscription.until(StorageFailed, timeout_s=DEADLINE_S)
    assert failed.errno == errno.ENOSPC
    assert failed.path == str(full / NAME)


@contract
async def test_a_save_path_that_is_a_file_stops_the_torrent_at_once(world: World) -> None:
    payload = several(world.new_folder())
    blocked = world.new_folder()
    blocked.write_text("no folder")
    torrent = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=blocked))
    with torrent.subscribe() as subscription:
        assert (await subscription.until(StorageFailed, timeout_s=DEADLINE_S)).errno == errno.ENOTDIR
        assert (await torrent.status()).paused
        blocked.unlink()
        await torrent.resume()
        await subscription.until(CheckingDone, timeout_s=DEADLINE_S)
    assert (await torrent.status()).state is TorrentState.DOWNLOADING


@contract
async def test_a_seed_whose_file_is_gone_says_so(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await until_checked(seed)
    payload.file.unlink()
    with seed.subscribe() as subscription:
        leech = await leecher.add(
            AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),))
        )
        failed = await subscription.until(StorageFailed, timeout_s=DEADLINE_S)
    assert failed.errno == errno.ENOENT
    assert not any(await leech.pieces())
