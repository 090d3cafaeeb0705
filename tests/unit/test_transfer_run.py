"""A transfer over a network in memory, in virtual time: minutes of waiting take milliseconds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.errors import SourcesExhaustedError, SwarmError
from ossdist.sim import MemorySession, MemoryTorrent
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import AddTorrent, PeerKind
from ossdist.transfer.torrent_events import EventsLost
from ossdist.transfer.watch import Swarm
from tests.programs.payload import tree_digests
from tests.torrents import NAME
from tests.transfer_lab import CONFIG, DEAD, RATE, Lab, in_lab

if TYPE_CHECKING:
    from ossdist.transfer.run import Transfer

# --- it works --------------------------------------------------------------------------------------------


@in_lab
async def test_everything_arrives_and_is_told(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(peer,))
    assert transfer.verified_until(NAME, 7) == 7
    with pytest.raises(SwarmError, match="no swarm"):
        _ = transfer.torrent
    await transfer.run()
    total = lab.payload.hybrid.total
    assert tree_digests(lab.target) == lab.payload.digests
    assert lab.now_s == pytest.approx(total / RATE, abs=CONFIG.poll_s)
    assert transfer.swarm is Swarm.HYBRID
    assert transfer.metainfo == lab.payload.hybrid
    assert transfer.verified_until(NAME, 0) == total
    assert transfer.tally.by_source == {str(peer): total}
    assert transfer.tally.total(PeerKind.PEER) == total
    assert transfer.reused_bytes == 0
    assert transfer.notes.failures == {}
    assert all(await transfer.torrent.pieces())

    progress = [event for event in lab.events if isinstance(event, events.Progress)]
    (assessed,) = [event for event in lab.events if event not in progress]
    assert isinstance(assessed, events.SwarmAssessed)  # so slow is the lab's seed
    assert len(progress) >= total / RATE / CONFIG.poll_s
    done = [event.bytes_done for event in progress]
    assert done == sorted(done)
    last = progress[-1]
    assert (last.bytes_done, last.bytes_total, last.peers, last.mirrors) == (total, total, 1, 0)
    assert (last.bytes_from_peers, last.bytes_from_mirrors) == (total, 0)
    assert progress[10].bytes_per_s == pytest.approx(RATE, rel=0.2)
    assert progress[10].eta_s == pytest.approx(total / RATE - 5, abs=1.5)
    assert len(lab.saved) == 1  # after five seconds; at ten it is over

    await transfer.leave()
    await transfer.leave()
    assert len(lab.saved) == 2
    with pytest.raises(SwarmError):
        _ = transfer.torrent


@in_lab
async def test_a_crowd_divides_the_pieces_among_itself(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    crowd = [await lab.transfer() for _ in range(4)]
    addresses = [port_of(transfer) for transfer in crowd]
    for number, transfer in enumerate(crowd):
        others = tuple(address for address in addresses if address != addresses[number])
        transfer.job = replace(transfer.job, save_path=lab.folder / f"target {number}", peers=(peer, *others))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for transfer in crowd:
            group.create_task(transfer.run())
        await asyncio.sleep(3 * CONFIG.poll_s)
        shares = [preferred(transfer) for transfer in crowd]
    assert all(sum(owners) == 1 for owners in zip(*shares, strict=True))
    assert len(shares[0]) == lab.payload.hybrid.num_pieces
    for number in range(len(crowd)):
        assert tree_digests(lab.folder / f"target {number}") == lab.payload.digests


@in_lab
async def test_with_a_seed_alone_no_piece_is_preferred(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(peer,))
    await transfer.run()
    assert not any(preferred(transfer))


def preferred(transfer: Transfer) -> tuple[bool, ...]:
    """Which pieces a transfer asks for first."""
    assert isinstance(transfer.torrent, MemoryTorrent)
    return transfer.torrent.preferred


def port_of(transfer: Transfer) -> Address:
    """Where a transfer's session can be dialled."""
    session = transfer.session
    assert isinstance(session, MemorySession)
    return Address(session.host.name, session.listen_port)


@in_lab
async def test_whoever_waits_for_bytes_is_woken_as_they_are_verified(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(peer,))
    positions: list[int] = []

    async def follow() -> None:
        position = 0
        while position < lab.payload.hybrid.total:
            async with transfer.more:
                await transfer.more.wait()
            position = transfer.verified_until(NAME, position)
            positions.append(position)

    async with asyncio.timeout(60):
        await asyncio.gather(transfer.run(), follow())
    assert positions == sorted(positions)
    # With seeds alone pieces come in order, so that whoever follows is never far behind.
    assert len(set(positions)) >= lab.payload.hybrid.num_pieces - 2


@in_lab
async def test_peers_and_mirrors_give_together(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    server = lab.network.add_web_server("http://mirror.example/", lab.payload.folder, bytes_per_s=RATE)
    transfer = await lab.transfer(peers=(peer,), web_seeds=(server.url,))
    await transfer.run()
    total = lab.payload.hybrid.total
    assert lab.now_s == pytest.approx(total / RATE / 2, abs=2)
    assert set(transfer.tally.by_source) == {str(peer), server.url}
    assert transfer.tally.total(PeerKind.PEER) + transfer.tally.total(PeerKind.WEB_SEED) == total
    assert transfer.tally.total(PeerKind.WEB_SEED) == pytest.approx(total / 2, rel=0.2)
    last = lab.seen(events.Progress)[-1]
    assert isinstance(last, events.Progress)
    assert (last.peers, last.mirrors) == (1, 1)


@in_lab
async def test_pieces_are_traded_rarest_first(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    other = await lab.session()
    leecher = await other.add(AddTorrent(source=lab.payload.hybrid, save_path=lab.folder / "other", peers=(peer,)))
    transfer = await lab.transfer(peers=(peer, Address(other.host.name, other.listen_port)))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(3)
    here = await transfer.torrent.pieces()
    assert 2 <= sum(here) < len(here)
    assert here != tuple(sorted(here, reverse=True))  # not in order
    await running
    assert transfer.tally.by_source[str(Address(other.host.name, other.listen_port))] > 0
    assert (await leecher.status()).payload_upload > 0


@in_lab
async def test_a_tracker_is_enough(lab: Lab) -> None:
    tracker = lab.network.add_tracker("http://tracker.example/announce")
    session = await lab.session()
    await session.add(
        AddTorrent(source=lab.payload.hybrid, save_path=lab.payload.folder, seed=True, trackers=(tracker.url,))
    )
    transfer = await lab.transfer(trackers=("http://dead.example/announce", tracker.url))
    await transfer.run()
    assert lab.seen(events.SourceFailed)[0] == events.SourceFailed("http://dead.example/announce", "Connection refused")
    assert transfer.notes.failures == {"http://dead.example/announce": 1}


@in_lab
async def test_lost_events_are_made_up_for(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(peer,))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(2)
    torrent = transfer.torrent
    assert isinstance(torrent, MemoryTorrent)
    before = transfer.verified_until(NAME, 0)
    torrent.exchange.note_piece(transfer.metainfo.num_pieces - 1)  # nobody hears of it
    torrent.publish(EventsLost())
    await lab.network.clock.sleep(0.1)
    assert transfer.verified_until(NAME, lab.payload.hybrid.total - 1) == lab.payload.hybrid.total
    assert transfer.verified_until(NAME, 0) >= before > 0
    await running


# --- other swarms ----------------------------------------------------------------------------------------


@in_lab
async def test_it_goes_to_the_other_swarm_when_nobody_is_in_the_first(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.v1)
    transfer = await lab.transfer(peers=(peer, DEAD))
    await transfer.run()
    assert tree_digests(lab.target) == lab.payload.digests
    assert transfer.swarm is Swarm.V1
    assert transfer.metainfo == lab.payload.v1
    assert lab.seen(events.SwarmSwitched) == [events.SwarmSwitched("v1", "the hybrid swarm gave nothing for 10.0 s")]
    assert lab.now_s == pytest.approx(CONFIG.swarm_patience_s, abs=2)
    saved = len(lab.saved)
    await transfer.leave()
    assert len(lab.saved) == saved  # the v1 swarm's state would not fit


@in_lab
async def test_what_one_swarm_gave_is_not_fetched_again_from_the_other(lab: Lab) -> None:
    first, hybrid_seed = await lab.seed(lab.payload.hybrid, up=RATE)
    second, _ = await lab.seed(lab.payload.v1, up=RATE)
    transfer = await lab.transfer(peers=(first, second))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(5)
    await hybrid_seed.remove()
    await running
    assert transfer.swarm is Swarm.V1
    assert tree_digests(lab.target) == lab.payload.digests
    given = transfer.tally.by_source
    assert given[str(first)] == pytest.approx(5 * RATE, rel=0.25)
    # What came between the last look and the seed's end is not in the tally.
    counted = given[str(first)] + given[str(second)]
    assert 0 <= lab.payload.hybrid.total - counted <= lab.payload.hybrid.piece_length
    status = await transfer.torrent.status()
    assert status.payload_download == given[str(second)]
    assert not lab.seen(events.Resumed)


@in_lab
async def test_it_goes_to_and_fro_until_it_gives_up(lab: Lab) -> None:
    transfer = await lab.transfer(peers=(DEAD,))
    with pytest.raises(SourcesExhaustedError):
        await transfer.run()
    swarms = [event.swarm for event in lab.events if isinstance(event, events.SwarmSwitched)]
    assert swarms == ["v1", "hybrid", "v1", "hybrid", "v1"]
    await transfer.leave()


# --- wrong data ------------------------------------------------------------------------------------------


@in_lab
async def test_a_poisoner_is_reported_and_the_file_is_right(lab: Lab) -> None:
    evil, poison = await lab.seed(lab.payload.hybrid, up=RATE)
    poison.exchange.host.poisons = True
    good, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(evil, good))
    await transfer.run()
    assert tree_digests(lab.target) == lab.payload.digests
    assert lab.seen(events.PeerBanned) == [events.PeerBanned(str(evil))]
    assert len(lab.seen(events.PieceRefused)) == 1


@in_lab
async def test_nothing_but_poison_ends_in_time(lab: Lab) -> None:
    evil, poison = await lab.seed(lab.payload.hybrid)
    poison.exchange.host.poisons = True
    server = lab.network.add_web_server("http://mirror.example/", lab.payload.folder)
    server.corrupt = frozenset(range(0, lab.payload.hybrid.total, 1000))
    transfer = await lab.transfer(peers=(evil,), web_seeds=(server.url,), swarms=(Swarm.HYBRID,))
    with pytest.raises(SourcesExhaustedError) as caught:
        await transfer.run()
    assert lab.now_s <= CONFIG.exhausted_after_s + CONFIG.poll_s
    assert caught.value.attempts[str(evil)] == "banned for wrong data"
    assert caught.value.attempts[server.url] == "peer banned"
    refused = lab.seen(events.PieceRefused)
    assert len(refused) == 2  # each was asked once
    assert refused[-1].paths == (NAME,)
    assert caught.value.attempts["wrong data"] == f"2 piece(s) refused, the last one of {NAME}"
    assert transfer.notes.failures == {server.url: 1}


# --- mirrors ---------------------------------------------------------------------------------------------


@in_lab
async def test_a_mirror_that_refuses_is_asked_again_after_growing_pauses(lab: Lab) -> None:
    server = lab.network.add_web_server("http://mirror.example/", lab.payload.folder)
    server.status = "503 Service Unavailable"
    transfer = await lab.transfer(web_seeds=(server.url,))
    running = asyncio.create_task(transfer.run())
    tries: list[float] = []
    while len(tries) < 4:
        await lab.network.clock.sleep(0.1)
        tries.extend([lab.now_s] * (len(lab.seen(events.SourceFailed)) - len(tries)))
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == pytest.approx([2, 4, 8], abs=0.7)
    server.status = ""
    await running
    assert tree_digests(lab.target) == lab.payload.digests
    assert transfer.notes.failures == {server.url: 4}
    assert transfer.tally.by_source[server.url] == lab.payload.hybrid.total
    assert lab.seen(events.SwarmSwitched)  # which alone did not make the mirror be asked again


@in_lab
async def test_a_mirror_that_gave_something_begins_with_a_short_pause(lab: Lab) -> None:
    server = lab.network.add_web_server("http://mirror.example/", lab.payload.folder, bytes_per_s=RATE)
    server.status = "503 Service Unavailable"
    transfer = await lab.transfer(web_seeds=(server.url,), swarms=(Swarm.HYBRID,))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(12)  # refused at 1, 3 and 7 seconds
    server.status = ""
    await lab.network.clock.sleep(8)
    failed = len(lab.seen(events.SourceFailed))
    server.status = "503 Service Unavailable"
    await lab.network.clock.sleep(1)
    assert len(lab.seen(events.SourceFailed)) == failed + 1
    server.status = ""
    began_s = lab.now_s
    received = transfer.tally.by_source[server.url]
    while transfer.tally.by_source[server.url] == received:
        await lab.network.clock.sleep(0.1)
    assert lab.now_s - began_s < 2 * CONFIG.web_seed_retry_s + 2
    await running


@in_lab
async def test_a_mirror_that_dies_half_way_is_asked_after_growing_pauses(lab: Lab) -> None:
    server = lab.network.add_web_server("http://mirror.example/", lab.payload.folder, bytes_per_s=RATE)
    transfer = await lab.transfer(web_seeds=(server.url,), swarms=(Swarm.HYBRID,))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(5)
    server.status = "503 Service Unavailable"
    await lab.network.clock.sleep(30)
    assert 3 <= transfer.notes.failures[server.url] <= 5  # after 2, 6, 14 and 30 seconds
    server.status = ""
    await running
    assert tree_digests(lab.target) == lab.payload.digests
