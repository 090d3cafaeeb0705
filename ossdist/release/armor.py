"""What stands in an armored OpenPGP block, as far as it must be known before gpg sees it.

gpg forgives much: text around the armor, a second block, packets that it does not know or need. Here nothing is
forgiven, so that a signature file or a key block says one thing to every reader. Nothing is verified here.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE, _PUBLIC_KEY, _USER_ID, _PUBLIC_SUBKEY, _USER_ATTRIBUTE = 2, 6, 13, 14, 17
"""Packet tags (RFC 4880, section 4.3)."""

_KEY_PACKETS = frozenset({_PUBLIC_KEY, _SIGNATURE, _USER_ID, _PUBLIC_SUBKEY, _USER_ATTRIBUTE})

_BLOCK = re.compile(
    rb"(?:[ \t]*\r?\n)*-----BEGIN PGP (?P<kind>[A-Z ]+)-----[ \t]*\r?\n"
    rb"(?:[A-Za-z]+: [^\r\n]*\r?\n)*"
    rb"[ \t]*\r?\n"
    rb"(?P<body>(?:[A-Za-z0-9+/]{1,76}={0,2}\r?\n)+)"
    rb"(?:=[A-Za-z0-9+/]{4}\r?\n)?"
    rb"-----END PGP (?P=kind)-----\s*"
)
"""One block with nothing but whitespace around it (RFC 4880, section 6.2)."""


def count_signatures(block: bytes) -> int:
    """How many signature packets one armored signature holds.

    Raises:
        ValueError: It is not exactly one armored signature, or has other packets in it. The message goes on
            after the block's name.
    """
    tags = list(_tags(_dearmor(block, "SIGNATURE")))
    if set(tags) != {_SIGNATURE}:
        raise ValueError("holds something else than signatures")
    return len(tags)


def check_public_key(block: bytes) -> None:
    """Refuses anything but one armored public key with its user ids, subkeys and their signatures.

    Raises:
        ValueError: The message goes on after the block's name.
    """
    tags = list(_tags(_dearmor(block, "PUBLIC KEY BLOCK")))
    if tags[0] != _PUBLIC_KEY or tags.count(_PUBLIC_KEY) != 1 or not _KEY_PACKETS.issuperset(tags):
        raise ValueError("holds something else than one public key")


def armored_signature(data: bytes) -> bytes:
    """A binary signature, as a ``.sig`` file holds it, in armor; what is no binary OpenPGP data stays as it is."""
    if not data or not data[0] & 0x80:
        return data
    body = base64.b64encode(data).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN PGP SIGNATURE-----", "", *lines, "-----END PGP SIGNATURE-----", ""]).encode()


def _dearmor(block: bytes, kind: str) -> bytes:
    if not block.strip():
        raise ValueError("is empty")
    found = _BLOCK.fullmatch(block)
    if found is None:
        raise ValueError(f"is not exactly one armored PGP {kind} with nothing around it")
    actual = found["kind"].decode()
    if actual != kind:
        raise ValueError(f"is a PGP {actual}, not a PGP {kind}")
    # In strict mode padding in the middle is refused. The checksum (the line with "=") is left to gpg.
    return base64.b64decode(b"".join(found["body"].split()), validate=True)


def _tags(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        try:
            tag, body, length = _header(data, at)
        except IndexError:
            raise ValueError("is cut off") from None
        at = body + length
        if at > len(data):
            raise ValueError("is cut off")
        yield tag


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start and length of the packet at ``at`` (RFC 4880, section 4.2)."""
    head = data[at]
    if not head & 0x80:
        raise ValueError("holds something that is no OpenPGP packet")
    if head & 0x40:
        tag, at = head & 0x3F, at + 1
        first = data[at]
        if first < 192:
            return tag, at + 1, first
        if first < 224:
            return tag, at + 2, ((first - 192) << 8) + data[at + 1] + 192
        size, at = (4 if first == 255 else 0), at + 1
    else:
        tag, at = head >> 2 & 0x0F, at + 1
        size = (1, 2, 4, 0)[head & 3]
    if size == 0:
        raise ValueError("holds a packet without a definite length")
    return tag, at + size, int.from_bytes(data[at : at + size])
