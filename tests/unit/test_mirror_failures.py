"""Why a request failed is said in plain words, and without what requests wraps around the cause."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import requests
import trustme
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ReadTimeoutError

from ossdist.config import FetchConfig
from ossdist.errors import MirrorError
from ossdist.mirrors.documents import HttpDocuments
from ossdist.mirrors.failures import reason
from tests.asynchronous import asynchronous

if TYPE_CHECKING:
    from pathlib import Path

QUICK = FetchConfig(connect_timeout_s=1, read_timeout_s=0.3, total_timeout_s=5)


def words(error: BaseException) -> str:
    return reason(error, connect_timeout_s=5, read_timeout_s=2.5)


async def refusal(address: str, config: FetchConfig = QUICK) -> str:
    """The reason for which a document cannot be had."""
    documents = HttpDocuments(address, config)
    try:
        with pytest.raises(MirrorError) as caught:
            await documents.fetch("channel.json", limit_bytes=1000)
    finally:
        await documents.close()
    assert str(caught.value) == f"{address}/channel.json: {caught.value.reason}. Try again later or use another mirror."
    return caught.value.reason


async def refusal_of(answer: bytes, tls: ssl.SSLContext | None, scheme: str, config: FetchConfig = QUICK) -> str:
    """The same of a server that gives this answer to everybody."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with listening:
        return await refusal(f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}", config)


# --- real failures ---------------------------------------------------------------------------------------


@asynchronous
async def test_nobody_listens() -> None:
    assert await refusal("http://127.0.0.1:1") == "connection refused"


def test_the_proxy_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        assert await refusal("http://mirror.example") == "through the proxy: connection refused"

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    check()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (socket.EAI_NONAME, "name not found: mirror.example"),
        (socket.EAI_AGAIN, "name cannot be looked up now: mirror.example"),
    ],
)
def test_the_name_has_no_address(monkeypatch: pytest.MonkeyPatch, number: int, expected: str) -> None:
    def fail(*_: object, **__: object) -> object:
        raise socket.gaierror(number, "as the resolver says")

    @asynchronous
    async def check() -> None:
        documents = HttpDocuments("http://mirror.example", QUICK)
        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(MirrorError) as caught:
            await documents.fetch("x", limit_bytes=1)
        assert caught.value.reason == expected

    check()


@asynchronous
async def test_the_certificate_is_not_trusted_or_is_another_hosts(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mirror.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context.load_cert_chain(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    untrusted = await refusal_of(b"", context, "https")
    assert untrusted == "TLS certificate not trusted: unable to get local issuer certificate"
    other = await refusal_of(b"", context, "https", FetchConfig(ca_bundle=tmp_path / "ca.pem"))
    assert other.startswith("TLS certificate not trusted: IP address mismatch")


@asynchronous
async def test_the_server_does_not_speak_tls() -> None:
    assert await refusal_of(b"HTTP/1.1 400 Bad\r\n\r\n", None, "https") == "no TLS connection: wrong version number"


@asynchronous
async def test_an_answer_that_is_not_http_is_quoted_in_one_short_line() -> None:
    said = await refusal_of(b"x" * 1000 + b"\r\n\r\n", None, "http")
    assert said.startswith("the answer is not HTTP: xxx")
    assert len(said) < 300


@asynchronous
async def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    config = FetchConfig(ca_bundle=tmp_path / "none.pem")
    assert "none.pem" in await refusal("https://127.0.0.1:1", config)


# --- what no server on this machine can cause ------------------------------------------------------------


def because(error: Exception, cause: Exception) -> Exception:
    """The error as ``raise error from cause`` leaves it."""
    error.__cause__ = cause
    return error


def test_a_connection_that_does_not_come_about_in_time() -> None:
    connection = HTTPConnection("mirror.example")
    late = because(ConnectTimeoutError(connection, "timed out (connect timeout=5)"), TimeoutError("timed out"))
    outer = requests.ConnectTimeout(MaxRetryError(None, "/x", late))  # pyright: ignore[reportArgumentType]
    assert words(outer) == "no answer within 5 s"


def test_an_answer_that_does_not_come_in_time() -> None:
    late = because(ReadTimeoutError(None, "/x", "Read timed out."), TimeoutError("timed out"))  # pyright: ignore[reportArgumentType]
    assert words(requests.ReadTimeout(late)) == "no answer within 2.5 s"


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ETIMEDOUT])
def test_the_systems_words_for_a_network_that_fails(number: int) -> None:
    system = OSError(number, os.strerror(number))
    new = because(NewConnectionError(HTTPConnection("mirror.example"), f"no connection: {system}"), system)
    said = words(requests.ConnectionError(MaxRetryError(None, "/x", new)))  # pyright: ignore[reportArgumentType]
    assert said.casefold() == os.strerror(number).casefold()
    assert said[0].islower()


def test_what_is_unknown_keeps_its_own_words() -> None:
    assert words(ValueError("two\nlines  and more")) == "two lines and more"
    assert words(ValueError()) == "ValueError"
    assert words(requests.ConnectionError(ValueError("the cause"))) == "the cause"
    assert words(requests.exceptions.InvalidURL("Failed to parse: 'a..b'")) == "not an address: 'a..b'"


def test_errors_in_a_circle_are_walked_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert words(first) == "second"
