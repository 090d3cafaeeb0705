"""What only the network in memory can: faults on demand, rates, virtual time, and the same run twice."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist.config import SwarmConfig
from ossdist.errors import SwarmError
from ossdist.sim import LoopClock, MemoryNetwork, MemorySession, Timing, run_virtual
from ossdist.sim.clock import EPOCH
from ossdist.transfer.metainfo import Address, InfoHashes
from ossdist.transfer.session import AddTorrent
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Ending,
    Finished,
    PeerBanned,
    PeerConnected,
    PeerDisconnected,
    PieceFailed,
    PieceVerified,
    TrackerFailed,
    TrackerReplied,
    WebSeedFailed,
)
from tests.programs.payload import tree_digests
from tests.swarm.worlds import events_until, until_finished
from tests.torrents import NAME, PIECE_BYTES, single

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from ossdist.transfer.torrent_events import TorrentEvent
    from tests.torrents import Payload

RATE = 100_000


def virtual(test: Callable[[Path], Coroutine[None, None, None]]) -> Callable[[Path], None]:
    """Makes an asynchronous test one that pytest can call, in virtual time."""

    @functools.wraps(test)
    def run(tmp_path: Path) -> None:
        run_virtual(test(tmp_path))

    return run


def new_network(seed: int = 1, timing: Timing | None = None) -> MemoryNetwork:
    return MemoryNetwork(clock=LoopClock(), rng=random.Random(seed), timing=timing)


async def new_session(network: MemoryNetwork, *, up: int = 0, down: int = 0) -> MemorySession:
    config = SwarmConfig(upload_bytes_per_s=up, download_bytes_per_s=down)
    return await MemorySession.open(config, network=network)


def address(session: MemorySession) -> Address:
    return Address(session.host.name, session.listen_port)


# --- faults ----------------------------------------------------------------------------------------------


@virtual
async def test_a_host_that_poisons_is_banned_for_good(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network()
    evil, leecher = await new_session(network), await new_session(network)
    evil.host.poisons = True
    poison = await evil.add(AddTorrent(source=payload.v1, save_path=payload.folder, seed=True))
    leech = await leecher.add(
        AddTorrent(source=payload.v1, save_path=tmp_path / "leech", peers=(address(evil),), sequential=True)
    )
    with leech.subscribe() as subscription:
        seen = await events_until(subscription, PieceFailed)
        banned = PeerBanned(address(evil))
        assert seen[-3:] == [
            banned,
            PeerDisconnected(banned.address, "too many corrupt pieces"),
            PieceFailed(0),
        ]
        assert seen.count(PeerConnected(address(evil))) == 1
        # Neither side's dialling brings them together again.
        await leech.connect(address(evil))
        await poison.connect(address(leecher))
        await network.clock.sleep(3600)
        assert subscription.drain() == []
    assert (await leech.status()).failed_bytes == payload.v1.piece_length


@virtual
async def test_a_peer_that_came_to_us_can_be_banned(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network()
    evil, leecher = await new_session(network), await new_session(network)
    evil.host.poisons = True
    leech = await leecher.add(AddTorrent(source=payload.v1, save_path=tmp_path / "leech"))
    await evil.add(AddTorrent(source=payload.v1, save_path=payload.folder, seed=True, peers=(address(leecher),)))
    with leech.subscribe() as subscription:
        banned = await subscription.until(PeerBanned, timeout_s=10)
        assert banned.address.host == evil.host.name
        await network.clock.sleep(3600)
        assert not any(isinstance(event, PeerConnected) for event in subscription.drain())


@virtual
async def test_a_web_server_has_switches_for_its_faults(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network()
    server = network.add_web_server("http://mirror.example/pub/", payload.folder)
    url = server.url + NAME
    leecher = await new_session(network)
    server.refuses = True
    leech = await leecher.add(AddTorrent(source=payload.v1, save_path=tmp_path / "leech", web_seeds=(url,)))
    with leech.subscribe() as subscription:
        seen = await events_until(subscription, WebSeedFailed)
        mirror = Address("mirror.example", 80)
        refused = [PeerConnected(mirror), PeerDisconnected(mirror, "Connection refused", Ending.REFUSED)]
        assert seen == [CheckingDone(), *refused, WebSeedFailed(url, "Connection refused")]

        server.refuses, server.status = False, "503 Service Unavailable"
        seen = await events_until(subscription, PeerDisconnected)  # it is asked again without being told
        assert WebSeedFailed(url, "503 Service Unavailable") in seen
        server.status = ""
        await network.clock.sleep(3600)
        assert subscription.drain() == []  # but not after an answer

        server.corrupt = frozenset({100_000})
        await leech.remove_web_seed(url)
        await leech.add_web_seed(url)
        seen = await events_until(subscription, WebSeedFailed)
        assert seen[-4:] == [
            PeerBanned(mirror),
            PeerDisconnected(mirror, "too many corrupt pieces"),
            PieceFailed(100_000 // payload.v1.piece_length),
            WebSeedFailed(url, "peer banned", banned=True),
        ]

        server.corrupt = frozenset()
        await leech.add_web_seed(url)
        await subscription.until(Finished, timeout_s=10)
    assert tree_digests(tmp_path / "leech") == payload.digests


@virtual
async def test_a_web_server_with_a_shorter_file_refuses(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network()
    stale = tmp_path / "stale"
    stale.mkdir()
    (stale / NAME).write_bytes(payload.file.read_bytes()[:-1])
    network.add_web_server("http://mirror.example/", stale)
    leech = await (await new_session(network)).add(
        AddTorrent(source=payload.v1, save_path=tmp_path / "leech", web_seeds=("http://mirror.example/",))
    )
    with leech.subscribe() as subscription:
        assert "416" in (await subscription.until(WebSeedFailed, timeout_s=10)).reason
    assert not (await leech.pieces())[-1]


@virtual
async def test_the_longest_root_serves(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network()
    network.add_web_server("http://mirror.example/", tmp_path)
    network.add_web_server("http://mirror.example/pub/", payload.folder)
    leech = await (await new_session(network)).add(
        AddTorrent(source=payload.v1, save_path=tmp_path / "leech", web_seeds=("http://mirror.example/pub/",))
    )
    await until_finished(leech)
    with pytest.raises(ValueError, match="slash"):
        network.add_web_server("http://mirror.example", tmp_path)


@virtual
async def test_a_tracker_can_fail_and_come_back(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network()
    tracker = network.add_tracker("http://tracker.example/announce")
    tracker.failure = "closed for today"
    seeder, leecher = await new_session(network), await new_session(network)
    seed = await seeder.add(
        AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True, trackers=(tracker.url,))
    )
    leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=tmp_path / "leech", trackers=(tracker.url,)))
    with leech.subscribe() as subscription:
        assert await subscription.until(TrackerFailed, timeout_s=10) == TrackerFailed(tracker.url, "closed for today")
        tracker.failure = ""
        await subscription.until(Finished, timeout_s=10)
        assert await subscription.until(TrackerReplied, timeout_s=10) == TrackerReplied(tracker.url, 1)
    hashes = payload.hybrid.info_hashes
    assert set(tracker.announce(hashes, None)) == {address(seeder), address(leecher)}
    assert tracker.announce(hashes, address(leecher)) == (address(seeder),)
    await seed.pause()
    assert tracker.announce(hashes, None) == (address(leecher),)
    await leech.remove()
    assert tracker.announce(hashes, None) == ()
    tracker.leave(InfoHashes("00" * 20, None), address(seeder))


@virtual
async def test_a_late_seed_is_found_at_the_next_announce(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network(timing=Timing(announce_s=600))
    tracker = network.add_tracker("http://tracker.example/announce")
    quiet = await MemorySession.open(SwarmConfig(listen=()), network=network)
    leech = await quiet.add(AddTorrent(source=payload.v1, save_path=tmp_path / "leech", trackers=(tracker.url,)))
    with leech.subscribe() as subscription:
        await subscription.until(TrackerReplied, timeout_s=10)
        await (await new_session(network)).add(
            AddTorrent(source=payload.v1, save_path=payload.folder, seed=True, trackers=(tracker.url,))
        )
        began_s = network.clock.monotonic_s()
        await subscription.until(Finished, timeout_s=1000)
    assert network.clock.monotonic_s() - began_s == pytest.approx(600, abs=1)


@virtual
async def test_nobody_dials_himself(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network()
    session = await new_session(network)
    torrent = await session.add(AddTorrent(source=payload.v1, save_path=tmp_path / "leech", peers=(address(session),)))
    with torrent.subscribe() as subscription:
        gone = await subscription.until(PeerDisconnected, timeout_s=10)
    assert gone == PeerDisconnected(address(session), "connected to ourselves")


@virtual
async def test_a_dead_peer_is_given_up_in_the_end(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network(timing=Timing(reconnect_s=2, reconnects=3))
    dead = Address("192.0.2.1", 6881)
    torrent = await (await new_session(network)).add(
        AddTorrent(source=payload.v1, save_path=tmp_path / "leech", peers=(dead,))
    )
    with torrent.subscribe() as subscription:
        await network.clock.sleep(3600)
        tries = [event for event in subscription.drain() if isinstance(event, PeerConnected)]
        assert tries == [PeerConnected(dead)] * 3
        await torrent.connect(dead)
        await subscription.until(PeerDisconnected, timeout_s=10)


@virtual
async def test_two_that_dial_each_other_have_one_connection(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed"), new_network()
    one, two = await new_session(network), await new_session(network)
    seed = await one.add(AddTorrent(source=payload.v1, save_path=payload.folder, seed=True, peers=(address(two),)))
    leech = await two.add(AddTorrent(source=payload.v1, save_path=tmp_path / "leech", peers=(address(one),)))
    await until_finished(leech)
    await network.clock.sleep(60)
    assert len(await seed.peers()) == len(await leech.peers()) == 1


# --- sessions --------------------------------------------------------------------------------------------


@virtual
async def test_a_session_listens_where_it_is_told(tmp_path: Path) -> None:
    network = new_network()
    told = await MemorySession.open(SwarmConfig(listen=("192.0.2.7:6881",)), network=network)
    assert (told.host.name, told.listen_port) == ("192.0.2.7", 6881)
    with pytest.raises(SwarmError, match="already in use"):
        await MemorySession.open(SwarmConfig(listen=("192.0.2.7:6881",)), network=network)
    second = await MemorySession.open(SwarmConfig(listen=("192.0.2.7:6881", "192.0.2.7:6882")), network=network)
    assert second.listen_port == 6882
    named = await MemorySession.open(SwarmConfig(listen=("[::]:6881",)), network=network, host="2001:db8::1")
    assert network.session_at(Address("2001:db8::1", 6881)) is named
    silent = await MemorySession.open(SwarmConfig(listen=()), network=network)
    assert silent.listen_port == 0
    await silent.close()
    async with told:
        pass
    again = await MemorySession.open(SwarmConfig(listen=("192.0.2.7:6881",)), network=network)
    assert network.session_at(Address("192.0.2.7", 6881)) is again


@virtual
async def test_a_torrent_without_v1_hashes_is_refused(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    session = await new_session(new_network())
    with pytest.raises(SwarmError, match="v1"):
        await session.add(AddTorrent(source=replace(payload.hybrid, piece_hashes=()), save_path=payload.folder))


# --- time ------------------------------------------------------------------------------------------------


async def download_s(network: MemoryNetwork, payload: Payload, folder: Path, *, ups: list[int], down: int = 0) -> float:
    """How long a download takes, in virtual seconds."""
    seeders = [await new_session(network, up=up) for up in ups]
    for seeder in seeders:
        await seeder.add(AddTorrent(source=payload.v1, save_path=payload.folder, seed=True))
    leecher = await new_session(network, down=down)
    began_s = network.clock.monotonic_s()
    leech = await leecher.add(
        AddTorrent(source=payload.v1, save_path=folder, peers=tuple(address(seeder) for seeder in seeders))
    )
    await until_finished(leech)
    return network.clock.monotonic_s() - began_s


@virtual
async def test_a_download_takes_as_long_as_its_narrowest_link(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed", 1_000_000)
    alone_s = 1_000_000 / RATE
    one_piece_s = payload.v1.piece_length / RATE
    network = new_network()
    assert await download_s(network, payload, tmp_path / "0", ups=[0]) == 0.0
    assert await download_s(network, payload, tmp_path / "1", ups=[RATE]) == pytest.approx(alone_s)
    assert await download_s(network, payload, tmp_path / "2", ups=[0], down=RATE) == pytest.approx(alone_s)
    assert await download_s(network, payload, tmp_path / "3", ups=[RATE], down=RATE) == pytest.approx(alone_s)
    assert await download_s(network, payload, tmp_path / "4", ups=[RATE] * 4) == pytest.approx(
        alone_s / 4, abs=one_piece_s
    )
    assert await download_s(network, payload, tmp_path / "5", ups=[RATE] * 4, down=RATE) == pytest.approx(alone_s)


@virtual
async def test_leechers_share_a_seeds_uplink(tmp_path: Path) -> None:
    payload, network = single(tmp_path / "seed", 30 * PIECE_BYTES), new_network()
    seeder = await new_session(network, up=RATE)
    await seeder.add(AddTorrent(source=payload.v1, save_path=payload.folder, seed=True))
    leeches = [
        await (await new_session(network)).add(
            AddTorrent(source=payload.v1, save_path=tmp_path / str(number), peers=(address(seeder),))
        )
        for number in range(2)
    ]
    await network.clock.sleep(5)
    done = [(await leech.status()).bytes_done for leech in leeches]
    assert abs(done[0] - done[1]) <= payload.v1.piece_length
    assert sum(done) == pytest.approx(5 * RATE, abs=2 * payload.v1.piece_length)
    rates = [(await leech.status()).download_bytes_per_s for leech in leeches]
    assert sum(rates) == pytest.approx(RATE, rel=0.1)


async def trace(folder: Path, payload: Payload, seed: int) -> list[tuple[float, TorrentEvent]]:
    """Everything that a leecher sees in a small swarm."""
    network = new_network(seed)
    tracker = network.add_tracker("http://tracker.example/announce")
    for number, up in enumerate((50_000, 80_000)):
        seeder = await new_session(network, up=up)
        await seeder.add(AddTorrent(source=payload.v1, save_path=payload.folder, seed=True, trackers=(tracker.url,)))
        leecher = await new_session(network, up=100_000)
        await leecher.add(AddTorrent(source=payload.v1, save_path=folder / str(number), trackers=(tracker.url,)))
    torrent = await (await new_session(network)).add(
        AddTorrent(source=payload.v1, save_path=folder / "watched", trackers=(tracker.url,))
    )
    seen: list[tuple[float, TorrentEvent]] = []
    with torrent.subscribe() as subscription:
        while not any(isinstance(event, Finished) for _, event in seen):
            seen.append((network.clock.monotonic_s(), await subscription.next()))
    return seen


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed", 300_000)
    first, second, other = (
        run_virtual(trace(tmp_path / name, payload, seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second
    assert first != other
    assert sum(isinstance(event, PieceVerified) for _, event in first) == payload.v1.num_pieces


@virtual
async def test_virtual_time_does_not_wait(tmp_path: Path) -> None:
    clock, began = LoopClock(), time.monotonic()
    assert clock.now() == EPOCH
    await clock.sleep(86400)
    assert clock.monotonic_s() == pytest.approx(86400)
    assert (clock.now() - EPOCH).days == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()
    assert await asyncio.to_thread(lambda: 7) == 7  # a thread may work while nothing is due
    assert time.monotonic() - began < 10


def test_a_run_in_which_nobody_can_go_on_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossdist.sim.clock._STUCK_S", 0.01)

    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="everything waits"):
        run_virtual(stuck())
