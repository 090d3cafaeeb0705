"""What only a session on libtorrent has: settings, sockets, threads. The rest is in the contract."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import libtorrent as lt
import pytest

from ossdist.config import SwarmConfig
from ossdist.errors import SwarmError
from ossdist.swarm import LibtorrentSession
from ossdist.swarm.alerts import PublicAddress, Routed
from ossdist.swarm.settings import DISK_IO, everybody_is_global, settings
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import AddTorrent
from tests.asynchronous import asynchronous
from tests.programs.payload import tree_digests
from tests.swarm.worlds import DEADLINE_S, LOOPBACK, until_checked, until_finished
from tests.torrents import single

CONFIGS = [
    SwarmConfig(),
    LOOPBACK,
    SwarmConfig(
        listen=(),
        outgoing=("127.0.0.1",),
        dht_nodes=("127.0.0.1:1",),
        upload_bytes_per_s=1,
        download_bytes_per_s=2,
        outgoing_utp=True,
        private_network=True,
    ),
]


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


# --- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS)
def test_libtorrent_takes_every_setting(config: SwarmConfig) -> None:
    wanted: Any = dict(settings(config))  # the binding's own type forbids to look settings up by name
    wanted["listen_interfaces"] = ""  # so that nothing leaves the machine
    session = lt.session({"listen_interfaces": "", "enable_dht": False})
    session.apply_settings(wanted)
    got: Any = session.get_settings()
    assert {key: got[key] for key in wanted} == wanted
    with pytest.raises(KeyError):
        session.apply_settings(wanted | {"no_such_setting": 1})


def test_the_disk_engine_is_one_that_libtorrent_has() -> None:
    # A wrong name is accepted silently, and none can be read back.
    assert DISK_IO in {f"{name}_disk_io_constructor" for name in ("default", "mmap", "posix", "pread")}


def test_limits_hold_for_every_peer() -> None:
    classes = everybody_is_global()
    only_global = 1 << lt.session.global_peer_class_id
    for host in ("127.0.0.1", "10.1.2.3", "192.168.0.1", "198.51.100.1", "::1", "fe80::1", "2001:db8::1"):
        assert classes.access(host) == only_global


# --- listening -------------------------------------------------------------------------------------------


@asynchronous
async def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SwarmError, match=rf"{address}: .*in use"):
            await LibtorrentSession.open(replace(LOOPBACK, listen=(address,)))


@pytest.mark.parametrize("interface", ["203.0.113.1:0", "no-such-device:0", "127.0.0.1:no-port", "nonsense"])
@asynchronous
async def test_an_interface_that_is_not_there_is_an_error(interface: str) -> None:
    with pytest.raises(SwarmError, match="cannot listen anywhere"):
        await LibtorrentSession.open(replace(LOOPBACK, listen=(interface,)))


@asynchronous
async def test_one_interface_that_works_is_enough() -> None:
    async with await LibtorrentSession.open(replace(LOOPBACK, listen=("203.0.113.1:0", "127.0.0.1:0"))) as session:
        assert session.listen_port > 0


@asynchronous
async def test_a_session_that_listens_nowhere_still_dials(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    async with (
        await LibtorrentSession.open(LOOPBACK) as seeder,
        await LibtorrentSession.open(replace(LOOPBACK, listen=())) as leecher,
    ):
        assert leecher.listen_port == 0
        await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        leech = await leecher.add(
            AddTorrent(
                source=payload.hybrid,
                save_path=tmp_path / "leech",
                peers=(Address("127.0.0.1", seeder.listen_port),),
            )
        )
        await until_finished(leech)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@asynchronous
async def test_ipv6_works(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    config = replace(LOOPBACK, listen=("[::1]:0",))
    async with await LibtorrentSession.open(config) as seeder, await LibtorrentSession.open(config) as leecher:
        await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        peer = Address("::1", seeder.listen_port)
        leech = await leecher.add(AddTorrent(source=payload.hybrid, save_path=tmp_path / "leech", peers=(peer,)))
        await until_finished(leech)
        assert [connected.address for connected in await leech.peers()] == [peer]
    assert tree_digests(tmp_path / "leech") == payload.digests


# --- nothing is left behind ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resources:
    """What a process holds.

    Attributes:
        files: Open files and sockets.
        python_threads: Threads that Python knows.
        threads: All threads.
    """

    files: int
    python_threads: int
    threads: int

    @classmethod
    async def settled(cls) -> Self:
        """What it holds now, with everything that asyncio makes once and keeps."""
        together = threading.Barrier(min(32, (os.cpu_count() or 1) + 4))
        await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(together.parties)))
        return cls.now()

    @classmethod
    def now(cls) -> Self:
        """What it holds now."""
        files, threads = (len(list(Path("/proc/self", name).iterdir())) for name in ("fd", "task"))
        return cls(files, threading.active_count(), threads)

    async def until_no_more(self) -> None:
        """Waits until nothing is held beyond this: the kernel takes a moment to bury a thread."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.covers(self.now()):  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(0.01)

    def covers(self, other: Self) -> bool:
        """The other is no more of anything."""
        return (
            other.files <= self.files and other.python_threads <= self.python_threads and other.threads <= self.threads
        )


@asynchronous
async def test_fifty_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")

    async def live_once() -> None:
        async with await LibtorrentSession.open(LOOPBACK) as session:
            torrent = await session.add(
                AddTorrent(
                    source=payload.hybrid, save_path=payload.folder, web_seeds=("http://localhost:1/",), seed=True
                )
            )
            await until_checked(torrent)

    for _ in range(5):  # what is made once and kept, such as asyncio's own threads
        await live_once()
    before = await Resources.settled()
    for _ in range(50):
        await live_once()
    await before.until_no_more()


@asynchronous
async def test_a_session_that_fails_to_start_leaves_nothing_behind() -> None:
    config = replace(LOOPBACK, listen=("203.0.113.1:0",))
    for _ in range(3):
        with pytest.raises(SwarmError):
            await LibtorrentSession.open(config)
    before = await Resources.settled()
    for _ in range(5):
        with pytest.raises(SwarmError):
            await LibtorrentSession.open(config)
    await before.until_no_more()


@asynchronous
async def test_an_opening_that_is_cancelled_leaves_nothing_behind() -> None:
    async with await LibtorrentSession.open(LOOPBACK):
        pass
    before = await Resources.settled()
    for turns in (0, 1, 2, 5, 20):
        opening = asyncio.create_task(LibtorrentSession.open(LOOPBACK))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close()
    await before.until_no_more()


@asynchronous
async def test_closing_ends_whoever_still_waits(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    session = await LibtorrentSession.open(LOOPBACK)
    torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    waiting = [asyncio.create_task(torrent.resume_data()) for _ in range(3)]
    waiting.append(asyncio.create_task(torrent.resume_data()))
    await asyncio.sleep(0)
    await asyncio.gather(session.close(), session.close())
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, bytes | SwarmError)


@asynchronous
async def test_what_others_say_of_its_address_is_its_public_address() -> None:
    """No network here has a public address; so the news is what libtorrent's alert becomes."""
    async with await LibtorrentSession.open(LOOPBACK) as session:
        assert session.public_address is None
        session._route(Routed((), PublicAddress("192.0.2.7")))  # pyright: ignore[reportPrivateUsage]
        assert session.public_address == "192.0.2.7"
