"""What every session does with the disk: libtorrent's and the one in memory alike."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from ossdist.transfer.session import AddTorrent, TorrentState
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Finished,
    PeerDisconnected,
    PieceFailed,
    PieceVerified,
    StorageFailed,
)
from tests.programs.payload import tree_digests
from tests.swarm.worlds import (
    DEADLINE_S,
    add_piece,
    contract,
    events_until,
    partial,
    pieces_in,
    until_checked,
    until_finished,
)
from tests.torrents import NAME, damage, several, single

if TYPE_CHECKING:
    from tests.swarm.worlds import World


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
    assert (await seed.status()).error == ""


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
        assert not await add_piece(torrent, 3, bytes(payload.hybrid.piece_length))
        assert await add_piece(torrent, 0, bytes(payload.hybrid.piece_length))  # it is here already
        assert await add_piece(torrent, 3, payload.piece(payload.hybrid, 3))
        assert await events_until(subscription, PieceVerified) == [PieceVerified(3)]
    assert [index for index, here in enumerate(await torrent.pieces()) if here] == [0, 3]


@contract
async def test_a_piece_that_cannot_be_is_the_callers_mistake(world: World) -> None:
    payload = single(world.new_folder())
    _, torrent, _ = await partial(world, payload, range(1))
    last = payload.hybrid.num_pieces - 1
    for index, length in ((-1, 16384), (last + 1, 16384), (last, 16384), (3, 16383), (3, 0)):
        with pytest.raises(ValueError, match="piece"):
            await add_piece(torrent, index, bytes(length))


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
        assert (status.error, status.errno, status.error_path) == (failed.reason, failed.errno, failed.path)
        assert status.paused
        assert await leech.pieces() == (False,) * payload.hybrid.num_pieces
        blocked.unlink()
        await leech.resume()
        await subscription.until(Finished, timeout_s=DEADLINE_S)
    status = await leech.status()
    assert (status.error, status.errno, status.error_path) == ("", 0, "")
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
        status = await leech.status()
        assert (status.error, status.errno, status.error_path) == (failed.reason, failed.errno, failed.path)
        (full / NAME).unlink()
        await leech.resume()
        await subscription.until(Finished, timeout_s=DEADLINE_S)
    assert (await leech.status()).error == ""
    assert tree_digests(full) == payload.digests


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
