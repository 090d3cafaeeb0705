"""Metalink documents as XML (RFC 5854). What is read is hostile until checked; what is written is deterministic."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from ossdist.errors import FormatError
from ossdist.foreign_text import shown
from ossdist.metalink.document import (
    DIGEST_BYTES,
    MAX_PRIORITY,
    FileUrl,
    Metalink,
    MetalinkFile,
    MetaUrl,
    Pieces,
)
from ossdist.release import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = "urn:ietf:params:xml:ns:metalink"
_OLD_NAMESPACE = "http://www.metalinker.org/"
_BASE = "{http://www.w3.org/XML/1998/namespace}base"

MAX_BYTES = 32 << 20
"""The hashes of a package of 10 GB in parts of 64 KiB take 9 MB."""
MAX_DEPTH = 16
MAX_FILES = 10_000
MAX_URLS = 1000
"""Of one file."""
_MAX_PIECES = 1 << 19
_MAX_TEXT = 2048
_MAX_SIGNATURE = 16 << 10
_SIGNATURE_TYPE = "application/pgp-signature"


# --- reading ---------------------------------------------------------------------------------------------


def decode(data: bytes, *, document: str) -> Metalink:
    """Reads a document.

    Unknown elements are skipped, as RFC 5854, section 5, wants it; so are hash functions that `DIGEST_BYTES` does not
    have, and addresses that are neither http nor https.

    Args:
        data: Its bytes.
        document: What to call it in a message.

    Raises:
        FormatError: It is not one, or something in it is out of bounds.
        UnsafePathError: A file's name is unsafe, or stands there twice.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(f"is longer than {MAX_BYTES} bytes", document=document)
    root = _parse(data, document)
    if root.tag == f"{{{_OLD_NAMESPACE}}}metalink":
        raise FormatError("is Metalink 3; only Metalink 4 (RFC 5854) is read. Convert it first.", document=document)
    if root.tag != _tag("metalink"):
        raise FormatError(f"is no Metalink: its root is {shown(root.tag)!r}", document=document)
    reader = _Reader(document)
    elements = root.findall(_tag("file"))
    if not 1 <= len(elements) <= MAX_FILES:
        raise FormatError(f"describes {len(elements)} files; 1 to {MAX_FILES} can be read", document=document)
    base = root.get(_BASE, "")
    files = tuple(reader.file(element, base) for element in elements)
    layout.check_paths((file.name for file in files), document=document)
    origin = root.find(_tag("origin"))
    return Metalink(
        files=files,
        generator=reader.text(root, "generator", "metalink"),
        origin=reader.text(root, "origin", "metalink"),
        dynamic=origin is not None and origin.get("dynamic", "") in {"true", "1"},
        published=reader.time(root, "published"),
        updated=reader.time(root, "updated"),
    )


class _Builder(ET.TreeBuilder):
    """Builds the tree, unless it is deeper than any Metalink is."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self._document = document
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormatError(f"its elements are nested more than {MAX_DEPTH} deep", document=self._document)
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


def _parse(data: bytes, document: str) -> ET.Element:
    parser = defusedxml.ElementTree.XMLParser(target=_Builder(document), forbid_dtd=True)
    try:
        parser.feed(data)
        root = parser.close()
    except DefusedXmlException as error:
        raise FormatError("has a document type or entities, which no Metalink needs", document=document) from error
    except (ET.ParseError, ValueError, LookupError) as error:  # the latter: an encoding that Python does not know
        raise FormatError(f"is no XML: {shown(str(error))}", document=document) from error
    assert isinstance(root, ET.Element)  # noqa: S101  # what its builder gives
    return root


class _Reader:
    """Reads elements; its errors say in which document and file."""

    def __init__(self, document: str) -> None:
        self._document = document

    def file(self, element: ET.Element, base: str) -> MetalinkFile:
        """A ``file`` element."""
        name = element.get("name", "")
        layout.check_path(name, document=self._document)
        where = f"file {name!r}"
        base = urljoin(base, element.get(_BASE, ""))
        size = self.text(element, "size", where)
        urls = tuple(self._urls(element, base, where))
        metaurls = tuple(self._metaurls(element, base, where))
        if element.find(_tag("url")) is None and element.find(_tag("metaurl")) is None:
            raise self._error(where, "has neither a url nor a metaurl")
        return MetalinkFile(
            name=name,
            size=self._number(size, where, "size", 0, 1 << 50) if size else None,
            hashes=tuple(self._hashes(element, where)),
            pieces=tuple(self._pieces(element, where)),
            urls=urls,
            metaurls=metaurls,
            identity=self.text(element, "identity", where),
            version=self.text(element, "version", where),
            signature=self._signature(element, where),
        )

    def text(self, parent: ET.Element, name: str, where: str, *, most: int = _MAX_TEXT) -> str:
        """The text of a child that may be missing."""
        found = parent.findall(_tag(name))
        if len(found) > 1:
            raise self._error(where, f"has {len(found)} elements {name!r}; one is allowed")
        return self._own_text(found[0], where, most=most) if found else ""

    def time(self, root: ET.Element, name: str) -> datetime | None:
        """A date and time (RFC 3339); None if it is missing."""
        text = self.text(root, name, "metalink")
        if not text:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError as error:
            raise self._error("metalink", f"{name} {shown(text)!r} is no date and time") from error
        if found.tzinfo is None:
            raise self._error("metalink", f"{name} {shown(text)!r} has no time zone")
        return found.astimezone(UTC)

    def _own_text(self, element: ET.Element, where: str, *, most: int = _MAX_TEXT) -> str:
        text = " ".join("".join(element.itertext()).split())
        if len(text) > most:
            raise self._error(where, f"{_local(element)} is longer than {most} characters")
        return text

    def _urls(self, element: ET.Element, base: str, where: str) -> Iterator[FileUrl]:
        for found in self._children(element, "url", where):
            url = self._address(found, base, where)
            location = found.get("location", "").strip().lower()
            if location and re.fullmatch(r"[a-z]{2}", location) is None:
                raise self._error(where, f"location {shown(location)!r} is no country code of two letters")
            priority = self._priority(found, where)
            if url:
                yield FileUrl(url=url, location=location, priority=priority)

    def _metaurls(self, element: ET.Element, base: str, where: str) -> Iterator[MetaUrl]:
        for found in self._children(element, "metaurl", where):
            mediatype, name = found.get("mediatype", "").strip(), found.get("name", "")
            if not mediatype or len(mediatype) > _MAX_TEXT:
                raise self._error(where, "has a metaurl without a mediatype")
            if name:
                layout.check_path(name, document=self._document)
            priority = self._priority(found, where)
            if url := self._address(found, base, where):
                yield MetaUrl(url=url, mediatype=mediatype, priority=priority, name=name)

    def _children(self, element: ET.Element, name: str, where: str) -> list[ET.Element]:
        found = element.findall(_tag(name))
        if len(found) > MAX_URLS:
            raise self._error(where, f"has {len(found)} elements {name!r}; {MAX_URLS} can be read")
        return found

    def _address(self, element: ET.Element, base: str, where: str) -> str:
        """An absolute address; empty if it is one of a kind that is not read."""
        text = self._own_text(element, where)
        try:
            url = urljoin(urljoin(base, element.get(_BASE, "")), text)
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise self._error(where, f"{shown(text)!r} is no address") from error
        if re.search(r"[\x00-\x20\x7f]", url):
            raise self._error(where, f"{shown(text)!r} has a space or control character")
        if parts.scheme not in {"http", "https"}:
            if not parts.scheme:
                raise self._error(where, f"{shown(text)!r} is no absolute address")
            return ""
        if not host:
            raise self._error(where, f"{shown(text)!r} names no host")
        return url

    def _priority(self, element: ET.Element, where: str) -> int | None:
        text = element.get("priority")
        return None if text is None else self._number(text, where, "priority", 1, MAX_PRIORITY)

    def _hashes(self, element: ET.Element, where: str) -> Iterator[tuple[str, str]]:
        found: dict[str, str] = {}
        for hashed in self._children(element, "hash", where):
            kind = hashed.get("type", "").strip().lower()
            if kind not in DIGEST_BYTES:
                continue
            value = self._digest(hashed, kind, where)
            if found.setdefault(kind, value) != value:
                raise self._error(where, f"has two different hashes of type {kind}")
        yield from found.items()

    def _pieces(self, element: ET.Element, where: str) -> Iterator[Pieces]:
        for found in self._children(element, "pieces", where):
            kind = found.get("type", "").strip().lower()
            length = self._number(found.get("length", ""), where, "length of pieces", 1, 1 << 40)
            hashes = found.findall(_tag("hash"))
            if not 1 <= len(hashes) <= _MAX_PIECES:
                raise self._error(where, f"has {len(hashes)} hashes of pieces; 1 to {_MAX_PIECES} can be read")
            if kind in DIGEST_BYTES:
                values = tuple(self._digest(hashed, kind, where) for hashed in hashes)
                yield Pieces(length=length, type=kind, hashes=values)

    def _digest(self, element: ET.Element, kind: str, where: str) -> str:
        value = self._own_text(element, where).lower()
        if re.fullmatch(rf"[0-9a-f]{{{2 * DIGEST_BYTES[kind]}}}", value) is None:
            raise self._error(where, f"{shown(value)!r} is no hash of type {kind}")
        return value

    def _signature(self, element: ET.Element, where: str) -> str:
        found = element.find(_tag("signature"))
        if found is None or found.get("mediatype", "").strip() != _SIGNATURE_TYPE:
            return ""
        text = "\n".join(line.rstrip() for line in "".join(found.itertext()).strip().splitlines())
        if len(text) > _MAX_SIGNATURE:
            raise self._error(where, f"signature is longer than {_MAX_SIGNATURE} characters")
        return text

    def _number(self, text: str, where: str, what: str, least: int, most: int) -> int:
        if re.fullmatch(r"[0-9]{1,18}", text.strip()) is None or not least <= int(text) <= most:
            raise self._error(where, f"{what} {shown(text)!r} is no number from {least} to {most}")
        return int(text)

    def _error(self, where: str, message: str) -> FormatError:
        return FormatError(f"{where}: {message}", document=self._document)


# --- writing ---------------------------------------------------------------------------------------------


def encode(metalink: Metalink) -> bytes:
    """Writes a document; the same values give the same bytes."""
    root = ET.Element("metalink", {"xmlns": NAMESPACE})
    _add(root, "generator", metalink.generator)
    _add(root, "origin", metalink.origin, **({"dynamic": "true"} if metalink.dynamic else {}))
    for name, time in (("published", metalink.published), ("updated", metalink.updated)):
        _add(root, name, _stamp(time) if time is not None else "")
    for file in metalink.files:
        _add_file(root, file)
    ET.indent(root, " ")
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _add_file(root: ET.Element, file: MetalinkFile) -> None:
    element = ET.SubElement(root, "file", {"name": file.name})
    _add(element, "identity", file.identity)
    _add(element, "version", file.version)
    _add(element, "size", "" if file.size is None else str(file.size))
    for kind, value in file.hashes:
        _add(element, "hash", value, type=kind)
    for pieces in file.pieces:
        found = ET.SubElement(element, "pieces", {"length": str(pieces.length), "type": pieces.type})
        for value in pieces.hashes:
            _add(found, "hash", value)
    _add(element, "signature", file.signature, mediatype=_SIGNATURE_TYPE)
    for metaurl in file.metaurls:
        name = {"name": metaurl.name} if metaurl.name else {}
        _add(element, "metaurl", metaurl.url, mediatype=metaurl.mediatype, **name, **_priority(metaurl.priority))
    for url in file.urls:
        location = {"location": url.location} if url.location else {}
        _add(element, "url", url.url, **location, **_priority(url.priority))


def _add(parent: ET.Element, tag: str, text: str, /, **attributes: str) -> None:
    """Adds a child, unless it would be empty."""
    if text:
        ET.SubElement(parent, tag, attributes).text = text


def _priority(priority: int | None) -> dict[str, str]:
    return {} if priority is None else {"priority": str(priority)}


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
