"""Fetches a channel's small documents from a folder or over HTTP, bounded in length, time and rate."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from ossdist.errors import MirrorError, MirrorFault, NotFoundError, TooLargeError
from ossdist.mirrors import failures
from ossdist.mirrors.connections import Request
from ossdist.mirrors.http import HttpClient, refusal, require_uncoded
from ossdist.release import layout
from ossdist.store.files import read_at_most

if TYPE_CHECKING:
    from pathlib import Path

    import requests

    from ossdist.config import FetchConfig
    from ossdist.release.source import DocumentSource

_CHUNK_BYTES = 64 << 10
_RATE_S = 0.5
"""How often the rate is looked at."""

_MOST_KNOWN = 64
_MOST_KNOWN_BYTES = 4 << 20
"""Documents that are kept to be asked for conditionally."""


@dataclass(frozen=True, slots=True)
class _Known:
    conditions: dict[str, str]
    body: bytes


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
        self._client = HttpClient(config)
        self._known: dict[str, _Known] = {}

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
            raise MirrorError(
                url, f"took longer than {self._config.total_timeout_s:.0f} s", fault=MirrorFault.SLOW
            ) from error
        finally:
            request.stop()  # cancelled, late or slow, the thread must not go on
            working.cancel()
        return working.result()

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.to_thread(self._client.close)

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
                raise MirrorError(url, slow, fault=MirrorFault.SLOW)
            wait_s = _RATE_S

    def _get(self, request: Request, url: str, limit_bytes: int) -> bytes:
        request.enter()  # the thread runs in a copy of its caller's context
        known = self._known.get(url)
        if known is not None and len(known.body) > limit_bytes:
            known = None
        try:
            with self._client.get(request, url, known.conditions if known is not None else None) as response:
                if response.status_code == 304 and known is not None:
                    return known.body
                body = self._body(request, response, url, limit_bytes)
                self._remember(url, response, body)
                return body
        except (OSError, ValueError, HTTPError) as error:
            raise self._client.failure(url, error) from error
        finally:
            request.finish()

    def _body(self, request: Request, response: requests.Response, url: str, limit_bytes: int) -> bytes:
        if response.status_code in {404, 410}:
            raise NotFoundError(url, self._base)
        if response.status_code != 200:
            raise refusal(url, response)
        require_uncoded(url, response)
        body = bytearray()
        # Not `iter_content`, which waits until it has a whole chunk: the rate would not be seen before.
        while chunk := response.raw.read1(_CHUNK_BYTES):
            body += chunk
            request.received_bytes = len(body)
            if len(body) > limit_bytes:
                raise TooLargeError(url, limit_bytes)
        declared = response.headers.get("Content-Length")
        if declared is not None and declared != str(len(body)):
            reason = f"{declared} bytes announced, {len(body)} came"
            raise MirrorError(url, reason, fault=MirrorFault.CUT_SHORT)
        return bytes(body)

    def _remember(self, url: str, response: requests.Response, body: bytes) -> None:
        """Keeps a small document with what tells its server that we have it (RFC 9110, section 13).

        What it then says is unchanged is checked like any other answer: a signature does not care where bytes come
        from.
        """
        fields = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
        conditions = {ours: value for theirs, ours in fields.items() if (value := response.headers.get(theirs))}
        if conditions and len(body) <= _MOST_KNOWN_BYTES and (url in self._known or len(self._known) < _MOST_KNOWN):
            self._known[url] = _Known(conditions, body)


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
