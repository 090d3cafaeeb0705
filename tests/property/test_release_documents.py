"""Signed documents: the round trip is exact, and damage gives our own errors and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from ossdist.errors import FormatError, OssdistError
from ossdist.release import model
from ossdist.release.channel import Channel, ChannelDocument, PageDocument, decode_channel, decode_page
from ossdist.release.model import Document, Release, Root, decode_release, decode_root, encode
from tests.documents import NOW, channels, names, pages, releases, roots

if TYPE_CHECKING:
    from collections.abc import Callable


@given(roots())
def test_a_root_comes_back_as_it_was(root: Root) -> None:
    assert decode_root(encode(root)) == root
    assert encode(decode_root(encode(root))) == encode(root)


@given(channels)
def test_a_channel_comes_back_as_it_was(channel: ChannelDocument) -> None:
    assert decode_channel(encode(channel)) == channel
    assert encode(decode_channel(encode(channel))) == encode(channel)


@given(pages)
def test_a_page_of_the_index_comes_back_as_it_was(page: PageDocument) -> None:
    assert page_of(encode(page)) == page
    assert encode(page_of(encode(page))) == encode(page)


@given(releases)
def test_a_release_comes_back_as_it_was(release: Release) -> None:
    assert decode_release(encode(release)) == release
    assert encode(decode_release(encode(release))) == encode(release)


def page_of(data: bytes) -> PageDocument:
    return decode_page(data, document="index/page.json")


def survives(decode: Callable[[bytes], object], data: bytes) -> None:
    """Decodes or refuses; anything else fails the test."""
    try:
        value = decode(data)
    except OssdistError as error:
        assert str(error)  # noqa: PT017  # not the point here
    else:
        assert isinstance(value, Document)


@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"1" * 5_000)
@example(b"1e999999")
@example(b'"\\ud800"')
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for decode in (decode_root, decode_channel, page_of, decode_release):
        survives(decode, data)


@given(data=st.data())
def test_damaged_documents_are_decoded_or_refused(data: st.DataObject) -> None:
    documents: list[tuple[Callable[[bytes], object], bytes]] = [
        (decode_root, encode(data.draw(roots()))),
        (decode_channel, encode(data.draw(channels))),
        (page_of, encode(data.draw(pages))),
        (decode_release, encode(data.draw(releases))),
    ]
    for decode, good in documents:
        damaged = bytearray(good)
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(damaged)))
            damaged[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        survives(decode, bytes(damaged))


@given(st.text(max_size=60), st.sampled_from(["", "pkg:", "pkg:deb/", "pkg:deb/a@1?x=", "pkg:deb/a#"]))
def test_any_package_url_is_taken_or_refused(text: str, start: str) -> None:
    try:
        model.check_purl(start + text, document="d")
    except FormatError as error:
        assert error.document == "d"  # noqa: PT017


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://[", "udp://a:"]))
@example("a:\u0661", "http://")
@example("\uff0f", "http://a")
def test_any_address_is_taken_or_refused(text: str, start: str) -> None:
    try:
        model.check_url(start + text, schemes=("http", "https", "udp"), document="d")
    except FormatError as error:
        assert error.document == "d"  # noqa: PT017
    else:
        assert (start + text).isprintable()


@given(pages, names)
def test_the_newest_has_the_highest_serial(page: PageDocument, name: str) -> None:
    channel = Channel(channel="main", serial=1, issued=NOW, expires=NOW, releases=page.releases)
    found = channel.find(name)
    serials = [entry.serial for entry in page.releases if entry.name == name and entry.withdrawn is None]
    assert (found.serial if found is not None else None) == max(serials, default=None)


def test_the_strategies_reach_the_interesting_dates() -> None:
    early, late = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    channel = ChannelDocument(channel="main", serial=1, issued=early, expires=late)
    assert decode_channel(encode(channel)) == channel
