"""Why a request failed, in plain words: what requests and urllib3 wrap around the cause is left out. Pure."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from requests.exceptions import InvalidURL
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from ossdist.errors import MirrorFault
from ossdist.foreign_text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator


def reason(error: BaseException, *, connect_timeout_s: float, read_timeout_s: float) -> str:
    """Why a request failed.

    Args:
        error: What requests, urllib3 or the system raised.
        connect_timeout_s: How long was waited for the connection.
        read_timeout_s: How long was waited for each answer.
    """
    chain = list(_chain(error))
    host = next((found.conn.host for found in chain if isinstance(found, NewConnectionError)), "")
    # What lies deepest is the cause; what was made of it on the way up says less.
    said = next((words for found in reversed(chain) if (words := _words(found, host))), None)
    for found in chain:
        if isinstance(found, ReadTimeoutError):
            said = f"no answer within {read_timeout_s:g} s"
        elif isinstance(found, ConnectTimeoutError) and not isinstance(found, NewConnectionError):
            said = f"no answer within {connect_timeout_s:g} s"
    proxy = "through the proxy: " if any(isinstance(found, ProxyError) for found in chain) else ""
    return proxy + (said or _short(chain[-1]))


def fault(error: BaseException) -> MirrorFault:
    """What kind of failure it was; see `reason`."""
    chain = list(_chain(error))
    kinds: tuple[tuple[tuple[type[BaseException], ...], MirrorFault], ...] = (
        ((ssl.SSLError,), MirrorFault.TLS),
        ((NewConnectionError,), MirrorFault.UNREACHABLE),
        ((ReadTimeoutError, ConnectTimeoutError, TimeoutError), MirrorFault.SILENT),
        ((http.client.IncompleteRead,), MirrorFault.CUT_SHORT),
        ((http.client.RemoteDisconnected,), MirrorFault.UNREACHABLE),
        ((LocationParseError, InvalidURL), MirrorFault.REDIRECT),
        ((http.client.HTTPException,), MirrorFault.BROKEN),
    )
    for types, kind in kinds:
        if any(isinstance(found, types) for found in chain):
            return kind
    return MirrorFault.UNREACHABLE


def status_fault(status: int) -> MirrorFault:
    """What kind of failure an HTTP status is, of those that say that there will be no such body."""
    if status in {404, 410}:
        return MirrorFault.NOT_FOUND
    if status in {429, 503}:
        return MirrorFault.BUSY
    return MirrorFault.REFUSED if 400 <= status < 500 else MirrorFault.BROKEN


def retry_after_s(value: str | None, date: str | None) -> float | None:
    """What a ``Retry-After`` field says (RFC 9110, section 10.2.3), in seconds; None if it says nothing.

    Args:
        value: The field: seconds, or a date.
        date: The answer's ``Date``, with which a date is compared: the server's clock may be another than ours.
    """
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value) is not None:
        return float(value)
    try:
        then, now = parsedate_to_datetime(value), parsedate_to_datetime(date or "")
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError):  # no date, or one has a zone and the other has not
        return None


def too_slow(received_bytes: int, elapsed_s: float, *, min_bytes_per_s: float, grace_s: float) -> str | None:
    """Why a document that comes so slowly is given up (TUF's slow retrieval attack); None if it is not.

    Args:
        received_bytes: How much of it has come; its head does not count.
        elapsed_s: Since it was asked for.
        min_bytes_per_s: What it has to reach on average, and `grace_s` to get there.
        grace_s: For so long, nothing is said.
    """
    if elapsed_s < grace_s or received_bytes >= min_bytes_per_s * elapsed_s:
        return None
    least = f"{min_bytes_per_s:g} a second (FetchConfig.min_bytes_per_s)"
    return f"{received_bytes} bytes within {elapsed_s:.1f} s are less than {least}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was made of, from the outermost to the cause."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        inside = (getattr(found, "reason", None), *found.args, found.__cause__)
        found = next((part for part in inside if isinstance(part, BaseException)), None)


def _words(error: BaseException, host: str) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            words = f"TLS certificate not trusted: {error.verify_message.rstrip('.')}"
        case ssl.SSLError() if error.reason:
            words = f"no TLS connection: {error.reason.replace('_', ' ').lower()}"
        case socket.gaierror() if error.errno == socket.EAI_AGAIN:
            words = f"name cannot be looked up now: {host}"
        case socket.gaierror():
            words = f"name not found: {host}"
        case http.client.RemoteDisconnected():
            words = "the server closed the connection without an answer"
        case http.client.IncompleteRead():
            words = "the answer broke off before its announced end"
        case http.client.HTTPException():
            words = f"the answer is not HTTP: {_short(error)}"
        case LocationParseError() | InvalidURL():
            words = f"not an address: {_short(error).removeprefix('Failed to parse: ')}"
        case OSError() if error.errno is not None and error.strerror:
            words = error.strerror[0].lower() + error.strerror[1:]
        case _:
            words = None
    return words


def _short(error: BaseException) -> str:
    return shown(str(error)) or type(error).__name__
