"""Lists of mirrors, an address a line: plain ones, and apt's (apt-transport-mirror(1)). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ossdist.errors import FormatError
from ossdist.foreign_text import shown
from ossdist.metalink.document import MAX_PRIORITY
from ossdist.mirrors.sites import Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_BYTES = 1 << 20
MAX_LINES = 10_000
_MAX_LINE = 4096

_RESTRICTIONS = frozenset({"arch", "codename", "component", "lang", "suite", "type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMirror:
    """A line of a list.

    Attributes:
        url: The mirror's base address, of any scheme.
        priority: Lower is tried first; None if nothing is said, which comes last.
        restrictions: What it has alone, by apt's keys (``arch``, ``type``, ...): files that match none of a key's
            values are not to be asked for there.
    """

    url: str
    priority: int | None = None
    restrictions: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]], hash=False)


def decode(data: bytes, *, document: str) -> tuple[ListedMirror, ...]:
    """Reads a list: an address a line, apt's metadata behind it, empty lines and those that begin with ``#`` skipped.

    Args:
        data: Its bytes, UTF-8.
        document: What to call it in a message.

    Raises:
        FormatError: With the number of the line.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(f"is longer than {MAX_BYTES} bytes", document=document)
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"is not UTF-8 from byte {error.start} on", document=document) from error
    if len(lines) > MAX_LINES:
        raise FormatError(f"has more than {MAX_LINES} lines", document=document)
    found: dict[str, ListedMirror] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            mirror = _line(text, f"{document}, line {number}")
            found.setdefault(mirror.url, mirror)
    return tuple(found.values())


def sites(listed: Iterable[ListedMirror]) -> tuple[Site, ...]:
    """Those that can be asked for anything over http or https, as mirrors.

    A mirror that has some files alone is left out: a release's are not among what apt's keys speak of.
    """
    return tuple(
        Site(url=mirror.url, priority=MAX_PRIORITY if mirror.priority is None else mirror.priority)
        for mirror in listed
        if urlsplit(mirror.url).scheme in {"http", "https"} and not mirror.restrictions
    )


def encode_plain(listed: Iterable[ListedMirror]) -> bytes:
    """Writes the addresses alone, the preferred ones first."""
    ordered = sorted(listed, key=lambda mirror: MAX_PRIORITY if mirror.priority is None else mirror.priority)
    return "".join(f"{mirror.url}\n" for mirror in ordered).encode()


def encode_apt(listed: Iterable[ListedMirror]) -> bytes:
    """Writes a list for ``deb mirror+file:/PATH SUITE COMPONENT`` in ``sources.list`` (apt 1.6 or newer)."""
    return "".join(f"{mirror.url}{_metadata(mirror)}\n" for mirror in listed).encode()


def _metadata(mirror: ListedMirror) -> str:
    items = [] if mirror.priority is None else [f"priority:{mirror.priority}"]
    items += [f"{key}:{value}" for key, values in sorted(mirror.restrictions.items()) for value in values]
    return f"\t{' '.join(items)}" if items else ""


def _line(text: str, where: str) -> ListedMirror:
    if len(text) > _MAX_LINE:
        raise FormatError(f"is longer than {_MAX_LINE} characters", document=where)
    url, *items = text.split()
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname or parts.path) and (parts.port or 0) >= 0
    except ValueError:
        named, parts = False, urlsplit("")
    if not named or not re.fullmatch(r"[a-z][a-z0-9+.-]*", parts.scheme) or not url.isprintable():
        raise FormatError(f"{shown(url)!r} is no address", document=where)
    if parts.scheme in {"http", "https"} and not parts.hostname:
        raise FormatError(f"{shown(url)!r} names no host", document=where)
    priority: int | None = None
    restrictions: dict[str, tuple[str, ...]] = {}
    for item in items:
        key, colon, value = item.partition(":")
        if not colon or not value:
            raise FormatError(f"{shown(item)!r} is not KEY:VALUE", document=where)
        if key == "priority":
            if re.fullmatch(r"[0-9]{1,9}", value) is None:
                raise FormatError(f"priority {shown(value)!r} is no number", document=where)
            priority = min(max(1, int(value)), MAX_PRIORITY)
        elif key in _RESTRICTIONS:
            restrictions[key] = (*restrictions.get(key, ()), value)
    return ListedMirror(url=url, priority=priority, restrictions=restrictions)
