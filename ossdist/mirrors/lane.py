"""One connection to a mirror: which pieces it fetches, and how their bytes come from its files."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from ossdist.errors import MirrorError, MirrorFault
from ossdist.transfer.spans import Span, spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ossdist.config import MirrorConfig
    from ossdist.mirrors.fetching import RangeStream
    from ossdist.mirrors.sites import Site
    from ossdist.mirrors.work import Run
    from ossdist.transfer.metainfo import Metainfo


@dataclass(eq=False, slots=True)
class Mirror:
    """A mirror in this transfer.

    Attributes:
        site: What is known of it.
        bytes: What it gave of right pieces.
        failures: How often it failed.
        note: Why it failed last.
        wrong: How many wrong pieces it sent.
        ranged: It gives parts of files.
        out: It is not asked any more in this transfer.
        lanes: Its connections.
    """

    site: Site
    bytes: int = 0
    failures: int = 0
    note: str = ""
    wrong: int = 0
    ranged: bool = True
    out: bool = False
    lanes: set[Lane] = field(default_factory=set["Lane"])


@dataclass(eq=False, slots=True)
class Lane:
    """A connection to a mirror.

    Attributes:
        number: Its own.
        mirror: To which.
        ranged: It asks for parts of files; what does not give any is asked by another lane.
        task: What drives it.
        run: The pieces that it fetches now.
        stream: The request that brings them.
        rate: Bytes a second, smoothed.
        verdict: Why its stream was stopped: what is wrong with the mirror.
        cancelled: Its stream was stopped, though nothing is wrong with the mirror.
        seen: How much its stream had brought when that changed last, and when that was.
        window: How much its stream had brought, and when: the rate is taken from there.
    """

    number: int
    mirror: Mirror
    ranged: bool
    task: asyncio.Task[None] | None = None
    run: Run | None = None
    stream: RangeStream | None = None
    rate: float | None = None
    verdict: MirrorError | None = None
    cancelled: bool = False
    seen: tuple[int, float] = (0, 0.0)
    window: tuple[int, float] = (0, 0.0)

    def begin(self, stream: RangeStream, now_s: float) -> None:
        """A request begins."""
        self.stream = stream
        self.seen = self.window = (0, now_s)

    def impatience(self, now_s: float, config: MirrorConfig) -> MirrorError | None:
        """What is wrong with a mirror that says nothing, or drips (TUF's slow retrieval attack); None if nothing is.

        To be called now and then; what our own limits hold back is not its fault.
        """
        stream = self.stream
        if stream is None:
            return None
        count = stream.received_bytes
        if count != self.seen[0] or stream.throttled:
            self.seen = (count, now_s)
        if stream.throttled:
            self.window = (count, now_s)
        came, window_s = count - self.window[0], now_s - self.window[1]
        url = self.mirror.site.url
        if now_s - self.seen[1] >= config.silent_s:
            return MirrorError(url, f"nothing came for {config.silent_s:g} s", fault=MirrorFault.SILENT)
        if window_s < config.slow_after_s:
            return None
        if came < config.min_bytes_per_s * window_s:
            return MirrorError(url, f"{came} bytes came within {window_s:.1f} s", fault=MirrorFault.SLOW)
        self.window = (count, now_s)
        return None


class Requests(Protocol):
    """Where a reader gets its streams from."""

    def request(self, lane: Lane, span: Span, run: Run) -> RangeStream:
        """The request for what a run needs of a file, from a span on."""
        ...

    def note_request(self, lane: Lane, stream: RangeStream, seconds: float) -> None:
        """A request was fulfilled; its body took so long."""
        ...


class Reader:
    """Reads a run's pieces from one stream after the other: each file is a request of its own."""

    def __init__(self, feed: Requests, lane: Lane, run: Run, metainfo: Metainfo) -> None:
        self._feed = feed
        self._lane = lane
        self._run = run
        self._metainfo = metainfo
        self._stream: RangeStream | None = None
        self._at = (-1, -1)
        self._seconds = 0.0
        self._failed = False

    async def read(self, first: int, count: int, view: memoryview) -> None:
        """Fills pieces; what no file covers is padding, all zeros (BEP 47).

        Raises:
            MirrorError: They do not come.
        """
        try:
            await self._read(first, count, view)
        except MirrorError:
            self._failed = True
            raise

    async def _read(self, first: int, count: int, view: memoryview) -> None:
        done = 0
        for span in joined(self._metainfo, first, count):
            here = (span.file.index, span.file_offset)
            if self._stream is None or self._at != here:
                await self.close()
                self._stream = self._feed.request(self._lane, span, self._run)
                await self._stream.open()
                self._seconds = 0.0
            begin_s = asyncio.get_running_loop().time()
            await self._stream.read_into(view[span.piece_offset : span.piece_offset + span.length])
            view[: span.piece_offset][done:] = bytes(max(0, span.piece_offset - done))
            done = span.piece_offset + span.length
            self._seconds += asyncio.get_running_loop().time() - begin_s
            self._at = (span.file.index, span.file_offset + span.length)
        view[done:] = bytes(len(view) - done)

    async def close(self) -> None:
        """Ends the present request."""
        stream, self._stream, self._lane.stream = self._stream, None, None
        if stream is None:
            return
        stopped = self._lane.cancelled or self._lane.verdict is not None
        if stream.received_bytes and not self._failed and not stopped:
            self._feed.note_request(self._lane, stream, self._seconds)
        await stream.close()


class Buffers:
    """Two buffers in turn: one is being filled while the other is being checked."""

    def __init__(self) -> None:
        self._buffers = [bytearray(), bytearray()]

    def next(self, size: int) -> memoryview:
        """The one that has been checked, of that size."""
        self._buffers.reverse()
        if len(self._buffers[0]) < size:
            self._buffers[0] = bytearray(size)
        return memoryview(self._buffers[0])[:size]


def joined(metainfo: Metainfo, first: int, count: int) -> Iterator[Span]:
    """The parts of files in consecutive pieces, each file's in one; offsets are from the first piece's begin."""
    open_span: Span | None = None
    for number in range(count):
        for span in spans(metainfo, first + number):
            moved = replace(span, piece_offset=span.piece_offset + number * metainfo.piece_length)
            if open_span is None:
                open_span = moved
            elif open_span.file is span.file:
                open_span = replace(open_span, length=open_span.length + span.length)
            else:
                yield open_span
                open_span = moved
    if open_span is not None:
        yield open_span


def sizes(metainfo: Metainfo, first: int, total: int) -> list[int]:
    """The sizes of consecutive pieces that together have so many bytes."""
    sizes: list[int] = []
    while total > 0:
        sizes.append(metainfo.piece_size(first + len(sizes)))
        total -= sizes[-1]
    return sizes
