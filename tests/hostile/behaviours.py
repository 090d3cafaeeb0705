"""What hostile peers do, one small class each. All but `Honest` break the one rule that they are named for."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from tests.hostile.peer import any_peer_id
from tests.hostile.wire import BLOCK_BYTES, Kind, Message, Request, bitfield, block, have

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.peer import Connection


class Behaviour(Protocol):
    """How a peer treats those whom it meets."""

    def peer_id(self, theirs: bytes) -> bytes:
        """Its identity for somebody who has named theirs (zeros if nobody has yet)."""
        ...

    async def talk(self, connection: Connection) -> None:
        """All of one conversation; returning ends the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Honest:
    """A seed that does what the protocol says: shows that these peers can be understood at all."""

    def peer_id(self, theirs: bytes) -> bytes:
        """A new one."""
        return any_peer_id()

    async def talk(self, connection: Connection) -> None:
        """Gives what it is asked for."""
        await connection.send(bitfield([True] * len(connection.torrent.pieces)))
        while True:
            message = await connection.read()
            if message.kind == Kind.INTERESTED:
                await connection.send(Message(Kind.UNCHOKE))
            elif message.kind == Kind.REQUEST:
                await self.give(connection, Request.decode(message.payload))

    async def give(self, connection: Connection, request: Request) -> None:
        """Answers a request."""
        await connection.send(block(request.piece, request.begin, self.data(connection, request)))

    def data(self, connection: Connection, request: Request) -> bytes:
        """A block's bytes."""
        piece = connection.torrent.read(request.piece)
        return piece[request.begin : request.begin + request.length]


@dataclass(frozen=True, slots=True)
class WrongAlways(Honest):
    """Every block is wrong in one byte."""

    def data(self, connection: Connection, request: Request) -> bytes:
        """With another byte in the middle."""
        data = bytearray(Honest.data(self, connection, request))
        data[len(data) // 2] ^= 0xFF
        return bytes(data)


@dataclass(frozen=True, slots=True)
class WrongBlocks(WrongAlways):
    """Some blocks are wrong in one byte.

    Attributes:
        every: Every so many-th block of the torrent.
    """

    every: int = 16

    def data(self, connection: Connection, request: Request) -> bytes:
        """Right or wrong, the same for everybody who asks."""
        number = (sum(connection.torrent.pieces[: request.piece]) + request.begin) // BLOCK_BYTES
        kind = WrongAlways if number % self.every == 0 else Honest
        return kind.data(self, connection, request)


@dataclass(frozen=True, slots=True)
class NeverUnchokes(Honest):
    """Has everything, and gives nobody leave to ask."""

    async def talk(self, connection: Connection) -> None:
        """Stays silent after its bitfield."""
        await connection.send(bitfield([True] * len(connection.torrent.pieces)))
        await connection.until_closed()


@dataclass(frozen=True, slots=True)
class GoesSilent(Honest):
    """Takes requests, and answers some of them and then none.

    Attributes:
        after_blocks: How many it answers.
    """

    after_blocks: int = 0

    async def talk(self, connection: Connection) -> None:
        """Unchokes at once, gives a little, and reads on."""
        await connection.send(bitfield([True] * len(connection.torrent.pieces)), Message(Kind.UNCHOKE))
        given = 0
        while given < self.after_blocks:
            message = await connection.read()
            if message.kind == Kind.REQUEST:
                await self.give(connection, Request.decode(message.payload))
                given += 1
        await connection.until_closed()


@dataclass(frozen=True, slots=True)
class DripFeeds(Honest):
    """Gives right bytes, a few at a time.

    Attributes:
        bytes_per_s: How many.
        pause_s: Between two portions.
    """

    bytes_per_s: float = 400.0
    pause_s: float = 0.05

    async def give(self, connection: Connection, request: Request) -> None:
        """One block in many portions."""
        data = block(request.piece, request.begin, self.data(connection, request)).encode()
        portion = max(1, int(self.bytes_per_s * self.pause_s))
        for begin in range(0, len(data), portion):
            await connection.send_raw(data[begin : begin + portion])
            await asyncio.sleep(self.pause_s)


@dataclass(frozen=True, slots=True)
class LiesInBitfield(Honest):
    """Claims to have everything, has a part of it, and gives nothing for what it has not.

    Attributes:
        has_every: It has every so many-th piece.
    """

    has_every: int = 4

    async def give(self, connection: Connection, request: Request) -> None:
        """Only what is there."""
        if request.piece % self.has_every == 0:
            await Honest.give(self, connection, request)


@dataclass(frozen=True, slots=True)
class FloodsRequests(Honest):
    """Asks for the same blocks over and over, far more than it reads.

    Attributes:
        count: How many requests.
        at_once: How many before it looks whether the connection still stands.
    """

    count: int = 1_000_000
    at_once: int = 10_000

    async def talk(self, connection: Connection) -> None:
        """Writes requests and reads nothing."""
        await connection.send(Message(Kind.INTERESTED))
        pieces = connection.torrent.pieces
        wanted = [Request(piece, 0, min(BLOCK_BYTES, size)).message().encode() for piece, size in enumerate(pieces)]
        portion = b"".join(wanted[number % len(wanted)] for number in range(self.at_once))
        for _ in range(self.count // self.at_once):
            await connection.send_raw(portion)
            await asyncio.sleep(0)


class Mode(Enum):
    """What a `Changing` peer does at present."""

    HONEST = "honest"
    CHOKE = "choke"
    """Takes back everybody's leave to ask."""
    SILENT = "silent"
    """Answers no request."""
    TRICKLE = "trickle"
    """Gives right bytes, but few."""
    WRONG = "wrong"
    """Gives wrong bytes."""
    NOT_THE_END = "not-the-end"
    """Answers no request for the last hundredth of the pieces, which it claims to have."""


@dataclass(slots=True)
class Changing:
    """Honest until it is told to be something else, in the middle of its conversations.

    Attributes:
        mode: What it does now.
        bytes_per_s: What it gives to each when it trickles.
    """

    mode: Mode = Mode.HONEST
    bytes_per_s: float = 5000.0
    _met: set[Connection] = field(default_factory=set["Connection"])

    def peer_id(self, theirs: bytes) -> bytes:
        """A new one."""
        return any_peer_id()

    async def change(self, mode: Mode) -> None:
        """Does something else from now on."""
        before, self.mode = self.mode, mode
        if Mode.CHOKE in {before, mode} and before is not mode:
            for connection in list(self._met):
                await connection.send(Message(Kind.CHOKE if mode is Mode.CHOKE else Kind.UNCHOKE))

    async def talk(self, connection: Connection) -> None:
        """Unchokes whoever is interested, unless it chokes everybody."""
        self._met.add(connection)
        try:
            await connection.send(bitfield([True] * len(connection.torrent.pieces)))
            while True:
                message = await connection.read()
                if message.kind == Kind.INTERESTED and self.mode is not Mode.CHOKE:
                    await connection.send(Message(Kind.UNCHOKE))
                elif message.kind == Kind.REQUEST:
                    await self.give(connection, Request.decode(message.payload))
        finally:
            self._met.discard(connection)

    async def give(self, connection: Connection, request: Request) -> None:
        """As its mode says."""
        match self.mode:
            case Mode.CHOKE | Mode.SILENT:
                return
            case Mode.TRICKLE:
                await DripFeeds(self.bytes_per_s).give(connection, request)
            case Mode.WRONG:
                await WrongAlways().give(connection, request)
            case Mode.NOT_THE_END if request.piece >= len(connection.torrent.pieces) * 0.99:
                return
            case _:
                await Honest().give(connection, request)


def nonsense(pieces: int) -> dict[str, bytes]:
    """Malformed messages by their names, for a torrent of so many pieces."""
    found: dict[str, bytes | Message] = {
        "unknown kind": Message(99, b"?"),
        "short bitfield": Message(Kind.BITFIELD, b""),
        "long bitfield": bitfield([True] * (pieces + 64)),
        "second bitfield": bitfield([True] * pieces).encode() * 2,
        "have beyond the end": have(pieces + 1).encode() + have(0xFFFFFFFF).encode(),
        "short have": Message(Kind.HAVE, b"\0"),
        "request beyond the end": Request(pieces, 0, BLOCK_BYTES).message(),
        "huge request": Request(0, 0, 0xFFFFFFFF).message(),
        "short request": Message(Kind.REQUEST, bytes(5)),
        "piece nobody asked for": block(0, 0, bytes(BLOCK_BYTES)),
        "piece beyond the end": block(pieces, 0, bytes(BLOCK_BYTES)),
        "piece without an address": Message(Kind.PIECE, bytes(3)),
        "empty extension": Message(Kind.EXTENDED, b""),
        "deep extension": Message(Kind.EXTENDED, b"\0" + b"d1:a" * 50_000),
        "wrong extension": Message(Kind.EXTENDED, b"\0d1:mi-99999999999999999999ee"),
        "hash request beyond the end": Message(
            Kind.HASH_REQUEST, bytes(32) + struct.pack(">IIII", 99, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        ),
        "endless message": b"\xff\xff\xff\xff" + bytes(64),
    }
    return {name: data if isinstance(data, bytes) else data.encode() for name, data in found.items()}


NONSENSE = tuple(nonsense(1))
"""The names of all kinds of malformed messages."""


@dataclass(frozen=True, slots=True)
class Malformed(Honest):
    """Sends something that is no message, and goes on as if nothing had been.

    Attributes:
        what: One of `NONSENSE`; all, one after the other, if empty.
    """

    what: str = ""

    async def talk(self, connection: Connection) -> None:
        """Nonsense first."""
        for name, data in nonsense(len(connection.torrent.pieces)).items():
            if self.what in ("", name):
                await connection.send_raw(data)
        await Honest.talk(self, connection)


@dataclass(frozen=True, slots=True)
class SamePeerId(Honest):
    """Says that it is whoever talks to it, and gives everything otherwise."""

    def peer_id(self, theirs: bytes) -> bytes:
        """Theirs."""
        return theirs


BEHAVIOURS: dict[str, Callable[[], Behaviour]] = {
    "honest": Honest,
    "wrong-always": WrongAlways,
    "wrong-blocks": WrongBlocks,
    "never-unchokes": NeverUnchokes,
    "goes-silent": GoesSilent,
    "drip-feeds": DripFeeds,
    "lies-in-bitfield": LiesInBitfield,
    "floods-requests": FloodsRequests,
    "malformed": Malformed,
    "same-peer-id": SamePeerId,
    "changing": Changing,
}
"""By the names that `python -m tests.hostile` takes."""
