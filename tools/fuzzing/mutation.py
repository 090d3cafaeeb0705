"""Makes bad documents out of good ones: their bytes are hurt, or their values. The same seed, the same result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import libtorrent as lt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

Kind = Literal["json", "bencode", "text"]

_TEXTS = (
    "",
    "..",
    "../../etc/passwd",
    "/",
    "a\\b",
    "\x00",
    "\ud800",
    "\u202egnp.exe",
    "é",
    "e\u0301",
    "nul",
    " ",
    "A" * 5000,
)
_NUMBERS = (0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30)
_PARTS = (
    b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",",
    b"NaN", b"Infinity", b"1e999", b"-0", b"\n", b"\r", b"=", b"-----BEGIN PGP SIGNATURE-----\n\n", b"-----END PGP",
    b"d", b"e", b"i-0e", b"i0123e", b"li1e", b"99999999999:", b"-1:", b"0:", b"[GNUPG:] GOODSIG ", b"[GNUPG:] NEWSIG\n",
    b"<", b">", b"&", b"&#13;", b"&#x0;", b"<![CDATA[", b"]]>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;",
    b"<a>", b"</a>",
)  # fmt: skip
_DEEP = 100_000
_BIG = 1 << 20


@dataclass(frozen=True)
class Raw:
    """Bytes that stand in a document as they are, whatever they mean."""

    data: bytes


_RAW_JSON = (
    b"1e999", b"-1e999", b"NaN", b"Infinity", b"1.5", b"0.1e1", b"01", b"+1", b"1" * 5000, b'"\\ud800"', b'"\\u0000"',
    b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP, b"[" * _DEEP, b'"' + b"x" * _BIG + b'"',
    b"[" + b"1," * (_BIG // 2) + b"1]", b'{"a":1,"a":2}', b'"\xff\xfe"', b"tru", b"",
)  # fmt: skip
_RAW_BENCODE = (
    b"i" + b"9" * 5000 + b"e", b"i-0e", b"i007e", b"ie", b"i1", b"-5:abc", b"007:abcdefg", b"18446744073709551616:a",
    b"l" * _DEEP + b"e" * _DEEP, b"d1:a" * _DEEP + b"e" * _DEEP, b"l" * _DEEP, b"d1:a1:b1:a1:be", b"d1:b1:a1:a1:be",
    b"di1ei2ee", b"%d:" % _BIG + b"x" * _BIG, b"l" + b"0:" * (_BIG // 2) + b"e", b"",
)  # fmt: skip


def mutate(document: bytes, others: Sequence[bytes], kind: Kind, random: Random) -> bytes:
    """One bad document, or one that is good by chance.

    Args:
        document: A good one.
        others: More of them, to be mixed in.
        kind: What it is written in.
        random: Decides.
    """
    data = document
    if kind != "text" and random.random() < 0.6:
        data = _hurt_values(data, kind, random)
    if data is document or random.random() < 0.15:
        for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
            data = random.choice(_HURTS)(data, others, random)
    return data


# --- bytes -----------------------------------------------------------------------------------------------


def _flip(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _cut(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _delete(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:start] + data[end:]


def _double(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 100)) + data[end:]


def _insert(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(_PARTS) * random.choice((1, 1, 1, 3, 1000)) + data[at:]


def _splice(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(others)
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def _append(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    return data + random.choice((random.choice(others), random.choice(_PARTS), b" " * random.choice((1, _BIG))))


_HURTS: tuple[Callable[[bytes, Sequence[bytes], Random], bytes], ...] = (
    *(_flip, _flip, _flip, _cut, _delete, _delete, _double, _insert, _insert, _splice, _append),
)


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 1, 4, 16, 64, 512)))


# --- values ----------------------------------------------------------------------------------------------


def _hurt_values(data: bytes, kind: Kind, random: Random) -> bytes:
    try:
        bencoded = kind == "bencode"
        value = cast("object", lt.bdecode(data) if bencoded else json.loads(data))  # pyright: ignore[reportUnknownMemberType]
    except (ValueError, RuntimeError, RecursionError):
        return data
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _hurt(value, kind, random)
    return _write_json(value) if kind == "json" else _write_bencode(value)


def _hurt(value: object, kind: Kind, random: Random) -> object:
    """Goes down to some place in a value and changes it there."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        entries = dict(cast("dict[object, object]", value))
        key = random.choice(list(entries))
        match random.randrange(8):
            case 0:
                del entries[key]
            case 1:
                entries[_other_key(key, random)] = entries.pop(key)
            case 2:
                entries[_other_key(key, random)] = entries[key]
            case 3:
                entries[key] = entries[random.choice(list(entries))]
            case _:
                entries[key] = _hurt(entries[key], kind, random)
        return entries
    if isinstance(value, list) and value and random.random() < 0.8:
        items = list(cast("list[object]", value))
        at = random.randrange(len(items))
        match random.randrange(6):
            case 0:
                del items[at]
            case 1:
                items += [items[at]] * random.choice((1, 1, 30))
            case 2:
                random.shuffle(items)
            case _:
                items[at] = _hurt(items[at], kind, random)
        return items
    return _other_value(cast("object", value), kind, random)


def _other_key(key: object, random: Random) -> object:
    if isinstance(key, bytes):
        return key + random.choice((b"x", b"\x00", b"\xff", b""))
    return f"{key}{random.choice(_TEXTS[:8])}"


def _other_value(value: object, kind: Kind, random: Random) -> object:
    json_alone: tuple[object, ...] = (None, True, False, 1.5, "") if kind == "json" else ()
    text = random.choice(_TEXTS)
    inside: tuple[object, ...] = ([], {}, [value], {"x": value} if kind == "json" else {b"x": value})
    choices: tuple[object, ...] = (
        Raw(random.choice(_RAW_JSON if kind == "json" else _RAW_BENCODE)),
        random.choice(_NUMBERS),
        random.choice(inside),
        text if kind == "json" else text.encode("utf-8", "surrogatepass"),
        _like(value, random),
        *json_alone[: random.randint(0, 5)][-1:],
    )
    return random.choice(choices)


def _like(value: object, random: Random) -> object:
    """Another value of the same type, near it."""
    if isinstance(value, int):
        return value + random.choice((-1, 1, 2**32, -value))
    if isinstance(value, str):
        return value + random.choice(_TEXTS)
    if isinstance(value, bytes):
        return value[: random.randint(0, len(value))] + random.choice((b"", b"\x00", b"\xff\xff", b"../", b"/"))
    return value


def _write_json(value: object) -> bytes:
    raw: list[bytes] = []

    def put(found: object) -> object:
        if not isinstance(found, Raw):
            raise TypeError(type(found))
        raw.append(found.data)
        return f"\u0001{len(raw) - 1}\u0001"

    data = json.dumps(value, default=put).encode("utf-8", "surrogatepass")
    for number, part in enumerate(raw):
        data = data.replace(b'"\\u0001%d\\u0001"' % number, part)
    return data


def _write_bencode(value: object) -> bytes:
    match value:
        case Raw(data):
            return data
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%b" % (len(value), value)
        case list():
            return b"l%be" % b"".join(map(_write_bencode, cast("list[object]", value)))
        case dict():
            parts = (
                _write_bencode(key) + _write_bencode(found)
                for key, found in cast("dict[object, object]", value).items()
            )
            return b"d%be" % b"".join(parts)
        case _:
            return b""
