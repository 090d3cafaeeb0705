"""Fetches a channel's small documents from a folder or over HTTP, bounded in length and time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from ossdist.errors import MirrorError, NotFoundError, TooLargeError
from ossdist.mirrors import failures
from ossdist.release import layout
from ossdist.store.files import read_at_most

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from urllib3.connectionpool import ConnectionPool

    from ossdist.config import FetchConfig
    from ossdist.release.source import DocumentSource

_CHUNK_BYTES = 64 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FolderDocuments:
    """A channel's folder on this machine.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def address(self) -> str:
        """The folder's path."""
        return str(self._folder)

    async def fetch(self, path: str, *, limit_bytes: int) -> bytes:
        """Reads one document; see `DocumentSource.fetch`."""
        return await asyncio.to_thread(self._read, path, limit_bytes)

    async def close(self) -> None:
        """Does nothing."""

    def _read(self, path: str, limit_bytes: int) -> bytes:
        try:
            data = read_at_most(self._folder / path, limit_bytes + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(path, self.address) from error
        except OSError as error:
            raise MirrorError(str(self._folder / path), error.strerror or str(error)) from error
        if len(data) > limit_bytes:
            raise TooLargeError(str(self._folder / path), limit_bytes)
        return data


class HttpDocuments:
    """A channel's folder behind an HTTP server.

    Args:
        base: Its address.
        config: Time-outs, redirects, certificates.
    """

    def __init__(self, base: str, config: FetchConfig) -> None:
        self._base = base.rstrip("/")
        self._config = config
        self._session = _Session()
        # What is signed is what is stored: a content coding would hide its length.
        self._session.headers["Accept-Encoding"] = "identity"
        # A server may close a kept connection at the very moment at which we use it again.
        once_more = Retry(total=1, connect=0, redirect=0, status=0, other=0, respect_retry_after_header=False)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _WatchedAdapter(max_retries=once_more))
        # Given with each request: requests lets an environment variable override the session's own.
        self._verify = str(config.ca_bundle) if config.ca_bundle is not None else True

    @property
    def address(self) -> str:
        """The base address."""
        return self._base

    async def fetch(self, path: str, *, limit_bytes: int) -> bytes:
        """Reads one document; see `DocumentSource.fetch`."""
        url = layout.url(self._base, path)
        request = _Request()
        try:
            async with asyncio.timeout(self._config.total_timeout_s):
                return await asyncio.to_thread(self._get, request, url, limit_bytes)
        except TimeoutError as error:
            raise MirrorError(url, f"took longer than {self._config.total_timeout_s:.0f} s") from error
        finally:
            request.stop()  # cancelled or late, the thread must not go on

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.to_thread(self._session.close)

    def _get(self, request: _Request, url: str, limit_bytes: int) -> bytes:
        _running.set(request)  # the thread runs in a copy of its caller's context
        try:
            return self._follow(url, limit_bytes)
        # An address that a server sends us can be wrong in ways that requests has no exception for.
        except (OSError, ValueError, HTTPError) as error:
            waited = {
                "connect_timeout_s": self._config.connect_timeout_s,
                "read_timeout_s": self._config.read_timeout_s,
            }
            raise MirrorError(url, failures.reason(error, **waited)) from error
        finally:
            request.finish()

    def _follow(self, url: str, limit_bytes: int) -> bytes:
        address = url
        for _ in range(self._config.redirects + 1):
            with self._session.get(
                address,
                stream=True,
                allow_redirects=False,
                verify=self._verify,
                timeout=(self._config.connect_timeout_s, self._config.read_timeout_s),
            ) as response:
                if response.status_code not in _REDIRECTS:
                    return self._body(response, url, limit_bytes)
                location = response.headers.get("Location", "")
            target = urljoin(address, location.encode("latin-1").decode("utf-8"))
            if urlsplit(target).scheme not in _allowed_next(urlsplit(address).scheme):
                raise MirrorError(url, f"redirected to {target!r}, which is not allowed")
            address = target
        raise MirrorError(url, f"more than {self._config.redirects} redirects")

    def _body(self, response: requests.Response, url: str, limit_bytes: int) -> bytes:
        if response.status_code in {404, 410}:
            raise NotFoundError(url, self._base)
        if response.status_code != 200:
            raise MirrorError(url, f"status {response.status_code} {response.reason}")
        coding = response.headers.get("Content-Encoding", "identity")
        if coding != "identity":
            raise MirrorError(url, f"sent with content coding {coding!r}, which was not asked for")
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > limit_bytes:
                raise TooLargeError(url, limit_bytes)
        declared = response.headers.get("Content-Length")
        if declared is not None and declared != str(len(body)):
            raise MirrorError(url, f"{declared} bytes announced, {len(body)} came")
        return bytes(body)


class _Session(requests.Session):
    """Leaves redirects to us: requests would read such an answer's body first, however long it is."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # inherited
        return None


# --- ending a request from outside -----------------------------------------------------------------------


class _StoppedError(Exception):
    """Ends a thread whose caller has gone."""


class _Request:
    """What one fetch does in its worker thread. A thread cannot be cancelled, but the socket that it waits for can.

    Looking up a name and connecting are not interrupted; they have time-outs of their own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._socket: socket.socket | None = None

    def watch(self, connection: socket.socket) -> None:
        """Remembers the connection that the thread is going to wait for.

        Raises:
            _StoppedError: There is no need to go on.
        """
        with self._lock:
            self._let_go()
            if self._stopped:
                raise _StoppedError
            # A descriptor of our own outlives the exchange of the socket for one with TLS.
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))

    def finish(self) -> None:
        """Forgets the connection: it may serve another request now."""
        with self._lock:
            self._let_go()

    def stop(self) -> None:
        """Shuts the connection down, and lets no other be made."""
        with self._lock:
            self._stopped = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            self._let_go()

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


_running: ContextVar[_Request] = ContextVar("_running")


class _Watched(HTTPConnection):
    """Tells the running request about its socket, before anything is read from it."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        try:
            _running.get().watch(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def putrequest(
        self,
        method: str,
        url: str,
        skip_host: bool = False,  # noqa: FBT001, FBT002  # inherited
        skip_accept_encoding: bool = False,  # noqa: FBT001, FBT002  # inherited
    ) -> None:
        if self.sock is not None:  # kept from an earlier request
            _running.get().watch(self.sock)
        super().putrequest(method, url, skip_host, skip_accept_encoding)


class _WatchedTls(_Watched, HTTPSConnection):
    """The same with TLS."""


_WATCHED: dict[type, type[_Watched]] = {HTTPConnection: _Watched, HTTPSConnection: _WatchedTls}


class _WatchedAdapter(HTTPAdapter):
    """Makes connections that can be ended from outside, to servers and to HTTP proxies."""

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001  # inherited
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> ConnectionPool:
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if isinstance(pool, HTTPConnectionPool):
            watched = _WATCHED.get(pool.ConnectionCls, pool.ConnectionCls)
            # urllib3 declares a protocol here that its own classes do not match in the letter.
            pool.ConnectionCls = watched  # pyright: ignore[reportAttributeAccessIssue]
        return pool


def open_documents(channel: str | Path, config: FetchConfig) -> DocumentSource:
    """The documents of a channel, by its address or folder.

    Raises:
        ValueError: The address is neither http nor https.
    """
    if isinstance(channel, str):
        scheme = urlsplit(channel).scheme
        if scheme not in {"http", "https"}:
            raise ValueError(f"{channel!r} is neither an http nor an https address; give a folder as a Path")
        return HttpDocuments(channel, config)
    return FolderDocuments(channel)


def _allowed_next(scheme: str) -> frozenset[str]:
    return frozenset({"https"}) if scheme == "https" else frozenset({"http", "https"})
