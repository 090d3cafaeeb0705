"""The codec that hostile peers speak with: what it writes it reads, and what is none it refuses."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import wire
from tests.hostile.wire import Handshake, Kind, Message, Request, WireError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_NUMBERS = st.integers(0, 2**32 - 1)
_MESSAGES = st.builds(Message, st.integers(0, 255), st.binary(max_size=300)) | st.just(Message(None))


def read(data: bytes, what: Callable[[asyncio.StreamReader], Awaitable[T]]) -> tuple[T, bytes]:
    """What a function reads from bytes, and the rest."""

    async def run() -> tuple[T, bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await what(reader), await reader.read()

    return asyncio.run(run())


@given(
    st.builds(
        Handshake,
        info_hash=st.binary(min_size=20, max_size=20),
        peer_id=st.binary(min_size=20, max_size=20),
        reserved=st.binary(min_size=8, max_size=8),
    )
)
def test_handshakes_come_back(handshake: Handshake) -> None:
    data = handshake.encode()
    assert len(data) == wire.HANDSHAKE_BYTES
    assert read(data + b"rest", wire.read_handshake) == (handshake, b"rest")


@given(_MESSAGES)
def test_messages_come_back(message: Message) -> None:
    assert read(message.encode() + b"rest", wire.read_message) == (message, b"rest")


@given(st.builds(Request, _NUMBERS, _NUMBERS, _NUMBERS))
def test_requests_come_back(request: Request) -> None:
    message = request.message()
    assert message.kind == Kind.REQUEST
    assert Request.decode(message.payload) == request


@given(st.lists(st.booleans(), min_size=1, max_size=100))
def test_a_bitfield_has_a_bit_a_piece_the_first_one_highest(flags: list[bool]) -> None:
    payload = wire.bitfield(flags).payload
    bits = "".join(f"{byte:08b}" for byte in payload)
    assert len(payload) == -(-len(flags) // 8)
    assert bits == "".join("01"[flag] for flag in flags).ljust(len(payload) * 8, "0")


def test_known_bytes() -> None:
    """From BEP 3."""
    assert wire.have(3).encode() == bytes.fromhex("0000000504 00000003")
    assert Request(1, 2, 3).message().encode() == bytes.fromhex("0000000d06 00000001 00000002 00000003")
    assert wire.block(1, 2, b"x").encode() == bytes.fromhex("0000000a07 00000001 00000002 78")
    assert Message(None).encode() == bytes(4)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1" + bytes(60), b"\x13BitTorrent protocoL" + bytes(48)])
def test_no_handshake_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        read(data[:68], wire.read_handshake)


def test_an_endless_message_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="4294967295"):
        read(b"\xff\xff\xff\xff", wire.read_message)


def test_a_request_of_another_length_is_refused() -> None:
    with pytest.raises(WireError):
        Request.decode(struct.pack(">II", 1, 2))
