"""The peer wire protocol (BEP 3): handshakes and messages as bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

PROTOCOL = b"\x13BitTorrent protocol"
HANDSHAKE_BYTES = 68
BLOCK_BYTES = 1 << 14
MOST_BYTES = 1 << 20
"""No longer message is read."""


class WireError(Exception):
    """Bytes that are no message of the protocol."""


class Kind(IntEnum):
    """What a message says; its first byte."""

    CHOKE = 0
    UNCHOKE = 1
    INTERESTED = 2
    NOT_INTERESTED = 3
    HAVE = 4
    BITFIELD = 5
    REQUEST = 6
    PIECE = 7
    CANCEL = 8
    EXTENDED = 20
    HASH_REQUEST = 21


@dataclass(frozen=True, slots=True)
class Handshake:
    """The first message of both sides.

    Attributes:
        info_hash: 20 bytes; a v2 info-hash is cut to that (BEP 52).
        peer_id: 20 bytes.
        reserved: 8 bytes of capabilities; none by default.
    """

    info_hash: bytes
    peer_id: bytes
    reserved: bytes = bytes(8)

    def encode(self) -> bytes:
        """Its 68 bytes."""
        return PROTOCOL + self.reserved + self.info_hash + self.peer_id

    @classmethod
    def decode(cls, data: bytes) -> Handshake:
        """Reads one.

        Raises:
            WireError: It is none.
        """
        if len(data) != HANDSHAKE_BYTES or not data.startswith(PROTOCOL):
            raise WireError("not a handshake")
        return cls(info_hash=data[28:48], peer_id=data[48:], reserved=data[20:28])


@dataclass(frozen=True, slots=True)
class Message:
    """Any message after the handshake.

    Attributes:
        kind: A `Kind`, or another number; None for a keep-alive.
        payload: What follows it.
    """

    kind: int | None
    payload: bytes = b""

    def encode(self) -> bytes:
        """Its bytes, with their length before them."""
        body = b"" if self.kind is None else bytes([self.kind]) + self.payload
        return struct.pack(">I", len(body)) + body

    @classmethod
    def decode(cls, body: bytes) -> Message:
        """Reads what follows the length."""
        return cls(body[0], body[1:]) if body else cls(None)


class Request(NamedTuple):
    """A block: where it begins in which piece, and its length."""

    piece: int
    begin: int
    length: int

    def message(self, kind: Kind = Kind.REQUEST) -> Message:
        """Asks for it, or takes that back."""
        return Message(kind, struct.pack(">III", *self))

    @classmethod
    def decode(cls, payload: bytes) -> Request:
        """Reads the payload of a request.

        Raises:
            WireError: It has another length.
        """
        if len(payload) != 12:
            raise WireError(f"a request of {len(payload)} bytes")
        return cls(*struct.unpack(">III", payload))


def have(piece: int) -> Message:
    """Says that a piece is there."""
    return Message(Kind.HAVE, struct.pack(">I", piece))


def bitfield(flags: Sequence[bool]) -> Message:
    """Says which pieces are there; the first one is the highest bit."""
    field = bytearray(-(-len(flags) // 8))
    for index, flag in enumerate(flags):
        if flag:
            field[index // 8] |= 0x80 >> (index % 8)
    return Message(Kind.BITFIELD, bytes(field))


def block(piece: int, begin: int, data: bytes) -> Message:
    """Gives a block."""
    return Message(Kind.PIECE, struct.pack(">II", piece, begin) + data)


async def read_handshake(reader: asyncio.StreamReader) -> Handshake:
    """Waits for a handshake.

    Raises:
        WireError: Something else came.
        asyncio.IncompleteReadError: The connection ended.
    """
    return Handshake.decode(await reader.readexactly(HANDSHAKE_BYTES))


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Waits for a message.

    Raises:
        WireError: It is longer than `MOST_BYTES`.
        asyncio.IncompleteReadError: The connection ended.
    """
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    if length > MOST_BYTES:
        raise WireError(f"a message of {length} bytes")
    return Message.decode(await reader.readexactly(length))
