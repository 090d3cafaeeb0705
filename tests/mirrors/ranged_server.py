"""An HTTP server that knows how to give parts of a file, and gives their bodies in a way of its own."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Body = Callable[[asyncio.StreamWriter, int, bytes], Awaitable[None]]


@dataclass
class RangedServer:
    """Answers every path with parts of one content.

    Attributes:
        content: Of the file.
        body: Writes a part: to whom, from which byte on, and what.
        ranged: It gives parts; otherwise always the whole.
        fields: Of the head, beside those of the range.
        heads: What was asked.
        url: Its address.
        handlers: One for each connection.
    """

    content: bytes
    body: Body
    ranged: bool = True
    fields: tuple[str, ...] = ()
    heads: list[str] = field(default_factory=list[str])
    url: str = ""
    handlers: set[asyncio.Task[None]] = field(default_factory=set["asyncio.Task[None]"])

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.handlers.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    self.heads.append(head)
                    await self._answer(head, writer)
        finally:
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        total = len(self.content)
        asked = re.search(r"(?i)range: bytes=(\d+)-(\d+)", head)
        first, last = (int(asked[1]), int(asked[2])) if asked and self.ranged else (0, total - 1)
        lines = ["HTTP/1.1 200 OK", *self.fields]
        if asked and self.ranged:
            lines = ["HTTP/1.1 206 Partial Content", f"Content-Range: bytes {first}-{last}/{total}", *self.fields]
        lines.append(f"Content-Length: {last - first + 1}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.body(writer, first, self.content[first : last + 1])
        await writer.drain()

    async def close(self) -> None:
        for task in self.handlers:
            task.cancel()
        if self.handlers:
            await asyncio.wait(self.handlers)


@asynccontextmanager
async def ranged(server: RangedServer) -> AsyncGenerator[RangedServer]:
    """Runs it."""
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    try:
        yield server
    finally:
        listening.close()
        await server.close()
        await listening.wait_closed()


async def whole(writer: asyncio.StreamWriter, first: int, part: bytes) -> None:
    """As it should be."""
    writer.write(part)


async def cut_short(writer: asyncio.StreamWriter, first: int, part: bytes) -> None:
    """Hangs up in the middle."""
    writer.write(part[: len(part) // 2])
    await writer.drain()
    writer.close()


async def drip(writer: asyncio.StreamWriter, first: int, part: bytes) -> None:
    """A byte now and then."""
    for byte in part:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)  # this is the fault itself


async def stall(writer: asyncio.StreamWriter, first: int, part: bytes) -> None:
    """Says nothing more after a third."""
    writer.write(part[: len(part) // 3])
    await writer.drain()
    await asyncio.Event().wait()


def flipping(*positions: int) -> Body:
    """Some bytes are wrong."""

    async def body(writer: asyncio.StreamWriter, first: int, part: bytes) -> None:
        spoilt = bytearray(part)
        for position in positions:
            if first <= position < first + len(part):
                spoilt[position - first] ^= 1
        writer.write(bytes(spoilt))

    return body
