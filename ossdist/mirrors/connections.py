"""HTTP requests that can be ended from outside, and say how much has come.

requests blocks its thread. A thread cannot be cancelled, but the socket that it waits for can be shut down.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests
    from urllib3.connectionpool import ConnectionPool


class StoppedError(Exception):
    """Ends a thread whose caller has gone."""


class Request:
    """What one fetch does in its worker thread.

    Looking up a name and connecting are not interrupted; they have time-outs of their own.

    Attributes:
        received_bytes: How much of a document has come.
        begun_s: When its thread began (`time.monotonic`); None as long as it waits for one.
        connect_s: How long a new connection took, without TLS; None as long as an older one served.
    """

    def __init__(self) -> None:
        self.received_bytes = 0
        self.connect_s: float | None = None
        self.begun_s: float | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._socket: socket.socket | None = None

    def enter(self) -> None:
        """Makes this the request of the current context, which is the thread's own: connections tell it of theirs."""
        _running.set(self)
        self.begun_s = time.monotonic()

    def require_wanted(self) -> None:
        """Ends the thread if there is no need to go on.

        Raises:
            StoppedError: There is none.
        """
        if self._stopped:
            raise StoppedError

    def watch(self, connection: socket.socket) -> None:
        """Remembers the connection that the thread is going to wait for.

        Raises:
            StoppedError: There is no need to go on.
        """
        with self._lock:
            self._let_go()
            if self._stopped:
                raise StoppedError
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


_running: ContextVar[Request] = ContextVar("_running")


class _Watched(HTTPConnection):
    """Tells the running request about its socket, before anything is read from it."""

    def _new_conn(self) -> socket.socket:
        _running.get().require_wanted()  # a request that was stopped is not tried once more
        begin_s = time.monotonic()
        connection = super()._new_conn()
        _running.get().connect_s = time.monotonic() - begin_s
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


class WatchedAdapter(HTTPAdapter):
    """Makes connections that can be ended from outside, to servers and to HTTP proxies."""

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001  # inherited
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> ConnectionPool:
        """Gives the pool our connections."""
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if isinstance(pool, HTTPConnectionPool):
            watched = _WATCHED.get(pool.ConnectionCls, pool.ConnectionCls)
            # urllib3 declares a protocol here that its own classes do not match in the letter.
            pool.ConnectionCls = watched  # pyright: ignore[reportAttributeAccessIssue]
        return pool
