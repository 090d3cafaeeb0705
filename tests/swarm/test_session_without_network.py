"""The session without a network: the contract as far as it is about files, and what is its own."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import StorageError, SwarmError
from ossdist.store.disk_session import DiskSession
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import AddTorrent, TorrentState
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Finished,
    PieceVerified,
    StorageFailed,
)
from tests.programs.payload import tree_digests
from tests.swarm import test_session_contract_disk as disk
from tests.swarm import test_session_contract_life as life
from tests.swarm import test_session_contract_peers as peers
from tests.swarm import test_session_contract_renaming as renaming
from tests.swarm import test_session_contract_resuming as resuming
from tests.swarm.worlds import DEADLINE_S, World, add_piece, contract, events_until, partial, until_checked
from tests.torrents import NAME, damage, several, single

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from ossdist.transfer.metainfo import Metainfo
    from ossdist.transfer.session import Session


class DiskWorld(World):
    """Nobody but one session."""

    def run(self, test: Coroutine[None, None, None]) -> None:
        asyncio.run(test)

    async def _open(self, upload_bytes_per_s: int, *, trackers: bool) -> Session:
        return DiskSession()

    def address(self, session: Session) -> Address:
        raise NotImplementedError

    def nowhere(self) -> Address:
        return Address("192.0.2.1", 1)

    async def serve(self, folder: Path, *, bytes_per_s: int | None = None) -> str:
        raise NotImplementedError

    async def tracker(self, *metainfos: Metainfo) -> str:
        raise NotImplementedError


@pytest.fixture
def world(tmp_path: Path) -> World:
    return DiskWorld(tmp_path)


@pytest.mark.parametrize(
    "test",
    [
        disk.test_what_is_complete_is_seeded,
        disk.test_a_seed_starts_without_reading,
        disk.test_a_recheck_of_what_is_right_changes_nothing,
        disk.test_pieces_may_come_from_elsewhere,
        disk.test_a_wrong_piece_from_elsewhere_is_refused,
        disk.test_a_piece_that_cannot_be_is_the_callers_mistake,
        disk.test_a_save_path_that_is_a_file_stops_the_torrent_at_once,
        life.test_two_that_add_the_same_at_once_get_one_torrent,
        life.test_nothing_can_be_added_to_a_closed_session,
        life.test_a_cancelled_add_leaves_nothing_behind,
        life.test_a_torrent_of_a_closed_session_refuses_everything,
        peers.test_a_closed_session_counts_nothing,
        life.test_every_subscription_hears_everything,
        life.test_the_first_subscription_hears_what_came_before_it,
        life.test_too_much_before_the_first_subscription_counts_as_lost,
        life.test_waiting_for_an_event_ends_in_time,
        renaming.test_a_renamed_file_is_checked_at_its_new_place,
        renaming.test_a_renamed_file_replaces_what_stood_there,
        renaming.test_a_pad_file_cannot_be_renamed,
        resuming.test_trusted_resume_data_spare_the_check,
        resuming.test_resume_data_that_are_not_trusted_are_checked,
        resuming.test_resume_data_of_a_complete_torrent_seed_at_once,
        resuming.test_resume_data_without_the_file_say_nothing,
    ],
    ids=lambda test: test.__name__.removeprefix("test_"),
)
def test_contract(world: World, test: Callable[[World], None]) -> None:
    test(world)


@contract
async def test_a_rename_that_cannot_be_leaves_the_file(world: World) -> None:
    payload = single(world.new_folder())
    _, torrent, target = await partial(world, payload, range(payload.hybrid.num_pieces))
    (target / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot move"):
        await torrent.rename(0, target / "folder")
    assert tree_digests(target) == payload.digests


@contract
async def test_files_may_have_other_names_from_the_start(world: World) -> None:
    payload = several(world.new_folder())
    session, target = await world.session(), world.new_folder()
    index = payload.hybrid.files[0].index
    torrent = await session.add(
        AddTorrent(source=payload.hybrid, save_path=target, rename=((index, target / "elsewhere"),))
    )
    await until_checked(torrent)
    for piece in range(payload.hybrid.num_pieces):
        assert await add_piece(torrent, piece, payload.piece(payload.hybrid, piece))
    assert (await torrent.status()).state is TorrentState.SEEDING
    assert (target / "elsewhere").stat().st_size == payload.hybrid.files[0].length


@contract
async def test_what_is_on_disk_is_found(world: World) -> None:
    payload = single(world.new_folder())
    bad = 20_000 // payload.hybrid.piece_length
    right = bytearray(payload.piece(payload.hybrid, bad))
    damage(payload.file, [20_000])
    torrent = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder))
    with torrent.subscribe() as subscription:
        await events_until(subscription, CheckingDone)
        assert [index for index, here in enumerate(await torrent.pieces()) if not here] == [bad]
        assert await add_piece(torrent, bad, right)
        assert await events_until(subscription, Finished) == [PieceVerified(bad), Finished()]


@contract
async def test_a_full_disk_stops_it_until_there_is_room(world: World) -> None:
    payload = single(world.new_folder())
    target = world.new_folder()
    target.mkdir()
    (target / NAME).symlink_to("/dev/full")
    torrent = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=target))
    await until_checked(torrent)
    with torrent.subscribe() as subscription:
        assert await add_piece(torrent, 0, payload.piece(payload.hybrid, 0))  # it is right, and cannot be kept
        failed = await subscription.until(StorageFailed, timeout_s=DEADLINE_S)
        assert (failed.errno, failed.path) == (errno.ENOSPC, str(target / NAME))
        status = await torrent.status()
        assert (status.paused, status.error, status.errno) == (True, failed.reason, errno.ENOSPC)
        (target / NAME).unlink()
        assert await add_piece(
            torrent, 0, payload.piece(payload.hybrid, 0)
        )  # as long as it stands still, nothing is kept
        assert not any(await torrent.pieces())
        await torrent.resume()
        assert await add_piece(torrent, 0, payload.piece(payload.hybrid, 0))
        await subscription.until(PieceVerified, timeout_s=DEADLINE_S)


@contract
async def test_a_seed_and_a_renamed_file_are_never_written_to(world: World) -> None:
    payload = single(world.new_folder())
    _, torrent, target = await partial(world, payload, range(3))
    await torrent.rename(0, target / "final")
    before = (target / "final").read_bytes()
    assert await add_piece(torrent, 5, payload.piece(payload.hybrid, 5))
    assert (target / "final").read_bytes() == before


@contract
async def test_pieces_that_come_at_once_are_all_kept(world: World) -> None:
    payload = several(world.new_folder())
    session, target = await world.session(), world.new_folder()
    torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=target))
    await until_checked(torrent)
    pieces = [*range(payload.hybrid.num_pieces)] * 2
    assert all(
        await asyncio.gather(*(add_piece(torrent, index, payload.piece(payload.hybrid, index)) for index in pieces))
    )
    assert tree_digests(target) == payload.digests
    status = await torrent.status()
    assert (status.bytes_done, status.bytes_total) == (status.bytes_total, sum(f.length for f in payload.hybrid.files))
    assert (await torrent.demand()).requested == frozenset()
    await torrent.claim([1])
    await torrent.set_sequential(enabled=True)
    await torrent.prefer([True] * payload.hybrid.num_pieces)
    await torrent.remove_web_seed("http://a.example/")
    assert await torrent.peers() == ()


@contract
async def test_a_removal_waits_for_the_piece_that_is_being_written(world: World) -> None:
    payload = single(world.new_folder())
    session, torrent, target = await partial(world, payload, range(1))
    adding = asyncio.create_task(add_piece(torrent, 1, payload.piece(payload.hybrid, 1)))
    for _ in range(2):  # so that it is on its way
        await asyncio.sleep(0)
    await torrent.remove()
    assert await adding
    length = payload.hybrid.piece_length
    assert (target / NAME).read_bytes()[length:][:length] == payload.piece(payload.hybrid, 1)
    assert await session.add(AddTorrent(source=payload.hybrid, save_path=target))


@contract
async def test_it_has_no_network(world: World) -> None:
    payload = single(world.new_folder())
    session, torrent, _ = await partial(world, payload, range(1))
    assert session.listen_port == 0
    assert len(session.peer_id) == 20
    with pytest.raises(SwarmError, match="no network"):
        await torrent.connect(world.nowhere())
    with pytest.raises(SwarmError, match="no network"):
        await torrent.add_web_seed("http://a.example/")
    with pytest.raises(SwarmError, match="magnet"):
        await session.add(AddTorrent(source="magnet:?xt=urn:btih:" + "0" * 40, save_path=payload.folder))
    with pytest.raises(SwarmError, match="already"):
        await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder))


@contract
async def test_damaged_resume_data_mean_a_check(world: World) -> None:
    payload = single(world.new_folder())
    torrent = await (await world.session()).add(
        AddTorrent(source=payload.hybrid, save_path=payload.folder, resume_data=b"{", resume_trusted=True)
    )
    await until_checked(torrent)
    assert not torrent.resumed
    assert all(await torrent.pieces())
    await torrent.pause()
    assert (await torrent.status()).paused
