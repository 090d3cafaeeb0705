"""What libtorrent tells a session, and how that becomes an event."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from typing import TYPE_CHECKING

import libtorrent as lt
import pytest

from ossdist.errors import StorageError, SwarmError
from ossdist.swarm import LibtorrentSession
from ossdist.swarm.alerts import (
    DialFailed,
    FileRenamed,
    FileRenameFailed,
    ListenFailed,
    ResumeDataFailed,
    ResumeDataReady,
    Routed,
    convert,
)
from ossdist.swarm.settings import session_params
from ossdist.swarm.snapshots import os_error_number
from ossdist.swarm.webseeds import WebSeedAddresses
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import AddTorrent, TorrentState
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Ending,
    EventsLost,
    PeerConnected,
    StorageFailed,
    TrackerFailed,
    WebSeedFailed,
)
from tests.asynchronous import asynchronous
from tests.programs.nginx import Nginx
from tests.programs.payload import tree_digests
from tests.programs.ports import free_port
from tests.programs.spawn import installed
from tests.swarm.worlds import DEADLINE_S, LOOPBACK, until_checked, until_finished
from tests.torrents import NAME, several, single

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _drop(alert: lt.alert) -> None:
    """Converts nothing: every alert falls on the floor."""


@asynchronous
async def test_lost_alerts_do_not_stop_a_transfer(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed", 2_000_000)
    async with (
        await LibtorrentSession.open(LOOPBACK) as seeder,
        await LibtorrentSession.open(replace(LOOPBACK, alert_queue=1)) as leecher,
    ):
        await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        leech = await leecher.add(
            AddTorrent(
                source=payload.hybrid,
                save_path=tmp_path / "leech",
                peers=(Address("127.0.0.1", seeder.listen_port),),
            )
        )
        with leech.subscribe() as subscription:
            lost = False
            async with asyncio.timeout(DEADLINE_S):
                while (await leech.status()).state is not TorrentState.SEEDING:
                    lost = lost or EventsLost() in subscription.drain()
        assert lost
        assert all(await leech.pieces())
        await leech.remove()
    assert tree_digests(tmp_path / "leech") == payload.digests


@asynchronous
async def test_what_was_counted_is_asked_for_again_if_the_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = 0

    def lose_once(alert: lt.alert) -> Routed | None:
        nonlocal lost
        if isinstance(alert, lt.session_stats_alert):
            lost += 1
            if lost == 1:
                return Routed((), EventsLost())
        return convert(alert)

    async with await LibtorrentSession.open(LOOPBACK) as session:
        monkeypatch.setattr("ossdist.swarm.session.convert", lose_once)
        assert (await session.counters()).dials == 0
    assert lost == 2


@asynchronous
async def test_a_full_disk_shows_in_the_status_though_its_alert_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = single(tmp_path / "seed")
    full = tmp_path / "full"
    full.mkdir()
    (full / NAME).symlink_to("/dev/full")
    async with await LibtorrentSession.open(LOOPBACK) as seeder, await LibtorrentSession.open(LOOPBACK) as leecher:
        await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=full))
        await until_checked(leech)
        with monkeypatch.context() as patch:
            patch.setattr("ossdist.swarm.session.convert", _drop)
            await leech.connect(Address("127.0.0.1", seeder.listen_port))
            async with asyncio.timeout(DEADLINE_S):
                while not (status := await leech.status()).error:
                    pass
        assert (status.error, status.errno, status.error_path) == ("it cannot be written to", 0, "")


def test_only_the_operating_systems_errors_have_its_numbers() -> None:
    assert os_error_number(lt.error_code(errno.ENOSPC, lt.generic_category())) == errno.ENOSPC
    assert os_error_number(lt.error_code(errno.ENOSPC, lt.system_category())) == errno.ENOSPC
    assert os_error_number(lt.error_code(errno.ENOSPC, lt.libtorrent_category())) == 0


@asynchronous
async def test_two_that_ask_the_same_share_the_answer(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    async with await LibtorrentSession.open(LOOPBACK) as session:
        torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        first, second = await asyncio.gather(torrent.resume_data(), torrent.resume_data())
        assert first == second
        removals = await asyncio.gather(torrent.remove(), torrent.remove(), return_exceptions=True)
        assert removals.count(None) >= 1


@asynchronous
async def test_libtorrent_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = single(tmp_path / "seed")
    async with await LibtorrentSession.open(replace(LOOPBACK, event_deadline_s=0.05)) as session:
        torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        monkeypatch.setattr("ossdist.swarm.session.convert", _drop)  # every alert falls on the floor
        with pytest.raises(SwarmError, match="no answer"):
            await torrent.resume_data()


@asynchronous
async def test_a_refusal_of_libtorrent_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = single(tmp_path / "seed")
    async with await LibtorrentSession.open(LOOPBACK) as session:
        seed = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        monkeypatch.setattr("ossdist.swarm.session.convert", _drop)
        asking = asyncio.create_task(seed.resume_data())
        renaming = asyncio.create_task(seed.rename(0, tmp_path / "new"))
        async with asyncio.timeout(DEADLINE_S):
            while not (asking.done() and renaming.done()):
                seed.feed(ResumeDataFailed("tired"))
                seed.feed(FileRenameFailed(0, "tired"))
                await asyncio.sleep(0.01)
        with pytest.raises(SwarmError, match="tired"):
            await asking
        with pytest.raises(StorageError, match="tired"):
            await renaming


@asynchronous
async def test_a_rename_clears_an_error(tmp_path: Path) -> None:
    # Between our move and libtorrent's following it, a peer's request may find no file.
    payload = several(tmp_path / "seed")
    async with await LibtorrentSession.open(LOOPBACK) as seeder, await LibtorrentSession.open(LOOPBACK) as leecher:
        seed = await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        await until_finished(seed)
        first, *_, last = payload.hybrid.files
        (payload.folder / last.path).rename(tmp_path / "aside")
        await leecher.add(
            AddTorrent(
                source=payload.hybrid,
                save_path=tmp_path / "leech",
                peers=(Address("127.0.0.1", seeder.listen_port),),
            )
        )
        with seed.subscribe() as subscription:
            await subscription.until(StorageFailed, timeout_s=DEADLINE_S)
        assert (await seed.status()).paused
        (tmp_path / "aside").rename(payload.folder / last.path)
        await seed.rename(first.index, tmp_path / "moved")
        await until_finished(seed)
        status = await seed.status()
        assert (status.error, status.paused, status.state) == ("", False, TorrentState.SEEDING)


def raw_events(act: Callable[[lt.session], object], *, until: type[object]) -> list[object]:
    """What our table makes of a bare libtorrent session's alerts."""
    params = session_params(replace(LOOPBACK, listen=("127.0.0.1:0", "203.0.113.1:0")))
    session = lt.session(params)
    act(session)
    events: list[object] = []
    for _ in range(200):
        session.wait_for_alert(100)
        converted = [convert(alert) for alert in session.pop_alerts()]
        events.extend(routed.event for routed in converted if routed is not None)
        if any(isinstance(event, until) for event in events):
            return events
    pytest.fail(f"no {until.__name__} among {events}")


def raw_params(torrent: bytes, folder: Path) -> lt.add_torrent_params:
    params = lt.load_torrent_buffer(torrent)
    params.save_path = str(folder)
    params.flags = lt.torrent_flags.seed_mode
    return params


def test_a_peer_that_cannot_be_dialled_and_an_interface_that_cannot_be_used(tmp_path: Path) -> None:
    payload, port = single(tmp_path / "seed"), free_port()

    def act(session: lt.session) -> None:
        params = raw_params(payload.hybrid.data, tmp_path / "empty")
        params.flags = 0
        session.add_torrent(params).connect_peer(("127.0.0.1", port))

    events = raw_events(act, until=DialFailed)
    assert PeerConnected(Address("127.0.0.1", port)) in events
    assert DialFailed(Address("127.0.0.1", port), "Connection refused", Ending.REFUSED) in events
    assert ListenFailed("203.0.113.1:0", "Cannot assign requested address") in events


def test_answers_to_questions(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    (tmp_path / "taken").mkdir()

    def act(session: lt.session) -> None:
        handle = session.add_torrent(raw_params(payload.hybrid.data, payload.folder))
        handle.save_resume_data(lt.save_resume_flags_t.save_info_dict)
        handle.rename_file(0, str(tmp_path / "taken"))
        handle.rename_file(0, str(tmp_path / "free"))

    events = raw_events(act, until=FileRenamed)
    assert FileRenamed(0) in events
    (refused,) = [event for event in events if isinstance(event, FileRenameFailed)]
    assert refused.index == 0
    assert refused.reason
    assert any(isinstance(event, ResumeDataReady) for event in events)


def test_a_removed_torrents_alerts_are_dropped(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    session = lt.session(session_params(LOOPBACK))
    handle = session.add_torrent(raw_params(payload.hybrid.data, payload.folder))
    while not handle.status().is_seeding:
        pass
    session.remove_torrent(handle)
    while handle.is_valid():
        pass
    routed = [convert(alert) for alert in session.pop_alerts()]
    assert not any(each.hashes for each in routed if each is not None and each.event == CheckingDone())


# --- web seeds by name -----------------------------------------------------------------------------------


@pytest.mark.skipif(not installed("nginx"), reason="nginx is not installed")
@asynchronous
async def test_a_web_seed_is_known_by_its_address_whatever_its_host_is_called(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    async with Nginx(tmp_path / "nginx", payload.folder) as server, await LibtorrentSession.open(LOOPBACK) as session:
        url = f"http://localhost:{server.port}/{NAME}"
        leech = await session.add(AddTorrent(source=payload.hybrid, save_path=tmp_path / "leech", web_seeds=(url,)))
        await until_finished(leech)
        assert [mirror.client for mirror in await leech.peers()] == [url]


@asynchronous
async def test_a_web_seed_that_cannot_be_found_is_reported(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    async with await LibtorrentSession.open(LOOPBACK) as session:
        url = "http://no-such-host.invalid/"
        leech = await session.add(AddTorrent(source=payload.hybrid, save_path=tmp_path / "leech", web_seeds=(url,)))
        with leech.subscribe() as subscription:
            failed = await subscription.until(WebSeedFailed, timeout_s=DEADLINE_S)
        assert failed.url.startswith(url)
        assert failed.reason


@asynchronous
async def test_addresses_of_web_seeds() -> None:
    seeds = WebSeedAddresses()
    for url in ("http://192.0.2.1/a", "http://192.0.2.1:80/b", "https://[2001:DB8::1]/", "http://[bad/", "http://x:y/"):
        seeds.add(url)
    assert seeds.at(Address("192.0.2.1", 80)) == "http://192.0.2.1/a"
    assert seeds.at(Address("2001:db8::1", 443)) == "https://[2001:DB8::1]/"
    assert seeds.at(Address("192.0.2.1", 81)) is None
    seeds.remove("http://192.0.2.1/a")
    assert seeds.at(Address("192.0.2.1", 80)) == "http://192.0.2.1:80/b"
    seeds.add("http://localhost:8000/")
    seeds.remove("http://localhost:8000/")
    seeds.add("http://localhost:8001/")
    async with asyncio.timeout(DEADLINE_S):
        while seeds.at(Address("127.0.0.1", 8001)) is None:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    assert seeds.at(Address("127.0.0.1", 8000)) is None
    seeds.add("http://localhost:8002/")
    await seeds.until_known(Address("127.0.0.1", 8002))
    assert seeds.at(Address("127.0.0.1", 8002)) == "http://localhost:8002/"
    seeds.add("http://localhost:8003/")
    await seeds.until_known(Address("192.0.2.9", 1))  # nobody's: no longer than the look-ups take
    assert seeds.at(Address("192.0.2.9", 1)) is None
    seeds.close()
    assert seeds.at(Address("127.0.0.1", 8001)) is None


# --- trackers --------------------------------------------------------------------------------------------


@asynchronous
async def test_a_trackers_own_words_are_reported(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"d14:failure reason16:closed for todaye"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server, await LibtorrentSession.open(LOOPBACK) as session:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/announce"
        torrent = await session.add(
            AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True, trackers=(url,))
        )
        with torrent.subscribe() as subscription:
            failed = await subscription.until(TrackerFailed, timeout_s=DEADLINE_S)
        assert failed == TrackerFailed(url, "closed for today")
