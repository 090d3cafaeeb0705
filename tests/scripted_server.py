"""An HTTP server that says exactly what it is told to, and in its own time."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator


@dataclass
class ScriptedServer:
    """Answers each path with bytes as they are, then closes, holds, or goes on; or drips them.

    Attributes:
        url: Its address.
        asked: Request heads, in order.
        handlers: One for each connection.
        connections: How many were made.
        reached: Set when the first request has come.
        left: Set when a client has gone from a path that is held or dripped.
    """

    answers: dict[str, bytes]
    hold: frozenset[str] = frozenset()
    drip: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    tls: ssl.SSLContext | None = None
    url: str = ""
    connections: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list[str])
    handlers: set[asyncio.Task[None]] = field(default_factory=set["asyncio.Task[None]"])

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.handlers.add(task)
        try:
            while await self.answer(reader, writer) in self.keep:
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        self.reached.set()
        path = head.split()[1]
        answer = self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        if path in self.drip:
            for byte in answer:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)  # this is the fault itself: a byte now and then
        else:
            writer.write(answer)
            await writer.drain()
        if path in self.hold:
            await reader.read()  # until the client gives up
            self.left.set()
        return path


@asynccontextmanager
async def serving(server: ScriptedServer) -> AsyncGenerator[ScriptedServer]:
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=server.tls)
    server.url = f"http{'s' if server.tls else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
        if server.handlers:
            await asyncio.wait(server.handlers, timeout=5)
