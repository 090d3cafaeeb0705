"""Fetches a channel's small documents from a folder or over HTTP, bounded in length, time and rate."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from ossdist.errors import MirrorError, NotFoundError, TooLargeError
from ossdist.foreign_text import shown
from ossdist.mirrors import failures
from ossdist.mirrors.connections import Request, WatchedAdapter
from ossdist.release import layout
from ossdist.store.files import read_at_most

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.config import FetchConfig
    from ossdist.release.source import DocumentSource

_CHUNK_BYTES = 64 << 10
_RATE_S = 0.5
"""How often the rate is looked at."""

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
            self._session.mount(scheme, WatchedAdapter(max_retries=once_more))
        # Given with each request: requests lets an environment variable override the session's own.
        self._verify = str(config.ca_bundle) if config.ca_bundle is not None else True

    @property
    def address(self) -> str:
        """The base address."""
        return self._base

    async def fetch(self, path: str, *, limit_bytes: int) -> bytes:
        """Reads one document; see `DocumentSource.fetch`."""
        url = layout.url(self._base, path)
        request = Request()
        working = asyncio.ensure_future(asyncio.to_thread(self._get, request, url, limit_bytes))
        try:
            async with asyncio.timeout(self._config.total_timeout_s):
                await self._until_done_or_slow(working, request, url)
        except TimeoutError as error:
            raise MirrorError(url, f"took longer than {self._config.total_timeout_s:.0f} s") from error
        finally:
            request.stop()  # cancelled, late or slow, the thread must not go on
            working.cancel()
        return working.result()

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.to_thread(self._session.close)

    async def _until_done_or_slow(self, working: asyncio.Future[bytes], request: Request, url: str) -> None:
        config = self._config
        wait_s = config.min_rate_grace_s
        while not (await asyncio.wait([working], timeout=wait_s))[0]:
            slow = failures.too_slow(
                request.received_bytes,
                0.0 if request.begun_s is None else time.monotonic() - request.begun_s,
                min_bytes_per_s=config.min_bytes_per_s,
                grace_s=config.min_rate_grace_s,
            )
            if slow is not None:
                raise MirrorError(url, slow)
            wait_s = _RATE_S

    def _get(self, request: Request, url: str, limit_bytes: int) -> bytes:
        request.enter()  # the thread runs in a copy of its caller's context
        try:
            return self._follow(request, url, limit_bytes)
        # An address that a server sends us can be wrong in ways that requests has no exception for.
        except (OSError, ValueError, HTTPError) as error:
            waited = {
                "connect_timeout_s": self._config.connect_timeout_s,
                "read_timeout_s": self._config.read_timeout_s,
            }
            raise MirrorError(url, failures.reason(error, **waited)) from error
        finally:
            request.finish()

    def _follow(self, request: Request, url: str, limit_bytes: int) -> bytes:
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
                    return self._body(request, response, url, limit_bytes)
                location = response.headers.get("Location", "")
            target = urljoin(address, location.encode("latin-1").decode("utf-8"))
            if urlsplit(target).scheme not in _allowed_next(urlsplit(address).scheme):
                raise MirrorError(url, f"redirected to {target!r}, which is not allowed")
            address = target
        raise MirrorError(url, f"more than {self._config.redirects} redirects")

    def _body(self, request: Request, response: requests.Response, url: str, limit_bytes: int) -> bytes:
        if response.status_code in {404, 410}:
            raise NotFoundError(url, self._base)
        if response.status_code != 200:
            raise MirrorError(url, f"status {response.status_code} {shown(response.reason or '')}".rstrip())
        coding = response.headers.get("Content-Encoding", "identity")
        if coding != "identity":
            raise MirrorError(url, f"sent with content coding {coding!r}, which was not asked for")
        body = bytearray()
        # Not `iter_content`, which waits until it has a whole chunk: the rate would not be seen before.
        while chunk := response.raw.read1(_CHUNK_BYTES):
            body += chunk
            request.received_bytes = len(body)
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
