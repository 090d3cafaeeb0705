"""A peer that listens, or dials, and talks as its behaviour says."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from ossdist.transfer.metainfo import Address
from tests.hostile.wire import Handshake, Message, WireError, read_handshake, read_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ossdist.transfer.metainfo import Metainfo
    from tests.hostile.behaviours import Behaviour

_ENDED = (ConnectionError, asyncio.IncompleteReadError, WireError, TimeoutError)


@dataclass(frozen=True)
class Torrent:
    """What a peer knows of a torrent.

    Attributes:
        info_hashes: Each 20 bytes; a hybrid has two.
        pieces: The size of each piece, in bytes.
        read: Gives a piece's bytes by its number.
    """

    info_hashes: tuple[bytes, ...]
    pieces: tuple[int, ...]
    read: Callable[[int], bytes] = field(repr=False)

    @classmethod
    def of(cls, metainfo: Metainfo, read: Callable[[int], bytes]) -> Torrent:
        """From a parsed one."""
        found = (metainfo.info_hashes.v1, metainfo.info_hashes.v2)
        hashes = tuple(bytes.fromhex(text)[:20] for text in found if text)
        sizes = tuple(metainfo.piece_size(index) for index in range(metainfo.num_pieces))
        return cls(hashes, sizes, read)


class Connection:
    """One connection, after both handshakes.

    Attributes:
        torrent: What it is about.
        theirs: The other side's handshake.
    """

    def __init__(
        self, torrent: Torrent, theirs: Handshake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.torrent = torrent
        self.theirs = theirs
        self._reader = reader
        self._writer = writer

    async def read(self) -> Message:
        """The next message."""
        return await read_message(self._reader)

    async def send(self, *messages: Message) -> None:
        """Sends messages."""
        await self.send_raw(b"".join(message.encode() for message in messages))

    async def send_raw(self, data: bytes) -> None:
        """Sends any bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def until_closed(self) -> None:
        """Reads, and answers nothing, until the other side has enough."""
        while await self._reader.read(1 << 16):
            pass


class HostilePeer:
    """Listens on an address and treats everybody alike. An async context manager.

    Args:
        torrent: What it claims to share.
        behaviour: How.
        host: Where it listens.
        port: On which port; 0 for any.

    Attributes:
        met: How many connections got as far as both handshakes.
        lost: How many of them are over.
    """

    def __init__(self, torrent: Torrent, behaviour: Behaviour, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._torrent = torrent
        self._behaviour = behaviour
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self.met = 0
        self.lost = 0

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(self._host, self._port)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._taken, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    async def dial(self, address: Address) -> None:
        """Connects to somebody; returns when that is over."""
        reader, writer = await asyncio.open_connection(address.host, address.port)
        hello = Handshake(self._torrent.info_hashes[0], self._behaviour.peer_id(bytes(20)))
        writer.write(hello.encode())
        await self._talk(reader, writer, answers=False)

    async def until_met(self, count: int = 1) -> None:
        """Waits until so many connections have come about."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.met >= count)

    async def until_lost(self, count: int = 1) -> None:
        """Waits until so many connections are over."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.lost >= count)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        await self._talk(reader, writer, answers=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        met = False
        try:
            theirs = await read_handshake(reader)
            if theirs.info_hash not in self._torrent.info_hashes:
                return
            if answers:
                writer.write(Handshake(theirs.info_hash, self._behaviour.peer_id(theirs.peer_id)).encode())
            met = True
            await self._count(met=1)
            await self._behaviour.talk(Connection(self._torrent, theirs, reader, writer))
        except _ENDED:
            pass
        finally:
            writer.close()
            if met:
                await self._count(lost=1)
            with contextlib.suppress(*_ENDED):
                await writer.wait_closed()

    async def _count(self, *, met: int = 0, lost: int = 0) -> None:
        async with self._changed:
            self.met += met
            self.lost += lost
            self._changed.notify_all()


def any_peer_id() -> bytes:
    """A new one, in Azureus style (BEP 20)."""
    return b"-XX0001-" + os.urandom(12)
