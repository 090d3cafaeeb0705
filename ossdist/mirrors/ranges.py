"""Parts of files over HTTP, checked as far as HTTP can be: status, range, length, coding. Hashes come elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from urllib3.exceptions import HTTPError

from ossdist.errors import MirrorError, MirrorFault
from ossdist.metalink.headers import digests
from ossdist.mirrors.connections import Request, StoppedError
from ossdist.mirrors.http import HttpClient, refusal, require_uncoded
from ossdist.mirrors.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from ossdist.config import FetchConfig
    from ossdist.mirrors.fetching import RangeRequest

_T = TypeVar("_T")

_CHUNK_BYTES = 1 << 20
_LIMITED_CHUNK_BYTES = 16 << 10
"""Under a limit: small portions, so that the rate is even."""

_SMALL_BYTES = 32 << 10
_COLLECT_S = 0.005

_MOST_STREAMS = 256
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class HttpPool:
    """Connections and threads that all fetchers of a client share.

    Args:
        config: Time-outs, redirects, certificates, proxies, credentials.
    """

    def __init__(self, config: FetchConfig) -> None:
        self.client = HttpClient(config)
        self.threads = ThreadPoolExecutor(_MOST_STREAMS, thread_name_prefix="ossdist-http")

    async def close(self) -> None:
        """Frees them; every stream must have been closed."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.threads.shutdown(wait=True)
        self.client.close()


class HttpRanges:
    """See `ossdist.mirrors.fetching.RangeFetcher`; every stream has a thread of its own while it reads.

    Args:
        pool: Connections and threads.
        mirror_bytes_per_s: The most that one mirror may bring; infinite for no limit.
    """

    def __init__(self, pool: HttpPool, *, mirror_bytes_per_s: float = math.inf) -> None:
        self._pool = pool
        self._total = TokenBucket(math.inf, now=time.monotonic)
        self._mirror_bytes_per_s = mirror_bytes_per_s
        self._mirrors: dict[str, TokenBucket] = {}

    def request(self, request: RangeRequest) -> HttpStream:
        """A request that is not sent yet."""
        own = self._mirrors.get(request.mirror)
        if own is None:
            own = self._mirrors[request.mirror] = TokenBucket(self._mirror_bytes_per_s, now=time.monotonic)
        return HttpStream(request, self._pool, (self._total, own))

    def limit(self, bytes_per_s: float) -> None:
        """Sets how much all streams together may bring from now on."""
        self._total.set_rate(bytes_per_s)


class HttpStream:
    """See `ossdist.mirrors.fetching.RangeStream`. Made by `HttpRanges.request` alone."""

    def __init__(
        self,
        request: RangeRequest,
        pool: HttpPool,
        limits: tuple[TokenBucket, ...],
    ) -> None:
        self.connect_s: float | None = None
        self.first_byte_s: float | None = None
        self.received_bytes = 0
        self.throttled = False
        self._request = request
        self._client = pool.client
        self._threads = pool.threads
        self._limits = limits
        self._running = Request()
        self._stopped = threading.Event()
        self._response: requests.Response | None = None
        self._unread = self._unwanted = 0

    async def open(self) -> None:
        """Sends the request, and waits for the head of the answer."""
        await self._in_thread(self._open)

    async def read_into(self, view: memoryview) -> None:
        """Fills a view with the next bytes."""
        await self._in_thread(lambda: self._read_into(view))

    def stop(self) -> None:
        """Ends it at once."""
        self._stopped.set()
        self._running.stop()

    async def close(self) -> None:
        """Lets go of the connection."""
        if self._unread:
            self.stop()  # what is still on its way is of no use to anybody
        await self._in_thread(self._let_go)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        """Runs it to its end: a thread cannot be cancelled, but its connection can be shut down."""
        context = contextvars.copy_context()
        running = asyncio.get_running_loop().run_in_executor(self._threads, context.run, work)
        try:
            return await asyncio.shield(running)
        except (StoppedError, MirrorError) as error:
            if isinstance(error, MirrorError) and not self._stopped.is_set():
                raise
            # A connection that is shut down fails in many ways; none of them is the server's fault.
            raise MirrorError(self._request.url, "was stopped") from None
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait([running])
            raise

    # --- in the thread -----------------------------------------------------------------------------------

    def _open(self) -> None:
        wanted, begin_s = self._request, time.monotonic()
        fields = {"Range": f"bytes={wanted.first}-{wanted.first + wanted.length - 1}"} if wanted.ranged else {}
        self._running.enter()
        response = self._response = self._client.get(self._running, wanted.url, fields)
        self.first_byte_s = time.monotonic() - begin_s
        self.connect_s = self._running.connect_s
        begins_at = _require_promised(wanted, response)
        self._unread = wanted.first + wanted.length - begins_at
        self._unwanted = wanted.first - begins_at

    def _read_into(self, view: memoryview) -> None:
        while self._unwanted > 0:
            count = len(self._next(self._unwanted))
            self._unwanted -= count
            self.received_bytes += count
        position = 0
        while position < len(view):
            part = self._next(len(view) - position)
            if len(part) < min(_SMALL_BYTES, len(view) - position):
                # A slow line gives a packet at a time; a pause lets the system collect some.
                self._stopped.wait(_COLLECT_S)
            view[position : position + len(part)] = part
            position += len(part)
            self.received_bytes += len(part)

    def _next(self, most: int) -> bytes:
        url = self._request.url
        limited = any(bucket.limited for bucket in self._limits)
        if self._stopped.is_set():
            raise MirrorError(url, "was stopped")
        assert self._response is not None  # noqa: S101  # `open` comes first
        try:
            part = self._response.raw.read1(min(most, _LIMITED_CHUNK_BYTES if limited else _CHUNK_BYTES))
        except (OSError, ValueError, HTTPError) as error:
            raise self._client.failure(url, error) from error
        if not part:
            reason = f"the body ended {self._unread} bytes early"
            raise MirrorError(url, reason, fault=MirrorFault.CUT_SHORT)
        self._unread -= len(part)
        if limited and (pause_s := max(bucket.take(len(part)) for bucket in self._limits)) > 0:
            self.throttled = True
            self._stopped.wait(pause_s)
            self.throttled = False
        return part

    def _let_go(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            if not self._unread and "Content-Length" in response.headers:
                with contextlib.suppress(OSError, HTTPError):
                    response.raw.read1(1)  # nothing comes, and so the connection goes back to its pool
            response.close()
        self._running.finish()


def _require_promised(wanted: RangeRequest, response: requests.Response) -> int:
    """Looks whether an answer promises the part that was asked for.

    An ``ETag`` says nothing: it may differ between mirrors that have the same bytes. Length and hashes are signed.

    Returns:
        Where its body begins in the file.

    Raises:
        MirrorError: It does not.
    """
    url, status = wanted.url, response.status_code
    _require_digest(wanted, response)
    whole = _number(response.headers.get("Content-Length"))
    if status == 206 and wanted.ranged:
        require_uncoded(url, response)
        _require_range(wanted, response.headers.get("Content-Range", ""), whole)
        return wanted.first
    if status == 200:
        _require_file(wanted, response, whole)
        if wanted.ranged and (wanted.first, wanted.length) != (0, wanted.total):
            raise MirrorError(url, "gives the whole file instead of the part", fault=MirrorFault.NO_RANGES)
        return 0
    if status == 416 or 200 <= status < 300:
        said = response.headers.get("Content-Range", "")
        if (found := re.fullmatch(r"bytes \*/([0-9]{1,18})", said)) and int(found[1]) != wanted.total:
            raise _wrong_length(wanted, int(found[1]))
        raise MirrorError(url, f"status {status} to a part that the file has", fault=MirrorFault.WRONG_RANGE)
    raise refusal(url, response)


def _require_digest(wanted: RangeRequest, response: requests.Response) -> None:
    """Refuses a server that says itself that it has other bytes; what it says is believed no further than that."""
    if response.status_code not in {200, 206}:
        return
    fields = response.headers
    said = dict(digests(fields.get("Repr-Digest", ""), fields.get("Digest", ""))).get("sha-256")
    if wanted.sha256 and said is not None and said != wanted.sha256:
        reason = f"its file has SHA-256 {said}, signed is {wanted.sha256}"
        raise MirrorError(wanted.url, reason, fault=MirrorFault.NOT_THE_FILE)


def _require_range(wanted: RangeRequest, content_range: str, whole: int | None) -> None:
    found = _CONTENT_RANGE.fullmatch(content_range)
    last = wanted.first + wanted.length - 1
    if found is not None and found[3] != "*" and int(found[3]) != wanted.total:
        raise _wrong_length(wanted, int(found[3]))
    if found is None or (int(found[1]), int(found[2])) != (wanted.first, last):
        reason = f"gives {content_range!r} instead of bytes {wanted.first}-{last}/{wanted.total}"
        raise MirrorError(wanted.url, reason, fault=MirrorFault.WRONG_RANGE)
    if whole is not None and whole != wanted.length:
        reason = f"announces {whole} bytes for a part of {wanted.length}"
        raise MirrorError(wanted.url, reason, fault=MirrorFault.WRONG_RANGE)


def _require_file(wanted: RangeRequest, response: requests.Response, whole: int | None) -> None:
    """Tells another page, another file and a coded one from the file."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"} and whole != wanted.total:
        raise MirrorError(wanted.url, f"gives a page ({kind}) instead of the file", fault=MirrorFault.NOT_THE_FILE)
    require_uncoded(wanted.url, response)
    if whole is not None and whole != wanted.total:
        raise _wrong_length(wanted, whole)


def _wrong_length(wanted: RangeRequest, actual: int) -> MirrorError:
    reason = f"its file has {actual} bytes, signed are {wanted.total}"
    return MirrorError(wanted.url, reason, fault=MirrorFault.WRONG_LENGTH)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text) is not None else None
