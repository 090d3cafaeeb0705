"""What every session does with peers: libtorrent's and the one in memory alike."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from ossdist.config import Transport
from ossdist.errors import SwarmError
from ossdist.transfer.session import AddTorrent, PeerKind, TorrentState
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Ending,
    Finished,
    MetadataReceived,
    PeerBanned,
    PeerConnected,
    PeerDisconnected,
    PieceFailed,
    PieceVerified,
)
from tests.programs.payload import tree_digests
from tests.swarm.worlds import DEADLINE_S, add_piece, contract, events_until, until_checked, until_finished
from tests.torrents import PIECE_BYTES, damage, several, single

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.swarm.worlds import World
    from tests.torrents import Payload

    Maker = Callable[..., Payload]

LARGE_BYTES = 1_000_000


@pytest.mark.parametrize("kind", ["hybrid", "v1"])
@pytest.mark.parametrize("make", [single, several])
@contract
async def test_a_download_from_one_seed_is_the_same_to_the_byte(world: World, make: Maker, kind: str) -> None:
    payload = make(world.new_folder(), 300_000)
    metainfo = payload.hybrid if kind == "hybrid" else payload.v1
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=metainfo, save_path=payload.folder, seed=True))
    target = world.new_folder()
    leech = await leecher.add(AddTorrent(source=metainfo, save_path=target, peers=(world.address(seeder),)))
    with leech.subscribe() as subscription:
        seen = await events_until(subscription, Finished)
    assert [event for event in seen if isinstance(event, CheckingDone | Finished)] == [CheckingDone(), Finished()]
    verified = [event.index for event in seen if isinstance(event, PieceVerified)]
    assert sorted(verified) == list(range(metainfo.num_pieces))
    assert await leech.pieces() == (True,) * metainfo.num_pieces
    assert tree_digests(target) == payload.digests
    assert seed.info_hashes == leech.info_hashes == metainfo.info_hashes


@contract
async def test_a_hybrid_and_a_v1_swarm_are_two(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(
        AddTorrent(source=payload.v1, save_path=world.new_folder(), peers=(world.address(seeder),))
    )
    with leech.subscribe() as subscription:
        await subscription.until(PeerDisconnected, timeout_s=DEADLINE_S)
    assert not any(await leech.pieces())


@contract
async def test_one_file_serves_both_swarms(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    for metainfo in (payload.hybrid, payload.v1):
        await seeder.add(AddTorrent(source=metainfo, save_path=payload.folder, seed=True))
        leech = await leecher.add(
            AddTorrent(source=metainfo, save_path=world.new_folder(), peers=(world.address(seeder),))
        )
        await until_finished(leech)


@contract
async def test_several_seeds_give_at_the_same_time(world: World) -> None:
    payload = single(world.new_folder(), 600_000)
    seeders = [await world.session(upload_bytes_per_s=400_000) for _ in range(3)]
    for seeder in seeders:
        await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leecher = await world.session()
    target = world.new_folder()
    addresses = tuple(world.address(seeder) for seeder in seeders)
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=addresses))
    await until_finished(leech)
    assert tree_digests(target) == payload.digests
    given = {peer.address: peer.payload_download for peer in await leech.peers()}
    assert set(given) >= set(addresses)
    assert all(given[address] > 0 for address in addresses)
    assert sum(given.values()) >= payload.hybrid.total
    assert (await leech.status()).download_bytes_per_s > 0


@contract
async def test_leechers_pass_pieces_on(world: World) -> None:
    payload = single(world.new_folder(), 400_000)
    seeder, first, second = (
        await world.session(upload_bytes_per_s=500_000),
        await world.session(),
        await world.session(),
    )
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    one = await first.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),), pex=False)
    )
    two = await second.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(first),), pex=False)
    )
    await until_finished(two)
    assert (await one.status()).payload_upload >= payload.hybrid.total
    assert (await seed.status()).payload_upload >= payload.hybrid.total


@contract
async def test_a_known_peer_is_dialled_without_being_told(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    with seed.subscribe() as at_seed:
        await until_checked(seed)
        leech = await leecher.add(
            AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),))
        )
        with leech.subscribe() as at_leech:
            dialled = await at_leech.until(PeerConnected, timeout_s=DEADLINE_S)
            taken = await at_seed.until(PeerConnected, timeout_s=DEADLINE_S)
    assert dialled.address == world.address(seeder)
    assert taken.address.host == world.address(leecher).host


@contract
async def test_a_peer_may_be_named_later(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder()))
    await until_checked(leech)
    assert await leech.peers() == ()
    await leech.connect(world.address(seeder))
    await until_finished(leech)


@contract
async def test_a_peer_that_is_not_there_is_tried_again(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    nowhere = world.nowhere()
    leech = await leecher.add(
        AddTorrent(
            source=payload.hybrid,
            save_path=world.new_folder(),
            peers=(world.address(seeder), nowhere),
        )
    )
    with leech.subscribe() as subscription:
        found: dict[object, PeerDisconnected] = {}
        while len(found) < 2:
            gone = await subscription.until(PeerDisconnected, timeout_s=DEADLINE_S)
            found[gone.address] = gone
        assert all(gone.reason for gone in found.values())
        assert found[nowhere].ending is Ending.REFUSED
        assert found[world.address(seeder)].ending is not Ending.REFUSED  # somebody is there, without the torrent
        await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        await subscription.until(Finished, timeout_s=DEADLINE_S)


@contract
async def test_peers_and_status_tell_what_was_sent(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),))
    )
    await until_finished(leech)
    total = payload.hybrid.total

    (giver,) = await leech.peers()
    assert giver.address == world.address(seeder)
    assert giver.kind is PeerKind.PEER
    assert giver.seed
    assert giver.client.startswith("OSSDist/")
    assert (giver.payload_download, giver.payload_upload) == (total, 0)
    (taker,) = await seed.peers()
    assert taker.payload_download == 0
    assert taker.payload_upload == total
    assert taker.key != giver.key

    got, gave = await leech.status(), await seed.status()
    assert (got.bytes_done, got.bytes_total, got.payload_download, got.payload_upload) == (total, total, total, 0)
    assert (gave.bytes_done, gave.bytes_total, gave.payload_download, gave.payload_upload) == (total, total, 0, total)
    assert got.state is gave.state is TorrentState.SEEDING
    assert (got.peers, got.seeds, got.error, got.paused) == (1, 1, "", False)
    assert (got.failed_bytes, got.redundant_bytes) == (0, 0)


@contract
async def test_pieces_come_in_order_if_that_is_asked_for(world: World) -> None:
    payload = single(world.new_folder(), LARGE_BYTES)
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),), sequential=True)
    )
    with leech.subscribe() as subscription:
        seen = await events_until(subscription, Finished)
    order = [event.index for event in seen if isinstance(event, PieceVerified)]
    assert displacement(order) <= 2  # hashing may overtake a little


@contract
async def test_pieces_come_in_no_order_otherwise(world: World) -> None:
    payload = single(world.new_folder(), LARGE_BYTES)
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),))
    )
    with leech.subscribe() as subscription:
        seen = await events_until(subscription, Finished)
    assert displacement([event.index for event in seen if isinstance(event, PieceVerified)]) > 5


@contract
async def test_the_order_may_change_while_it_runs(world: World) -> None:
    payload = single(world.new_folder(), LARGE_BYTES)
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder()))
    await until_checked(leech)
    await leech.set_sequential(enabled=True)
    with leech.subscribe() as subscription:
        await leech.connect(world.address(seeder))
        seen = await events_until(subscription, Finished)
    assert displacement([event.index for event in seen if isinstance(event, PieceVerified)]) <= 2
    await leech.set_sequential(enabled=False)


@contract
async def test_preferred_pieces_come_before_others_that_are_as_rare(world: World) -> None:
    payload = single(world.new_folder(), LARGE_BYTES)
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder()))
    await until_checked(leech)
    preferred = set(range(1, payload.hybrid.num_pieces, 3))
    await leech.prefer([index in preferred for index in range(payload.hybrid.num_pieces)])
    with leech.subscribe() as subscription:
        await leech.connect(world.address(seeder))
        seen = await events_until(subscription, Finished)
    order = [event.index for event in seen if isinstance(event, PieceVerified)]
    first = set(order[: len(preferred)])
    assert len(first & preferred) >= len(preferred) - 2  # hashing may overtake a little
    assert displacement(sorted(first, key=order.index)) > 5  # otherwise it is rarest first still


@contract
async def test_a_session_is_known_by_its_peer_id(world: World) -> None:
    payload = single(world.new_folder(), LARGE_BYTES)
    seeder, leecher = await world.session(upload_bytes_per_s=50_000), await world.session()
    seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),))
    )
    with leech.subscribe() as subscription:
        await events_until(subscription, PieceVerified)
    assert [peer.peer_id for peer in await leech.peers()] == [seeder.peer_id]
    assert [peer.peer_id for peer in await seed.peers()] == [leecher.peer_id]
    assert len(seeder.peer_id) == len(leecher.peer_id) == 20
    assert seeder.peer_id != leecher.peer_id


@contract
async def test_a_peer_that_sends_wrong_data_is_banned(world: World) -> None:
    payload = single(world.new_folder())
    poisoned = payload.copy(world.new_folder())
    good, evil, leecher = await world.session(), await world.session(), await world.session()
    poison = await evil.add(AddTorrent(source=payload.hybrid, save_path=poisoned.folder))
    await until_checked(poison)
    damage(poisoned.file, range(0, payload.hybrid.total, 1000))
    target = world.new_folder()
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(evil),)))
    with leech.subscribe() as subscription:
        seen = await events_until(subscription, PieceFailed, PeerBanned, PeerDisconnected)
        assert PeerBanned(world.address(evil)) in seen
        assert not any(isinstance(event, PieceVerified) for event in seen)
        assert await leech.peers() == ()
        await good.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        await leech.connect(world.address(good))
        await subscription.until(Finished, timeout_s=DEADLINE_S)
    assert tree_digests(target) == payload.digests
    status = await leech.status()
    assert status.failed_bytes >= payload.hybrid.piece_length
    assert status.payload_download >= payload.hybrid.total + status.failed_bytes


@contract
async def test_a_seed_checks_what_it_was_told_to_have(world: World) -> None:
    payload = single(world.new_folder())
    poisoned = payload.copy(world.new_folder())
    damage(poisoned.file, [0])
    evil, leecher = await world.session(), await world.session()
    poison = await evil.add(AddTorrent(source=payload.hybrid, save_path=poisoned.folder, seed=True))
    assert all(await poison.pieces())
    with poison.subscribe() as subscription:
        await subscription.until(CheckingDone, timeout_s=DEADLINE_S)
        leech = await leecher.add(
            AddTorrent(
                source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(evil),), sequential=True
            )
        )
        with leech.subscribe() as at_leech:
            assert (await subscription.until(PieceFailed, timeout_s=DEADLINE_S)).index == 0
            await subscription.until(CheckingDone, timeout_s=DEADLINE_S)
            assert not any(isinstance(event, PieceFailed | PeerBanned) for event in at_leech.drain())
    assert await poison.pieces() == (False, *(True,) * (payload.hybrid.num_pieces - 1))
    assert (await poison.status()).state is TorrentState.DOWNLOADING


@pytest.mark.parametrize("hashes", ["v1", "v2", "both"])
@contract
async def test_a_magnet_link_is_enough(world: World, hashes: str) -> None:
    payload = several(world.new_folder())
    v1, v2 = payload.hybrid.info_hashes.v1, payload.hybrid.info_hashes.v2
    topics = {"v1": [f"xt=urn:btih:{v1}"], "v2": [f"xt=urn:btmh:1220{v2}"]}
    topics["both"] = topics["v1"] + topics["v2"]
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    leech = await leecher.add(
        AddTorrent(source="magnet:?" + "&".join(topics[hashes]), save_path=target, peers=(world.address(seeder),))
    )
    with leech.subscribe() as subscription:
        seen = await events_until(subscription, Finished)
    order = [type(event) for event in seen if isinstance(event, MetadataReceived | CheckingDone | Finished)]
    assert order == [MetadataReceived, CheckingDone, Finished]
    (learned,) = [event.metainfo for event in seen if isinstance(event, MetadataReceived)]
    assert learned.files == payload.hybrid.files
    assert learned.piece_hashes == payload.hybrid.piece_hashes
    assert learned.info_hashes == leech.info_hashes == payload.hybrid.info_hashes
    assert tree_digests(target) == payload.digests


@contract
async def test_a_magnet_link_without_a_peer_waits(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    leech = await leecher.add(
        AddTorrent(source=f"magnet:?xt=urn:btih:{payload.hybrid.info_hashes.v1}", save_path=world.new_folder())
    )
    status = await leech.status()
    assert status.state is TorrentState.METADATA
    assert (status.bytes_done, status.bytes_total) == (0, 0)
    assert await leech.pieces() == ()
    with pytest.raises(ValueError, match="no piece 0"):
        await add_piece(leech, 0, b"")
    with pytest.raises(ValueError, match="no file 0"):
        await leech.rename(0, world.new_folder())
    assert await leech.resume_data()
    await leech.set_sequential(enabled=True)
    await leech.recheck()
    await leech.pause()
    await leech.resume()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await leech.connect(world.address(seeder))
    with leech.subscribe() as subscription:
        await subscription.until(Finished, timeout_s=DEADLINE_S)


@contract
async def test_a_magnet_link_finds_what_is_on_disk(world: World) -> None:
    payload = single(world.new_folder())
    other = payload.copy(world.new_folder())
    damage(other.file, [100_000])
    seeder, leecher = await world.session(), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(
        AddTorrent(
            source=f"magnet:?xt=urn:btih:{payload.hybrid.info_hashes.v1}",
            save_path=other.folder,
            peers=(world.address(seeder),),
        )
    )
    await until_finished(leech)
    assert other.digests == payload.digests
    assert (await leech.status()).payload_download == payload.hybrid.piece_length


def displacement(order: list[int]) -> int:
    """How far a piece is from its place in ascending order, at most."""
    return max(abs(place - index) for place, index in enumerate(order))


@contract
async def test_a_session_counts_what_it_sees_of_its_network(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    assert (await leecher.counters()).dials == 0
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    peers = (world.address(seeder), world.nowhere())
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=peers))
    await until_finished(leech)
    here, there = await leecher.counters(), await seeder.counters()
    assert here.dials >= 2
    assert there.incoming >= 1
    assert here.received_bytes >= payload.hybrid.total
    assert there.sent_bytes >= payload.hybrid.total
    assert (here.failed_bytes, here.banned_peers, here.dht_nodes) == (0, 0, -1)


@contract
async def test_a_session_counts_what_was_wrong(world: World) -> None:
    payload = single(world.new_folder())
    spoilt = payload.copy(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    await until_checked(await seeder.add(AddTorrent(source=payload.hybrid, save_path=spoilt.folder)))
    damage(spoilt.file, range(0, payload.hybrid.total, 1000))
    peers = (world.address(seeder),)
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=peers))
    with leech.subscribe() as subscription:
        await subscription.until(PeerBanned, timeout_s=DEADLINE_S)
    counters = await leecher.counters()
    assert counters.failed_bytes > 0
    assert counters.banned_peers >= 1  # libtorrent counts a ban for each time that it comes to it


@contract
async def test_who_no_longer_wants_to_know_does_not_hold_up_the_next(world: World) -> None:
    session = await world.session()
    for turns in range(6):
        asking = asyncio.create_task(session.counters())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert (await session.counters()).dials == 0


@pytest.mark.parametrize("who", ["sender", "receiver"])
@contract
async def test_with_a_limit_of_nothing_nothing_flows_until_it_is_lifted(world: World, who: str) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(), await world.session()
    limited = seeder if who == "sender" else leecher
    await limited.set_limits(
        upload_bytes_per_s=0 if who == "sender" else math.inf,
        download_bytes_per_s=0 if who == "receiver" else math.inf,
    )
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    peers = (world.address(seeder),)
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=peers))
    with leech.subscribe() as subscription, pytest.raises(TimeoutError):
        await subscription.until(PieceVerified, timeout_s=2.0)
    await limited.set_limits(upload_bytes_per_s=math.inf, download_bytes_per_s=math.inf)
    await until_finished(leech)


@contract
async def test_a_limit_is_kept_and_the_configured_one_stays(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(upload_bytes_per_s=200_000), await world.session()
    await seeder.set_limits(upload_bytes_per_s=50_000, download_bytes_per_s=math.inf)
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    leech = await leecher.add(
        AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=(world.address(seeder),))
    )
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    half = payload.hybrid.num_pieces // 2
    with leech.subscribe() as subscription:
        for _ in range(half):
            await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
    middle_s = loop.time()
    await seeder.set_limits(upload_bytes_per_s=math.inf, download_bytes_per_s=math.inf)
    await until_finished(leech)
    assert middle_s - begin_s > 0.5 * half * PIECE_BYTES / 50_000  # after a burst
    assert loop.time() - middle_s > 0.3 * half * PIECE_BYTES / 200_000


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TCP_ENCRYPTED, Transport.UTP, Transport.UTP_ENCRYPTED])
@contract
async def test_peers_are_dialled_as_is_said(world: World, transport: Transport) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(upload_bytes_per_s=100_000), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await leecher.set_transport(transport)
    peers = (world.address(seeder),)
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=peers))
    with leech.subscribe() as subscription:
        await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
    found = await leech.peers()
    utp = transport in {Transport.UTP, Transport.UTP_ENCRYPTED}
    encrypted = transport in {Transport.TCP_ENCRYPTED, Transport.UTP_ENCRYPTED}
    assert [(peer.utp, peer.encrypted) for peer in found] == [(utp, encrypted)]


@contract
async def test_another_transport_leaves_connections_as_they_are(world: World) -> None:
    payload = single(world.new_folder())
    seeder, leecher = await world.session(upload_bytes_per_s=100_000), await world.session()
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    peers = (world.address(seeder),)
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=world.new_folder(), peers=peers))
    with leech.subscribe() as subscription:
        await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
    found = await leech.peers()
    await leecher.set_transport(Transport.UTP)
    assert [(peer.key, peer.utp) for peer in await leech.peers()] == [(found[0].key, False)]


@contract
async def test_without_a_proxy_peers_cannot_be_dialled_through_one(world: World) -> None:
    session = await world.session()
    assert session.transports[0] is Transport.TCP
    assert Transport.PROXY not in session.transports
    with pytest.raises(ValueError, match="dialled over proxy here; possible: tcp"):
        await session.set_transport(Transport.PROXY)
    await session.close()
    with pytest.raises(SwarmError, match="closed"):
        await session.set_transport(Transport.TCP)


@contract
async def test_a_closed_session_counts_nothing(world: World) -> None:
    session = await world.session()
    await session.close()
    with pytest.raises(SwarmError):
        await session.counters()
