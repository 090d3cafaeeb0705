"""Documents over HTTP and from folders: bounded in length and time, whatever the server does."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trustme

from ossdist.config import FetchConfig
from ossdist.errors import MirrorError, NotFoundError, TooLargeError
from ossdist.mirrors.documents import FolderDocuments, HttpDocuments, open_documents
from ossdist.release.source import DocumentSource
from tests.asynchronous import asynchronous
from tests.programs.nginx import Nginx
from tests.scripted_server import ScriptedServer, serving

if TYPE_CHECKING:
    from pathlib import Path

QUICK = FetchConfig(connect_timeout_s=1, read_timeout_s=0.3, total_timeout_s=1.0, redirects=3)
BODY = b"signed bytes\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + BODY
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def fetch(server: ScriptedServer, path: str, *, limit_bytes: int = 1000) -> bytes:
    documents = HttpDocuments(server.url, QUICK)
    try:
        return await documents.fetch(path, limit_bytes=limit_bytes)
    finally:
        await documents.close()


@asynchronous
async def test_folder_and_http_give_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "channel"
    (folder / "releases" / "a%3ab").mkdir(parents=True)
    (folder / "releases" / "a%3ab" / "release.json").write_bytes(BODY)
    async with Nginx(tmp_path / "nginx", folder) as server:
        for documents in (FolderDocuments(folder), HttpDocuments(server.url, QUICK)):
            assert await documents.fetch("releases/a%3ab/release.json", limit_bytes=len(BODY)) == BODY
            with pytest.raises(TooLargeError, match="longer than the 5 bytes"):
                await documents.fetch("releases/a%3ab/release.json", limit_bytes=5)
            with pytest.raises(NotFoundError):
                await documents.fetch("releases/none.json", limit_bytes=5)
            await documents.close()


@asynchronous
async def test_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    documents = FolderDocuments(tmp_path)
    assert documents.address == str(tmp_path)
    with pytest.raises(MirrorError, match="directory"):
        await documents.fetch("folder", limit_bytes=5)
    await documents.close()


def test_other_schemes_are_a_callers_mistake(tmp_path: Path) -> None:
    assert isinstance(open_documents(tmp_path, QUICK), FolderDocuments)
    for channel in (tmp_path, "https://mirror.example/oss/"):
        assert isinstance(open_documents(channel, QUICK), DocumentSource)
    assert open_documents("https://mirror.example/oss/", QUICK).address == "https://mirror.example/oss"
    for address in ("ftp://mirror.example/", "/var/lib/channel", "file:///var"):
        with pytest.raises(ValueError, match="give a folder as a Path"):
            open_documents(address, QUICK)


@asynchronous
async def test_redirects_are_followed_and_bounded() -> None:
    answers = {
        "/moved": b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n",
        "/good": GOOD,
        "/loop": b"HTTP/1.1 301 Moved\r\nLocation: loop\r\nContent-Length: 0\r\n\r\n",
        "/nowhere": b"HTTP/1.1 307 Go\r\nContent-Length: 0\r\nLocation: ftp://127.0.0.1/x\r\n\r\n",
    }
    async with serving(ScriptedServer(answers)) as server:
        assert await fetch(server, "moved") == BODY
        with pytest.raises(MirrorError, match="more than 3 redirects"):
            await fetch(server, "loop")
        with pytest.raises(MirrorError, match=r"redirected to 'ftp://127\.0\.0\.1/x', which is not allowed"):
            await fetch(server, "nowhere")
        assert len([head for head in server.asked if " /loop " in head]) == 4


@asynchronous
async def test_https_is_verified_and_never_left(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    paths = {name: tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")}
    authority.cert_pem.write_to_path(paths["ca.pem"])
    certificate.cert_chain_pems[0].write_to_path(paths["cert.pem"])
    certificate.private_key_pem.write_to_path(paths["key.pem"])
    folder = tmp_path / "channel"
    folder.mkdir()
    (folder / "good").write_bytes(BODY)
    plain = "http://127.0.0.1:1/good"
    async with Nginx(
        tmp_path / "nginx",
        folder,
        certificate=paths["cert.pem"],
        key=paths["key.pem"],
        server=f"location /down {{ return 302 {plain}; }}",
    ) as server:
        trusting = HttpDocuments(server.url, FetchConfig(ca_bundle=paths["ca.pem"]))
        assert await trusting.fetch("good", limit_bytes=1000) == BODY
        with pytest.raises(MirrorError, match="redirected to 'http://"):
            await trusting.fetch("down", limit_bytes=1000)
        await trusting.close()
        other = HttpDocuments(server.url, QUICK)
        with pytest.raises(MirrorError, match="TLS certificate not trusted: unable to get local issuer certificate"):
            await other.fetch("good", limit_bytes=1000)
        await other.close()


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503 Busy"),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 13\r\n\r\n" + BODY, "status 206"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY, "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 13\r\n\r\n" + BODY, "content coding 'gzip'"),
        (b"garbage\r\n\r\n", "not HTTP: garbage"),
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "not HTTP: .* header line"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "not HTTP: .* more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broke off"),
        (CHUNKED + b"2\r\nzz\r\n", "broke off"),
        (b"HTTP/1.1 200 " + b"y" * 5_000_000 + b"\r\n\r\n", "not HTTP: .* status line"),
        (CHUNKED + b"2;" + b"y" * 5_000_000 + b"\r\nzz\r\n0\r\n\r\n", "not HTTP: .* chunk size"),
        (CHUNKED + b"2\r\nzz\r\n0\r\nX: " + b"y" * 5_000_000 + b"\r\n\r\n", "not HTTP: .* trailer line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 13\r\n\r\n" + BODY, "Content-Length .* multiple"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + BODY, "-1 bytes announced, 13 came"),
    ],
)
@asynchronous
async def test_answers_that_are_no_document(answer: bytes, match: str) -> None:
    async with serving(ScriptedServer({"/x": answer})) as server:
        with pytest.raises(MirrorError, match=match):
            await fetch(server, "x")


@asynchronous
async def test_gone_is_not_found() -> None:
    async with serving(ScriptedServer({"/x": b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"})) as server:
        with pytest.raises(NotFoundError):
            await fetch(server, "x")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 5_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"z" * 5_000_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b"z" * 4096 + b"\r\n") * 1000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n" + b"z" * 5_000_000,
        # Announced lengths that lie, or are none.
        b"HTTP/1.1 200 OK\r\nContent-Length: 1152921504606846976\r\n\r\n" + b"z" * 5_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + b"z" * 5_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + b"z" * 5_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n4c4b40\r\n" + b"z" * 5_000_000,
    ],
)
@asynchronous
async def test_endless_data_is_cut_at_the_limit(answer: bytes) -> None:
    async with serving(ScriptedServer({"/x": answer})) as server:
        with pytest.raises(TooLargeError) as caught:
            await fetch(server, "x", limit_bytes=10_000)
    assert caught.value.limit_bytes == 10_000


@asynchronous
async def test_no_more_is_taken_than_was_announced() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + BODY + b"z" * 5_000_000
    async with serving(ScriptedServer({"/x": answer})) as server:
        assert await fetch(server, "x", limit_bytes=len(BODY)) == BODY


BOMB = gzip.compress(bytes(50_000_000))
"""50 kB that would become 50 MB."""


@asynchronous
async def test_a_gzip_bomb_is_never_inflated() -> None:
    content = b"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\n\r\n" + BOMB
    transfer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + BOMB
    async with serving(ScriptedServer({"/content": content, "/transfer": transfer})) as server:
        with pytest.raises(MirrorError, match="content coding 'GZIP'"):
            await fetch(server, "content", limit_bytes=len(BOMB))
        assert await fetch(server, "transfer", limit_bytes=len(BOMB)) == BOMB  # no signature fits it
        assert all("Accept-Encoding: identity" in head for head in server.asked)


@asynchronous
async def test_silence_and_drip_feed_end_in_time() -> None:
    server = ScriptedServer({"/silent": b"", "/drip": GOOD}, hold=frozenset({"/silent"}), drip=frozenset({"/drip"}))
    async with serving(server):
        loop = asyncio.get_running_loop()
        for path, match in (("silent", r"/silent: no answer within 0\.3 s\. Try"), ("drip", "longer than 1 s")):
            begin_s = loop.time()
            with pytest.raises(MirrorError, match=match):
                await fetch(server, path)
            assert loop.time() - begin_s < 5


DRIPPED = {
    "/headers": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000 + b"\r\nContent-Length: 0\r\n\r\n",
    "/patience": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    "/body": b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"z" * 1000,
    "/endless": b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 1000,
}


async def threads_end(within_s: float) -> None:
    """The last of a test: no worker thread goes on."""
    await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), within_s)


async def ends_late_but_ends(documents: HttpDocuments, path: str) -> None:
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    with pytest.raises(MirrorError, match="longer than 1 s"):
        await documents.fetch(path, limit_bytes=1_000_000)
    await documents.close()
    await threads_end(1)
    assert loop.time() - begin_s < QUICK.total_timeout_s + 1


@pytest.mark.parametrize("path", DRIPPED)
@asynchronous
async def test_drip_feed_ends_in_time_with_its_thread(path: str) -> None:
    async with serving(ScriptedServer(DRIPPED, drip=frozenset(DRIPPED))) as server:
        await ends_late_but_ends(HttpDocuments(server.url, QUICK), path.lstrip("/"))


@pytest.mark.parametrize("path", DRIPPED)
@asynchronous
async def test_drip_feed_is_given_up_by_its_rate(path: str) -> None:
    # Each byte is in time for the read, and the total is far away: only the rate can end it.
    config = FetchConfig(read_timeout_s=60, total_timeout_s=30, min_bytes_per_s=1e12, min_rate_grace_s=0.1)
    async with serving(ScriptedServer(DRIPPED, drip=frozenset(DRIPPED))) as server:
        documents = HttpDocuments(server.url, config)
        with pytest.raises(MirrorError, match=r"less than 1e\+12 a second \(FetchConfig\.min_bytes_per_s\)"):
            await documents.fetch(path.lstrip("/"), limit_bytes=1_000_000)
        await documents.close()
        await threads_end(30)


@asynchronous
async def test_drip_feed_over_a_kept_connection_ends_in_time() -> None:
    answers = {**DRIPPED, "/x": GOOD}
    async with serving(ScriptedServer(answers, drip=frozenset(DRIPPED), keep=frozenset({"/x"}))) as server:
        documents = HttpDocuments(server.url, QUICK)
        assert await documents.fetch("x", limit_bytes=100) == BODY
        assert await documents.fetch("x", limit_bytes=100) == BODY
        await ends_late_but_ends(documents, "headers")
        assert server.connections == 1


@asynchronous
async def test_drip_feed_with_tls_ends_in_time(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context.load_cert_chain(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(ScriptedServer(DRIPPED, drip=frozenset(DRIPPED), tls=context)) as server:
        config = replace(QUICK, ca_bundle=tmp_path / "ca.pem")
        await ends_late_but_ends(HttpDocuments(server.url, config), "headers")


@asynchronous
async def test_cancelled_fetch_ends_its_thread() -> None:
    patient = FetchConfig(read_timeout_s=60, total_timeout_s=60)
    async with serving(ScriptedServer({"/silent": b""}, hold=frozenset({"/silent"}))) as server:
        documents = HttpDocuments(server.url, patient)
        fetching = asyncio.create_task(documents.fetch("silent", limit_bytes=5))
        await asyncio.wait_for(server.reached.wait(), 5)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        await asyncio.wait_for(server.left.wait(), 1)
        await documents.close()
        await threads_end(1)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "location",
    [b"http://[::1", b"http://a..b/", b"http://" + b"a" * 80 + b".example/", b"//\xff\xfe", b"/\xff", b"http://:x/"],
)
@asynchronous
async def test_redirects_to_no_address_are_the_mirrors_fault(location: bytes) -> None:
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    async with serving(ScriptedServer({"/x": answer})) as server:
        with pytest.raises(MirrorError):
            await fetch(server, "x")


@asynchronous
async def test_body_of_a_redirect_is_not_read() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 1000000000\r\n\r\n"
    async with serving(ScriptedServer({"/x": moved, "/good": GOOD}, hold=frozenset({"/x"}))) as server:
        assert await fetch(server, "x") == BODY


@asynchronous
async def test_redirect_to_a_name_beyond_ascii() -> None:
    moved = "HTTP/1.1 302 Found\r\nLocation: /größe\r\nContent-Length: 0\r\n\r\n".encode()
    async with serving(ScriptedServer({"/x": moved, "/gr%C3%B6%C3%9Fe": GOOD})) as server:
        assert await fetch(server, "x") == BODY


@asynchronous
async def test_pipe_in_a_folder_is_no_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MirrorError, match="no regular file"):
        await FolderDocuments(tmp_path).fetch("pipe", limit_bytes=5)


@asynchronous
async def test_a_servers_own_words_cannot_change_a_terminal() -> None:
    hostile = b"HTTP/1.1 503 \x1b[2J\x1b]0;root 1 accepted\x07" + b"good " * 1000 + b"\r\nContent-Length: 0\r\n\r\n"
    async with serving(ScriptedServer({"/x": hostile})) as server:
        with pytest.raises(MirrorError) as caught:
            await fetch(server, "x")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
