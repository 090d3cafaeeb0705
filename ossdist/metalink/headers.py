"""What an HTTP server says of a file beside it: mirrors, descriptions (RFC 6249), digests (RFC 9530, 3230). Pure.

All of it is a hint. A field that is malformed says nothing; a file's hash is believed only as far as it speaks against
the server: it may say that it has another file than the signed one.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urljoin, urlsplit

import http_sf
import link_header

from ossdist.metalink.document import DIGEST_BYTES, MAX_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_FIELD = 16 << 10
"""Characters of all fields of one name together; a longer one is not read."""
MAX_LINKS = 200

_METALINK = "application/metalink4+xml"
_TORRENT = "application/x-bittorrent"
_DIGEST_NAMES = {"md5": "md5", "sha": "sha-1", "sha-256": "sha-256", "sha-512": "sha-512"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Another address of the file (RFC 6249, section 3).

    Attributes:
        url: It; http or https.
        location: Country of the server, ISO 3166-1 alpha-2 in lower case; empty if unknown.
        priority: 1 to `MAX_PRIORITY`, lower is preferred; None if nothing is said.
        preferred: It gives the very same answers, so that parts from both fit together.
        depth: How many folders above the file are the same there; 0 if nothing is said.
    """

    url: str
    location: str = ""
    priority: int | None = None
    preferred: bool = False
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What a server says of a file.

    Attributes:
        duplicates: Where else it is.
        metalinks: Addresses of Metalinks that describe it.
        torrents: Addresses of torrents that describe it.
        digests: Of the whole file: function (a key of `DIGEST_BYTES`) and value in lower-case hexadecimal.
    """

    duplicates: tuple[Duplicate, ...] = ()
    metalinks: tuple[str, ...] = ()
    torrents: tuple[str, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()


def read(fields: Iterable[tuple[str, str]], *, url: str) -> Hints:
    """Reads an answer's fields.

    Args:
        fields: Names and values, in order.
        url: What the answer is to, against which relative addresses are resolved.
    """
    values: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        values[key] = f"{values[key]}, {value}" if key in values else value
    links = list(_links(values.get("link", ""), url))
    return Hints(
        duplicates=tuple(
            Duplicate(
                url=address,
                location=geo if re.fullmatch(r"[a-z]{2}", geo := found.get("geo", "").lower()) else "",
                priority=_number(found.get("pri"), MAX_PRIORITY),
                preferred="pref" in found,
                depth=_number(found.get("depth"), 100) or 0,
            )
            for address, found in links
            if "duplicate" in _relations(found)
        ),
        metalinks=tuple(_described(links, _METALINK)),
        torrents=tuple(_described(links, _TORRENT)),
        digests=digests(values.get("repr-digest", ""), values.get("digest", "")),
    )


def digests(repr_digest: str, digest: str = "") -> tuple[tuple[str, str], ...]:
    """The hashes of a whole file; what is malformed, unknown or of the wrong length is left out.

    Args:
        repr_digest: The field ``Repr-Digest`` (RFC 9530).
        digest: The older ``Digest`` (RFC 3230), which counts for functions that the other one does not name.
    """
    return tuple((dict(_old_digests(digest)) | dict(_digests(repr_digest))).items())


def _digests(field: str) -> Iterator[tuple[str, str]]:
    if not field or len(field) > MAX_FIELD:
        return
    try:
        found = cast("Mapping[str, object]", http_sf.parse(field.encode("ascii"), tltype="dictionary"))
    except ValueError:
        return
    for name, item in found.items():
        kind = _DIGEST_NAMES.get(name)
        value = cast("tuple[object, object]", item)[0] if isinstance(item, tuple) else None
        if kind is not None and isinstance(value, bytes) and len(value) == DIGEST_BYTES[kind]:
            yield kind, value.hex()


def _old_digests(field: str) -> Iterator[tuple[str, str]]:
    if len(field) > MAX_FIELD:
        return
    for item in field.split(","):
        name, _, text = item.strip().partition("=")
        kind = _DIGEST_NAMES.get(name.strip().lower())
        try:
            value = base64.b64decode(text.strip(), validate=True)
        except (ValueError, binascii.Error):
            continue
        if kind is not None and len(value) == DIGEST_BYTES[kind]:
            yield kind, value.hex()


def _links(field: str, url: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Absolute addresses and their parameters."""
    if not field or len(field) > MAX_FIELD:
        return
    try:
        # Its patterns take the square of the length of a run of spaces.
        found = link_header.parse(re.sub(r"[ \t]+", " ", field)).links
    except link_header.ParseException:
        return
    for link in found[:MAX_LINKS]:
        try:
            address = urljoin(url, link.href)
            parts = urlsplit(address)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 0) >= 0
        except ValueError:
            continue
        if usable and re.search(r"[\x00-\x20\x7f]", address) is None:
            parameters: dict[str, str] = {}
            for name, value in link.attr_pairs:
                parameters.setdefault(name.lower(), value or "")  # the first one counts (RFC 8288, section 3)
            yield address, parameters


def _described(links: Iterable[tuple[str, dict[str, str]]], mediatype: str) -> Iterator[str]:
    for address, found in links:
        if "describedby" in _relations(found) and found.get("type", "").lower() == mediatype:
            yield address


def _relations(parameters: dict[str, str]) -> list[str]:
    return parameters.get("rel", "").lower().split()


def _number(text: str | None, most: int) -> int | None:
    if text is None or re.fullmatch(r"[0-9]{1,6}", text) is None or not 1 <= int(text) <= most:
        return None
    return int(text)
