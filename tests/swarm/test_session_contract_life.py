"""How torrents begin, pause and end, and how events are heard: libtorrent's sessions and the one in memory alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import SwarmError
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import AddTorrent, TorrentState
from ossdist.transfer.torrent_events import (
    CheckingDone,
    EventsLost,
    Finished,
    PeerDisconnected,
    PieceVerified,
)
from tests.programs.payload import tree_digests
from tests.swarm.worlds import DEADLINE_S, add_piece, contract, events_until, until_checked, until_finished
from tests.torrents import NAME, single

if TYPE_CHECKING:
    from ossdist.transfer.session import Torrent
    from tests.swarm.worlds import World
    from tests.torrents import Payload


async def refuses_everything(torrent: Torrent, payload: Payload) -> None:
    """Every method raises `SwarmError`."""
    with pytest.raises(SwarmError):
        torrent.subscribe()
    for call in (
        torrent.status,
        torrent.peers,
        torrent.pieces,
        lambda: torrent.connect(Address("127.0.0.1", 1)),
        lambda: torrent.add_web_seed("http://mirror.example/"),
        lambda: torrent.remove_web_seed("http://mirror.example/"),
        lambda: add_piece(torrent, 0, payload.piece(payload.hybrid, 0)),
        lambda: torrent.set_sequential(enabled=True),
        lambda: torrent.prefer([True] * payload.hybrid.num_pieces),
        torrent.pause,
        torrent.resume,
        torrent.recheck,
        lambda: torrent.rename(0, payload.folder / "other"),
        torrent.resume_data,
        torrent.remove,
    ):
        with pytest.raises(SwarmError):
            await call()
    assert torrent.info_hashes == payload.hybrid.info_hashes


# --- beginning and ending --------------------------------------------------------------------------------


@contract
async def test_a_session_listens_until_it_is_closed(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    assert seeder.listen_port > 0
    address = world.address(seeder)
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await seeder.close()
    await seeder.close()
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(address,)))
    with leech.subscribe() as subscription:
        assert "refused" in (await subscription.until(PeerDisconnected, timeout_s=DEADLINE_S)).reason


@contract
async def test_a_torrent_is_in_a_session_once(world: World) -> None:
    payload = single(world.new_folder())
    session = await world.session()
    request = AddTorrent(source=payload.hybrid, save_path=payload.folder)
    torrent = await session.add(request)
    with pytest.raises(SwarmError, match="already"):
        await session.add(request)
    with pytest.raises(SwarmError, match="already"):
        await session.add(
            AddTorrent(source=f"magnet:?xt=urn:btih:{payload.hybrid.info_hashes.v1}", save_path=payload.folder)
        )
    await until_finished(torrent)  # the first one is none the worse for it
    await torrent.remove()
    await until_finished(await session.add(request))


@contract
async def test_two_that_add_the_same_at_once_get_one_torrent(world: World) -> None:
    payload = single(world.new_folder())
    session = await world.session()
    request = AddTorrent(source=payload.hybrid, save_path=payload.folder)
    results = await asyncio.gather(session.add(request), session.add(request), return_exceptions=True)
    assert sorted(isinstance(result, SwarmError) for result in results) == [False, True]


@pytest.mark.parametrize("link", ["magnet:?xt=urn:btih:short", "magnet:?dn=nothing", "http://no.magnet/", ""])
@contract
async def test_what_is_no_magnet_link_is_refused(world: World, link: str) -> None:
    with pytest.raises(SwarmError):
        await (await world.session()).add(AddTorrent(source=link, save_path=world.new_folder()))


@contract
async def test_nothing_can_be_added_to_a_closed_session(world: World) -> None:
    payload = single(world.new_folder())
    session = await world.session()
    await session.close()
    with pytest.raises(SwarmError):
        await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder))


@contract
async def test_a_cancelled_add_leaves_nothing_behind(world: World) -> None:
    payload = single(world.new_folder())
    session = await world.session()
    request = AddTorrent(source=payload.hybrid, save_path=payload.folder)
    for turns in range(6):
        adding = asyncio.create_task(session.add(request))
        for _ in range(turns):
            await asyncio.sleep(0)
        if adding.cancel():
            with pytest.raises(asyncio.CancelledError):
                await adding
        else:
            await (await adding).remove()
    await until_finished(await session.add(request))


@contract
async def test_a_removed_torrent_refuses_everything_and_keeps_its_files(world: World) -> None:
    payload = single(world.new_folder())
    digests = payload.digests
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(seeder),)))
    await until_finished(leech)
    with seed.subscribe() as at_seed:
        await leech.remove()
        await at_seed.until(PeerDisconnected, timeout_s=DEADLINE_S)
    await refuses_everything(leech, payload)
    assert tree_digests(target) == digests


@contract
async def test_a_torrent_of_a_closed_session_refuses_everything(world: World) -> None:
    payload = single(world.new_folder())
    digests = payload.digests
    session = await world.session()
    seed = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await session.close()
    await refuses_everything(seed, payload)
    assert payload.digests == digests


@contract
async def test_what_was_verified_is_on_disk_after_removal(world: World) -> None:
    payload = single(world.new_folder(), 400_000)
    seeder, leecher = await world.session(upload_bytes_per_s=200_000), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(seeder),)))
    with leech.subscribe() as subscription:
        for _ in range(3):
            await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
        await leech.resume_data()
        verified = {index for index, here in enumerate(await leech.pieces()) if here}
        await leech.remove()
    assert len(verified) >= 3
    written, length = (target / NAME).read_bytes(), payload.hybrid.piece_length
    for index in verified:
        size = payload.hybrid.piece_size(index)
        assert written[index * length :][:size] == payload.piece(payload.hybrid, index)


# --- pausing ---------------------------------------------------------------------------------------------


@contract
async def test_a_paused_torrent_stands_still_and_goes_on(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(upload_bytes_per_s=400_000), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(seeder),)))
    with leech.subscribe() as subscription:
        await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
        await leech.pause()
        await subscription.until(PeerDisconnected, timeout_s=DEADLINE_S)
        still = await leech.status()
        assert still.paused
        assert still.state is TorrentState.DOWNLOADING
        assert await leech.peers() == ()
        assert 0 < still.payload_download < payload.hybrid.total
        await leech.resume()
        await subscription.until(Finished, timeout_s=DEADLINE_S)
    status = await leech.status()
    assert not status.paused
    assert status.payload_download >= payload.hybrid.total  # what came before the pause still counts
    assert tree_digests(target) == payload.digests


@contract
async def test_a_paused_seed_takes_no_peers(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await seed.pause()
    leech = await leecher.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),))
    )
    with leech.subscribe() as subscription:
        await subscription.until(PeerDisconnected, timeout_s=DEADLINE_S)
        assert not any(await leech.pieces())
        await seed.resume()
        await subscription.until(Finished, timeout_s=DEADLINE_S)


@contract
async def test_pausing_and_going_on_twice_is_fine(world: World) -> None:
    payload = single(world.new_folder())
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await until_checked(seed)
    await seed.pause()
    await seed.pause()
    assert (await seed.status()).paused
    await seed.resume()
    await seed.resume()
    status = await seed.status()
    assert not status.paused
    assert status.state is TorrentState.SEEDING


# --- hearing events --------------------------------------------------------------------------------------


@contract
async def test_every_subscription_hears_everything(world: World) -> None:
    payload = single(world.new_folder())
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await until_checked(seed)
    with seed.subscribe() as one, seed.subscribe() as two:
        with seed.subscribe() as left_early:
            pass
        await seed.recheck()
        heard = await events_until(one, CheckingDone)
        assert await events_until(two, CheckingDone) == heard
        assert left_early.drain() == []
    await seed.recheck()
    await until_checked(seed)
    assert one.drain() == []


@contract
async def test_the_first_subscription_hears_what_came_before_it(world: World) -> None:
    payload = single(world.new_folder())
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder))
    while (await seed.status()).state is TorrentState.CHECKING:
        pass
    await seed.pieces()
    with seed.subscribe() as first, seed.subscribe() as second:
        heard = await events_until(first, CheckingDone)
        assert len(heard) == payload.hybrid.num_pieces + 2
        assert second.drain() == []


@contract
async def test_too_much_before_the_first_subscription_counts_as_lost(world: World) -> None:
    payload = single(world.new_folder(), 6_000_000)
    seed = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=payload.folder))
    while (await seed.status()).state is TorrentState.CHECKING:
        pass
    await seed.pieces()
    with seed.subscribe() as subscription:
        heard = await events_until(subscription, CheckingDone)
    assert heard[0] == EventsLost()
    assert len(heard) < payload.hybrid.num_pieces


@contract
async def test_waiting_for_an_event_ends_in_time(world: World) -> None:
    payload = single(world.new_folder())
    leech = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=world.new_folder()))
    with leech.subscribe() as subscription:
        await subscription.until(CheckingDone, timeout_s=DEADLINE_S)
        with pytest.raises(TimeoutError):
            await subscription.until(Finished, timeout_s=0.05)
        await add_piece(leech, 0, payload.piece(payload.hybrid, 0))
        assert await subscription.until(PieceVerified, timeout_s=DEADLINE_S) == PieceVerified(0)
