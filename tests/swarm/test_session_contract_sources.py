"""What every session does with web seeds and trackers: libtorrent's and the one in memory alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ossdist.transfer.session import AddTorrent, PeerKind, TorrentState
from ossdist.transfer.torrent_events import (
    Finished,
    PeerBanned,
    PeerDisconnected,
    PieceFailed,
    PieceVerified,
    TrackerFailed,
    TrackerReplied,
    WebSeedFailed,
)
from tests.programs.payload import tree_digests
from tests.swarm.worlds import DEADLINE_S, contract, events_until, until_checked, until_finished
from tests.torrents import damage, several, single

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.swarm.worlds import World
    from tests.torrents import Payload

    Maker = Callable[..., Payload]

# --- web seeds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hybrid", "v1"])
@pytest.mark.parametrize("make", [single, several])
@contract
async def test_a_web_seed_alone_is_enough(world: World, make: Maker, kind: str) -> None:
    payload = make(world.new_folder(), piece_length=64 << 10)
    metainfo = payload.hybrid if kind == "hybrid" else payload.v1
    url = await world.serve(payload.folder) + payload.web_seed_path
    target = world.new_folder()
    leech = await (await world.session()).add(AddTorrent(source=metainfo, save_path=target, web_seeds=(url,)))
    await until_finished(leech)
    assert tree_digests(target) == payload.digests
    mirrors = await leech.peers()
    assert {(mirror.kind, mirror.client) for mirror in mirrors} == {(PeerKind.WEB_SEED, url)}
    assert sum(mirror.payload_download for mirror in mirrors) >= sum(file.length for file in metainfo.files)
    status = await leech.status()
    assert status.bytes_done == status.bytes_total == sum(file.length for file in metainfo.files)
    assert status.peers == len(mirrors)


@contract
async def test_two_web_seeds_are_told_apart(world: World) -> None:
    payload = single(world.new_folder(), 2_000_000)
    urls = [await world.serve(payload.folder, bytes_per_s=2_000_000) + payload.web_seed_path for _ in range(2)]
    leech = await (await world.session()).add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), web_seeds=tuple(urls))
    )
    await until_finished(leech)
    given = {mirror.client: mirror.payload_download for mirror in await leech.peers()}
    assert set(given) == set(urls)
    assert len({mirror.key for mirror in await leech.peers()}) == 2
    assert all(given.values())
    assert sum(given.values()) >= payload.hybrid.total


@contract
async def test_a_web_seed_may_be_added_later_and_twice(world: World) -> None:
    payload = single(world.new_folder())
    url = await world.serve(payload.folder) + payload.web_seed_path
    leech = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=world.new_folder()))
    await until_checked(leech)
    await leech.add_web_seed(url)
    await leech.add_web_seed(url)
    await until_finished(leech)
    assert len(await leech.peers()) == 1


@contract
async def test_a_web_seed_that_was_removed_is_not_used(world: World) -> None:
    payload = single(world.new_folder(), 2_000_000)
    url = await world.serve(payload.folder, bytes_per_s=1_000_000) + payload.web_seed_path
    leech = await (await world.session()).add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), web_seeds=(url,))
    )
    with leech.subscribe() as subscription:
        await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
        await leech.remove_web_seed(url)
        await subscription.until(PeerDisconnected, timeout_s=DEADLINE_S)
        assert await leech.peers() == ()
        assert (await leech.status()).state is TorrentState.DOWNLOADING
        await leech.remove_web_seed(url)
        await leech.remove_web_seed("http://never.example/was-there")
        await leech.add_web_seed(url)
        await subscription.until(Finished, timeout_s=DEADLINE_S)


@contract
async def test_a_web_seed_without_the_file_is_reported(world: World) -> None:
    payload = single(world.new_folder())
    server = await world.serve(payload.folder)
    leech = await (await world.session()).add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), web_seeds=(server + "nowhere",))
    )
    with leech.subscribe() as subscription:
        failed = await subscription.until(WebSeedFailed, timeout_s=DEADLINE_S)
    assert failed.url == server + "nowhere"
    assert "404" in failed.reason
    assert not failed.banned


@contract
async def test_a_web_seed_that_refuses_is_reported_and_can_come_back(world: World) -> None:
    payload = single(world.new_folder())
    dead = f"http://{world.nowhere()}/{payload.web_seed_path}"
    leech = await (await world.session()).add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), web_seeds=(dead,))
    )
    with leech.subscribe() as subscription:
        failed = await subscription.until(WebSeedFailed, timeout_s=DEADLINE_S)
        assert failed.url == dead
        assert "refused" in failed.reason
        await leech.remove_web_seed(dead)
        await leech.add_web_seed(dead)
        assert await subscription.until(WebSeedFailed, timeout_s=DEADLINE_S) == failed
        await leech.add_web_seed(await world.serve(payload.folder) + payload.web_seed_path)
        await subscription.until(Finished, timeout_s=DEADLINE_S)


@contract
async def test_a_web_seed_with_wrong_data_is_not_asked_again(world: World) -> None:
    payload = single(world.new_folder())
    poisoned = payload.copy(world.new_folder())
    damage(poisoned.file, [100_000])
    bad = await world.serve(poisoned.folder) + payload.web_seed_path
    target = world.new_folder()
    leech = await (await world.session()).add(AddTorrent(source=payload.hybrid, save_path=target, web_seeds=(bad,)))
    with leech.subscribe() as subscription:
        seen = await events_until(subscription, PieceFailed, PeerBanned, PeerDisconnected, WebSeedFailed)
        assert PieceFailed(100_000 // payload.hybrid.piece_length) in seen
        (failed,) = [event for event in seen if isinstance(event, WebSeedFailed)]
        assert failed.url == bad
        assert failed.banned
        assert await leech.peers() == ()
        await leech.add_web_seed(await world.serve(payload.folder) + payload.web_seed_path)
        await subscription.until(Finished, timeout_s=DEADLINE_S)
    assert tree_digests(target) == payload.digests


# --- trackers --------------------------------------------------------------------------------------------


@contract
async def test_a_tracker_brings_peers_together(world: World) -> None:
    payload = single(world.new_folder())
    tracker = await world.tracker(payload.hybrid)
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True, trackers=(tracker,)))
    with seed.subscribe() as subscription:
        assert (await subscription.until(TrackerReplied, timeout_s=DEADLINE_S)).url == tracker
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder(), trackers=(tracker,)))
    with leech.subscribe() as subscription:
        reply = await subscription.until(TrackerReplied, timeout_s=DEADLINE_S)
        assert reply.url == tracker
        assert reply.peers >= 1
        await subscription.until(Finished, timeout_s=DEADLINE_S)


@contract
async def test_a_dead_tracker_is_reported_and_the_next_one_asked(world: World) -> None:
    payload = single(world.new_folder())
    tracker, dead = await world.tracker(payload.hybrid), f"http://{world.nowhere()}/announce"
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True, trackers=(dead, tracker)))
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder(), trackers=(dead, tracker)))
    with leech.subscribe() as subscription:
        failed = await subscription.until(TrackerFailed, timeout_s=DEADLINE_S)
        assert failed.url == dead
        assert "refused" in failed.reason
        await subscription.until(Finished, timeout_s=DEADLINE_S)


@contract
async def test_a_session_without_trackers_asks_none(world: World) -> None:
    payload = single(world.new_folder())
    tracker, dead = await world.tracker(payload.hybrid), f"http://{world.nowhere()}/announce"
    silent, other = await world.session(trackers=False), await world.session()
    request = AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True, trackers=(dead, tracker))
    seed, witness = await silent.add(request), await other.add(request)
    with seed.subscribe() as subscription, witness.subscribe() as at_witness:
        await events_until(at_witness, TrackerFailed, TrackerReplied)
        assert not any(isinstance(event, TrackerFailed | TrackerReplied) for event in subscription.drain())


@contract
async def test_what_stands_in_the_torrent_itself_is_not_used(world: World) -> None:
    payload = single(world.new_folder())
    tracker, server = await world.tracker(payload.hybrid), await world.serve(payload.folder)
    dressed = payload.dressed(trackers=[tracker], web_seeds=[server + payload.web_seed_path])
    assert dressed.trackers
    assert dressed.web_seeds
    leecher, other = await world.session(), await world.session()
    leech = await leecher.add(AddTorrent(source=dressed, save_path=world.new_folder()))
    witness = await other.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), web_seeds=dressed.web_seeds)
    )
    with leech.subscribe() as subscription:
        await until_finished(witness)
        assert not any(isinstance(event, TrackerReplied | PieceVerified) for event in subscription.drain())
    assert (await leech.status()).bytes_done == 0
