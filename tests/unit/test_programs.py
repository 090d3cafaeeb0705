"""The drivers of real programs start, answer, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import libtorrent as lt
import pytest
import trustme

from tests.asynchronous import asynchronous
from tests.programs import (
    Aria2,
    Nginx,
    Opentracker,
    ProgramError,
    QBittorrent,
    Request,
    Transmission,
    free_ports,
    installed,
    listens,
    make_file,
    make_tree,
    mktorrent,
    transmission_create,
    tree_digests,
)
from tests.programs.http import fetch

if TYPE_CHECKING:
    from pathlib import Path


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if not installed(program)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


# --- ports and payload -----------------------------------------------------------------------------------


def test_free_ports_are_different_and_can_be_taken() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(family, kind) as taken:
                    taken.bind((host, port))


def test_payload_is_the_same_on_every_run(tmp_path: Path) -> None:
    first = tree_digests(make_tree(tmp_path / "a", 300_000, seed=1))
    assert tree_digests(make_tree(tmp_path / "b", 300_000, seed=1)) == first
    other = tree_digests(make_tree(tmp_path / "c", 300_000, seed=2))
    assert {path for path in first if other[path] == first[path]} == {"doc/empty.txt"}
    assert any(not path.isascii() for path in first)


def test_file_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    for size in (0, 1, 3_000_001):
        assert make_file(tmp_path / "f", size).stat().st_size == size


# --- nginx -----------------------------------------------------------------------------------------------


@needs("nginx")
@asynchronous
async def test_nginx_serves_ranges_unless_told_otherwise(tmp_path: Path) -> None:
    data = make_file(tmp_path / "root/a.bin", 10_000).read_bytes()
    part = {"Range": "bytes=100-199"}
    async with Nginx(tmp_path / "on", tmp_path / "root") as mirror:
        answer = await fetch(f"{mirror.url}a.bin", headers=part)
        assert (answer.status, answer.body) == (206, data[100:200])
        assert (await fetch(f"{mirror.url}missing")).status == 404
        asked = await mirror.until(lambda: _asked(mirror, 2), "to log", timeout_s=5)
        assert asked[0] == Request("GET", "/a.bin", 206, 100, "bytes=100-199")
        assert asked[1].status == 404
    async with Nginx(tmp_path / "off", tmp_path / "root", ranges=False, host="::1") as mirror:
        answer = await fetch(f"{mirror.url}a.bin", headers=part)
        assert (answer.status, answer.body) == (200, data)


async def _asked(mirror: Nginx, count: int) -> list[Request]:
    asked = mirror.requests()
    return asked if len(asked) >= count else []


@needs("nginx")
@asynchronous
async def test_nginx_speaks_tls_limits_its_rate_and_takes_directives(tmp_path: Path) -> None:
    make_file(tmp_path / "root/a.bin", 60_000)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "tls.pem"))
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    pem = tmp_path / "tls.pem"

    async with Nginx(
        tmp_path / "nginx",
        tmp_path / "root",
        rate_bytes_per_s=100_000,
        certificate=pem,
        key=pem,
        location="add_header X-Test yes;",
        server="location /busy { return 503; }",
    ) as mirror:
        started = time.monotonic()
        answer = await fetch(f"{mirror.url}a.bin", context=context)
        assert (len(answer.body), answer.headers["x-test"]) == (60_000, "yes")
        assert time.monotonic() - started > 0.3
        assert (await fetch(f"{mirror.url}busy", context=context)).status == 503
        with pytest.raises(ssl.SSLCertVerificationError):
            await fetch(f"{mirror.url}a.bin", context=ssl.create_default_context())


@needs("nginx")
@asynchronous
async def test_nginx_can_be_killed_and_started_again_at_the_same_address(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()

    async with Nginx(tmp_path / "nginx", tmp_path / "root") as mirror:
        mirror.signal(signal.SIGKILL)
        assert await mirror.ended(timeout_s=5) == -signal.SIGKILL
        assert not await listens(mirror.host, mirror.port)
    async with Nginx(tmp_path / "nginx", tmp_path / "root", port=mirror.port) as again:
        assert again.url == mirror.url


# --- trackers --------------------------------------------------------------------------------------------


@needs("opentracker")
@asynchronous
async def test_opentracker_serves_what_is_allowed_over_http_and_udp(tmp_path: Path) -> None:
    first, second = "ab" * 20, "cd" * 20

    async with Opentracker(tmp_path / "tracker", allow=[first]) as tracker:
        assert b"5:peers" in await _announce(tracker, first)
        assert b"failure reason" in await _announce(tracker, second)
        await tracker.allow(second)
        assert b"5:peers" in await _announce(tracker, second)
        assert await tracker.counts(first) == (1, 0)
        assert await asyncio.to_thread(_udp_connects, tracker)


async def _announce(tracker: Opentracker, info_hash: str) -> bytes:
    query = f"info_hash={quote(bytes.fromhex(info_hash))}&peer_id={'p' * 20}&port=4000&left=0"
    return (await fetch(f"{tracker.http_url}?{query}")).body


def _udp_connects(tracker: Opentracker) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        peer.sendto(struct.pack(">QII", 0x41727101980, 0, 7), (tracker.host, tracker.port))
        action, transaction, _ = struct.unpack(">IIQ", peer.recv(16))
    return (action, transaction) == (0, 7)


# --- torrents and clients --------------------------------------------------------------------------------


@needs("mktorrent", "transmission-create")
@asynchronous
async def test_torrents_are_made(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 200_000)

    await mktorrent(tree, tmp_path / "a.torrent")  # the second one replaces it
    made = await mktorrent(tree, tmp_path / "a.torrent", piece_length_bytes=1 << 15, web_seeds=["http://127.0.0.1:1/"])
    other = await transmission_create(
        tree, tmp_path / "b.torrent", piece_length_bytes=1 << 15, trackers=["http://127.0.0.1:1/announce"]
    )
    for torrent, files in ((made, 6), (other, 5)):
        info = lt.load_torrent_buffer(torrent).ti
        assert info is not None
        assert (info.name(), info.piece_length(), info.num_files()) == ("tree", 1 << 15, files)


@needs("aria2c", "qbittorrent-nox", "transmission-daemon", "opentracker", "mktorrent")
@asynchronous
async def test_clients_pass_a_torrent_on(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 2_000_000)
    digests = tree_digests(tree)

    async with contextlib.AsyncExitStack() as stack:
        tracker = await stack.enter_async_context(Opentracker(tmp_path / "tracker"))
        torrent = await mktorrent(tree, tmp_path / "t.torrent", trackers=[tracker.http_url])
        info_hash = str(lt.load_torrent_buffer(torrent).info_hashes.v1)
        await tracker.allow(info_hash)
        aria = await stack.enter_async_context(Aria2(tmp_path / "aria"))
        bittorrent = await stack.enter_async_context(QBittorrent(tmp_path / "qb"))
        transmission = await stack.enter_async_context(Transmission(tmp_path / "tr"))

        source = await transmission.add_torrent(torrent, save_path=tmp_path, seed=True)
        await transmission.complete(source, timeout_s=20)
        source = await aria.add_torrent(torrent, save_path=tmp_path, seed=True)
        await aria.complete(source, timeout_s=20)

        copy = await bittorrent.add_torrent(torrent, save_path=tmp_path / "copy")
        await bittorrent.add_peers(copy, [aria.peer])
        status = await bittorrent.complete(copy, timeout_s=30)
        assert (status.fraction, status.error) == (1, "")
        assert tree_digests(tmp_path / "copy/tree") == digests

        magnet = f"magnet:?xt=urn:btih:{info_hash}&tr={quote(tracker.http_url, safe='')}"
        second = await stack.enter_async_context(Aria2(tmp_path / "aria2"))
        copy = await second.add_magnet(magnet, save_path=tmp_path / "magnet")
        await second.complete(copy, timeout_s=30)
        assert tree_digests(tmp_path / "magnet/tree") == digests


@needs("qbittorrent-nox", "transmission-daemon", "aria2c")
@asynchronous
async def test_clients_refuse_what_is_no_torrent(tmp_path: Path) -> None:
    async with Transmission(tmp_path / "tr") as transmission:
        with pytest.raises(ProgramError, match="refused torrent-add"):
            await transmission.add_torrent(b"nonsense", save_path=tmp_path)
    async with QBittorrent(tmp_path / "qb") as bittorrent:
        with pytest.raises(ProgramError, match="torrents/add"):
            await bittorrent.add_torrent(b"nonsense", save_path=tmp_path)
    async with Aria2(tmp_path / "aria") as aria:
        with pytest.raises(ProgramError, match=r"refused aria2\.addTorrent"):
            await aria.add_torrent(b"nonsense", save_path=tmp_path)


@needs("aria2c", "nginx")
@asynchronous
async def test_aria2_downloads_over_http_and_from_a_metalink(tmp_path: Path) -> None:
    data = make_file(tmp_path / "root/a.bin", 100_000).read_bytes()

    async with Nginx(tmp_path / "ng", tmp_path / "root") as mirror, Aria2(tmp_path / "aria") as aria:
        key = await aria.add_urls([f"{mirror.url}a.bin"], save_path=tmp_path / "one")
        await aria.complete(key, timeout_s=20)
        metalink = (
            '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="b.bin">'
            f"<size>{len(data)}</size><url>{mirror.url}a.bin</url></file></metalink>"
        )
        (key,) = await aria.add_metalink(metalink.encode(), save_path=tmp_path / "two")
        await aria.complete(key, timeout_s=20)
    assert (tmp_path / "one/a.bin").read_bytes() == data
    assert (tmp_path / "two/b.bin").read_bytes() == data
