"""Documents over HTTP and from folders: bounded in length and time, whatever the server does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trustme

from ossdist.config import FetchConfig
from ossdist.errors import MirrorError, NotFoundError, TooLargeError
from ossdist.mirrors.documents import FolderDocuments, HttpDocuments, open_documents
from tests.asynchronous import asynchronous
from tests.programs.nginx import Nginx

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

QUICK = FetchConfig(connect_timeout_s=1, read_timeout_s=0.3, total_timeout_s=1.0, redirects=3)
BODY = b"signed bytes\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + BODY


@dataclass
class ScriptedServer:
    """Answers each path with bytes as they are, then closes, holds, or drips.

    Attributes:
        url: Its address.
        asked: Request heads, in order.
    """

    answers: dict[str, bytes]
    hold: frozenset[str] = frozenset()
    drip: frozenset[str] = frozenset()
    url: str = ""
    asked: list[str] = field(default_factory=list[str])

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            path = head.split()[1]
            answer = self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            if path in self.drip:
                for byte in answer:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.05)  # this is the fault itself: a byte now and then
            writer.write(answer if path not in self.drip else b"")
            await writer.drain()
            if path in self.hold:
                await reader.read()  # until the client gives up
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(server: ScriptedServer) -> AsyncGenerator[ScriptedServer]:
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


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
        with pytest.raises(MirrorError, match="CERTIFICATE_VERIFY_FAILED"):
            await other.fetch("good", limit_bytes=1000)
        await other.close()


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503 Busy"),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 13\r\n\r\n" + BODY, "status 206"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY, "IncompleteRead|20 bytes announced"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 13\r\n\r\n" + BODY, "content coding 'gzip'"),
        (b"garbage\r\n\r\n", "BadStatusLine|ConnectionError"),
        (b"", "ConnectionError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "LineTooLong|header line"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "InvalidChunkLength|ChunkedEncodingError"),
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


@asynchronous
async def test_endless_data_is_cut_at_the_limit() -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 5_000_000
    async with serving(ScriptedServer({"/x": endless})) as server:
        with pytest.raises(TooLargeError) as caught:
            await fetch(server, "x", limit_bytes=10_000)
    assert caught.value.limit_bytes == 10_000


@asynchronous
async def test_silence_and_drip_feed_end_in_time() -> None:
    server = ScriptedServer({"/silent": b"", "/drip": GOOD}, hold=frozenset({"/silent"}), drip=frozenset({"/drip"}))
    async with serving(server):
        loop = asyncio.get_running_loop()
        for path, match in (("silent", "timed out|ReadTimeout"), ("drip", "longer than 1 s")):
            begin_s = loop.time()
            with pytest.raises(MirrorError, match=match):
                await fetch(server, path)
            assert loop.time() - begin_s < 5
