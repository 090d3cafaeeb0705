"""HTTP mirrors in memory: parts of files from the network's web servers, in virtual time."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, TypeVar

from ossdist.errors import MirrorError, MirrorFault
from ossdist.mirrors.failures import status_fault
from ossdist.mirrors.limits import TokenBucket
from ossdist.sim.network import ServerError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ossdist.mirrors.fetching import RangeRequest
    from ossdist.sim.network import MemoryNetwork, MemoryWebServer, Pipe

_T = TypeVar("_T")

_CHUNK_BYTES = 4 << 10
"""What comes at once."""


class MemoryRanges:
    """See `ossdist.mirrors.fetching.RangeFetcher`. It passes the contract tests of the real one.

    Args:
        network: Where the web servers are.
        downlink: The client's capacity for receiving; None if it has no bound.
        mirror_bytes_per_s: The most that one mirror may bring; infinite for no limit.
    """

    def __init__(
        self, network: MemoryNetwork, *, downlink: Pipe | None = None, mirror_bytes_per_s: float = math.inf
    ) -> None:
        self._network = network
        self._pipes = () if downlink is None else (downlink,)
        self._total = TokenBucket(math.inf, now=network.clock.monotonic_s)
        self._mirror_bytes_per_s = mirror_bytes_per_s
        self._mirrors: dict[str, TokenBucket] = {}

    def request(self, request: RangeRequest) -> MemoryStream:
        """A request that is not sent yet."""
        own = self._mirrors.get(request.mirror)
        if own is None:
            own = TokenBucket(self._mirror_bytes_per_s, now=self._network.clock.monotonic_s)
            self._mirrors[request.mirror] = own
        return MemoryStream(request, self._network, self._pipes, (self._total, own))

    def limit(self, bytes_per_s: float) -> None:
        """Sets how much all streams together may bring from now on."""
        self._total.set_rate(bytes_per_s)


class MemoryStream:
    """See `ossdist.mirrors.fetching.RangeStream`. Made by `MemoryRanges.request` alone."""

    def __init__(
        self,
        request: RangeRequest,
        network: MemoryNetwork,
        pipes: tuple[Pipe, ...],
        limits: tuple[TokenBucket, ...],
    ) -> None:
        self.connect_s: float | None = None
        self.first_byte_s: float | None = None
        self.received_bytes = 0
        self.throttled = False
        self._request = request
        self._network = network
        self._pipes = pipes
        self._limits = limits
        self._server: MemoryWebServer | None = None
        self._offset = 0
        self._stopped = False
        self._working: asyncio.Task[object] | None = None

    async def open(self) -> None:
        """Sends the request, and waits for the head of the answer."""
        await self._unless_stopped(self._open())

    async def read_into(self, view: memoryview) -> None:
        """Fills a view with the next bytes."""
        await self._unless_stopped(self._read_into(view))

    def stop(self) -> None:
        """Ends it at once."""
        self._stopped = True
        if self._working is not None:
            self._working.cancel()

    async def close(self) -> None:
        """Lets go of the server."""
        self.stop()
        self._server = None
        await asyncio.sleep(0)

    async def _unless_stopped(self, work: Coroutine[None, None, _T]) -> _T:
        if self._stopped:
            work.close()
            raise self._error("was stopped")
        task = self._working = asyncio.ensure_future(work)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not self._stopped or (caller is not None and caller.cancelling()):
                raise
            raise self._error("was stopped") from None
        finally:
            self._working = None

    async def _open(self) -> None:
        wanted, begin_s = self._request, self._network.clock.monotonic_s()
        await asyncio.sleep(0)
        server = self._network.web_server(wanted.url)
        if server is None or server.refuses:
            raise self._error("connection refused")
        if server.silent_after == 0:
            await asyncio.Event().wait()
        try:
            length = server.length_of(wanted.url)
        except ServerError as error:
            raise self._error(f"status {error}", status_fault(int(str(error)[:3]))) from error
        if length != wanted.total:
            reason = f"its file has {length} bytes, signed are {wanted.total}"
            raise self._error(reason, MirrorFault.WRONG_LENGTH)
        if wanted.ranged and not server.ranged and (wanted.first, wanted.length) != (0, wanted.total):
            raise self._error("gives the whole file instead of the part", MirrorFault.NO_RANGES)
        self._server = server
        self.connect_s = self.first_byte_s = self._network.clock.monotonic_s() - begin_s
        self._offset = wanted.first if wanted.ranged else 0

    async def _read_into(self, view: memoryview) -> None:
        while self._offset < self._request.first:
            await self._next(self._request.first - self._offset)
        position = 0
        while position < len(view):
            part = await self._next(len(view) - position)
            view[position : position + len(part)] = part
            position += len(part)

    async def _next(self, most: int) -> bytes:
        server, answered = self._server, self.received_bytes
        assert server is not None  # noqa: S101  # `open` comes first
        size = min(most, _CHUNK_BYTES)
        if server.silent_after is not None:
            size = min(size, server.silent_after - answered)
            if size <= 0:
                await asyncio.Event().wait()
        if server.cut_after is not None:
            size = min(size, server.cut_after - answered)
            if size <= 0:
                raise self._error("the body ended early", MirrorFault.CUT_SHORT)
        await self._network.carry(size, server.uplink, *self._pipes)
        if server.refuses:
            raise self._error("connection reset by peer")
        part = server.read(self._request.url, self._offset, size)
        self._offset += size
        self.received_bytes += size
        if (pause_s := max(bucket.take(size) for bucket in self._limits)) > 0:
            self.throttled = True
            await self._network.clock.sleep(pause_s)
            self.throttled = False
        return part

    def _error(self, reason: str, fault: MirrorFault = MirrorFault.UNREACHABLE) -> MirrorError:
        return MirrorError(self._request.url, reason, fault=fault)
