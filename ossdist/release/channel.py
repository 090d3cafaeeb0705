"""The channel: a small signed document that lists pages of an index by hash, and the releases in those pages.

Releases stand in the order in which they were added, `PAGE_RELEASES` a page, so an update changes the last page alone
(docs/adr/0006). A page is not signed: its hash stands in the signed document.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ossdist.errors import FormatError
from ossdist.release import layout
from ossdist.release.model import (
    MAX_RELEASE_BYTES,
    Document,
    Name,
    Serial,
    Sha256Hex,
    Timestamp,
    Version,
    decode_document,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CHANNEL_BYTES = 1 << 20
MAX_PAGE_BYTES = 1 << 20
"""Bounds for what is read (the endless-data attack of TUF's list); a page's length is signed, and bounded too."""

PAGE_RELEASES = 256
"""How many releases stand in a full page."""

_MAX_PAGES = 4096

MAX_INDEX_BYTES = 64 << 20
"""Of all pages together: some 250,000 releases."""


class ReleaseEntry(Document, frozen=True, kw_only=True):
    """One release in the channel. Once listed it stays as it is; only `withdrawn` may be added.

    Attributes:
        name: The package.
        version: Its version, as text; never compared to find out what is newer.
        serial: The channel's serial when this release was added: higher is newer.
        length: Bytes of its manifest.
        sha256: Of its manifest.
        withdrawn: Why nobody should install it any more; None if it is good.
    """

    name: Name
    version: Version
    serial: Serial
    length: Annotated[int, msgspec.Meta(ge=1, le=MAX_RELEASE_BYTES)]
    sha256: Sha256Hex
    withdrawn: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None

    @property
    def path(self) -> str:
        """Where the manifest stands in the channel's folder."""
        return layout.release_path(self.name, self.version)

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"{self.name} {self.version}"


class Page(Document, frozen=True, kw_only=True):
    """A page of the index, as the channel lists it.

    Attributes:
        length: In bytes.
        sha256: Of its bytes; also its name in the channel's folder.
    """

    length: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE_BYTES)]
    sha256: Sha256Hex

    @property
    def path(self) -> str:
        """Where it stands in the channel's folder."""
        return layout.page_path(self.sha256)


class ChannelDocument(Document, frozen=True, kw_only=True):
    """``channel.json``, the document that is signed.

    Attributes:
        format: Always ``ossdist-channel-1``.
        channel: The channel's name, the same as in its root.
        serial: Counts up with each change.
        issued: When it was signed.
        expires: Until when it may be believed.
        index: The pages that list its releases, in the order in which they were added.
    """

    format: Literal["ossdist-channel-1"] = "ossdist-channel-1"
    channel: Name
    serial: Serial
    issued: Timestamp
    expires: Timestamp
    index: Annotated[tuple[Page, ...], msgspec.Meta(max_length=_MAX_PAGES)] = ()


class PageDocument(Document, frozen=True, kw_only=True):
    """A page of the index as a document. Nobody signs it: the channel lists it by hash.

    Attributes:
        format: Always ``ossdist-index-1``.
        releases: In the order in which they were added.
    """

    format: Literal["ossdist-index-1"] = "ossdist-index-1"
    releases: Annotated[tuple[ReleaseEntry, ...], msgspec.Meta(min_length=1, max_length=4 * PAGE_RELEASES)]


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """Every release that the channel lists: its document and pages as one value.

    Attributes:
        channel: The channel's name.
        serial: Counts up with each change.
        issued: When it was signed.
        expires: Until when it may be believed.
        releases: All of them, in the order in which they were added.
    """

    channel: str
    serial: int
    issued: Timestamp
    expires: Timestamp
    releases: tuple[ReleaseEntry, ...] = ()

    def find(self, name: str, version: str | None = None) -> ReleaseEntry | None:
        """The release of that name and version; without a version the newest that was not withdrawn, or None."""
        candidates = [
            entry
            for entry in self.releases
            if entry.name == name and (entry.withdrawn is None if version is None else entry.version == version)
        ]
        return max(candidates, key=lambda entry: entry.serial, default=None)


def decode_channel(data: bytes) -> ChannelDocument:
    """Decodes a channel document.

    Raises:
        FormatError: It is not one, lists a page twice, or more of them than anybody can keep.
    """
    document = decode_document(data, ChannelDocument, document=layout.CHANNEL, limit_bytes=MAX_CHANNEL_BYTES)
    if len({page.sha256 for page in document.index}) != len(document.index):
        raise FormatError("it lists a page of the index twice", document=layout.CHANNEL)
    if sum(page.length for page in document.index) > MAX_INDEX_BYTES:
        raise FormatError(f"its index has more than {MAX_INDEX_BYTES} bytes", document=layout.CHANNEL)
    return document


def decode_page(data: bytes, *, document: str) -> PageDocument:
    """Decodes a page of the index. Compare its hash first.

    Raises:
        FormatError: It is not one.
    """
    return decode_document(data, PageDocument, document=document, limit_bytes=MAX_PAGE_BYTES)


def assemble(document: ChannelDocument, pages: Iterable[PageDocument]) -> Channel:
    """Joins a channel's document and its pages.

    Raises:
        FormatError: It lists a release with a serial above its own, or below its predecessor's, or two releases that
            would stand in the same folder.
    """
    entries = tuple(entry for page in pages for entry in page.releases)
    seen: dict[str, ReleaseEntry] = {}
    before = 0
    for entry in entries:
        # "a-1" 2 and "a" 1-2 share a folder, and on some servers "A" and "a" do.
        other = seen.setdefault(layout.folder_name(entry.name, entry.version).casefold(), entry)
        if other is not entry:
            reason = f"{entry.title} is listed twice, or shares its folder with {other.title}"
            raise FormatError(reason, document=layout.CHANNEL)
        if entry.serial > document.serial:
            reason = f"{entry.title} has serial {entry.serial}, above the channel's own"
            raise FormatError(reason, document=layout.CHANNEL)
        if entry.serial < before:
            raise FormatError(f"{entry.title} stands before an older release", document=layout.CHANNEL)
        before = entry.serial
    return Channel(
        channel=document.channel,
        serial=document.serial,
        issued=document.issued,
        expires=document.expires,
        releases=entries,
    )


def paginate(channel: Channel) -> tuple[ChannelDocument, dict[str, bytes]]:
    """Takes a channel apart into the document that is to be signed and its pages.

    Returns:
        The document, and the pages' bytes by their paths. The same releases give the same pages.
    """
    pages: dict[str, bytes] = {}
    listed: list[Page] = []
    for start in range(0, len(channel.releases), PAGE_RELEASES):
        data = encode(PageDocument(releases=channel.releases[start : start + PAGE_RELEASES]))
        page = Page(length=len(data), sha256=hashlib.sha256(data).hexdigest())
        listed.append(page)
        pages[page.path] = data
    document = ChannelDocument(
        channel=channel.channel,
        serial=channel.serial,
        issued=channel.issued,
        expires=channel.expires,
        index=tuple(listed),
    )
    return document, pages


def taken_apart(channel: Channel) -> tuple[bytes, dict[str, bytes]]:
    """A channel's document and pages as bytes, the pages by their paths.

    Raises:
        FormatError: A reader would refuse them.
    """
    document, pages = paginate(channel)
    data = encode(document)
    assemble(decode_channel(data), [decode_page(page, document=path) for path, page in pages.items()])
    return data, pages
