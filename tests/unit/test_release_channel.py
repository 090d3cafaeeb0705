"""The channel's document and the pages of its index: what fits together, and what must not."""

from __future__ import annotations

import msgspec
import pytest

from ossdist.errors import FormatError
from ossdist.release.channel import (
    MAX_INDEX_BYTES,
    MAX_PAGE_BYTES,
    PAGE_RELEASES,
    Channel,
    Page,
    ReleaseEntry,
    assemble,
    decode_channel,
    decode_page,
    paginate,
)
from ossdist.release.model import encode
from tests.documents import CHANNEL
from tests.releases import channel_of, entry_of


def joined(channel: Channel) -> Channel:
    """What a reader gets."""
    document, pages = paginate(channel)
    return assemble(
        decode_channel(encode(document)), [decode_page(data, document=path) for path, data in pages.items()]
    )


def test_the_newest_is_the_one_with_the_highest_serial() -> None:
    # "1.9" is above "1.10" as text and as a decimal number.
    found = channel_of(
        entry_of(version="2.0", serial=1),
        entry_of(version="1.10", serial=2),
        entry_of(version="1.9", serial=3),
        entry_of(name="other", version="9", serial=4),
    )
    assert found.find("tool") == found.releases[2]
    assert found.find("tool", "2.0") == found.releases[0]
    assert found.find("tool", "3.0") is None
    assert found.find("nothing") is None


def test_what_was_withdrawn_is_found_by_its_version_alone() -> None:
    found = channel_of(entry_of(version="1", serial=1), entry_of(version="2", serial=2, withdrawn="broken"))
    assert found.find("tool") == found.releases[0]
    assert found.find("tool", "2") == found.releases[1]
    assert channel_of(found.releases[1]).find("tool") is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a", "1"), ("a", "1")),
        (("a-1", "2"), ("a", "1-2")),
        (("Tool", "1"), ("tool", "1")),
        (("a", "1.0RC"), ("a", "1.0rc")),
    ],
)
def test_two_releases_cannot_share_a_folder(first: tuple[str, str], second: tuple[str, str]) -> None:
    entries = [entry_of(name=name, version=version) for name, version in (first, second)]
    with pytest.raises(FormatError, match="listed twice"):
        joined(channel_of(*entries))


def test_a_release_is_not_newer_than_its_channel() -> None:
    assert joined(channel_of(entry_of(serial=9), serial=9))
    with pytest.raises(FormatError, match="above the channel's own"):
        joined(channel_of(entry_of(serial=10), serial=9))


def test_releases_stand_in_the_order_in_which_they_came() -> None:
    assert joined(channel_of(entry_of(version="1", serial=2), entry_of(version="2", serial=2)))
    with pytest.raises(FormatError, match="before an older"):
        joined(channel_of(entry_of(version="1", serial=2), entry_of(version="2", serial=1)))


def test_an_entry_knows_its_path() -> None:
    assert entry_of(version="1:2.0~rc1").path == "releases/tool/1%3a2.0~rc1/release.json"
    assert entry_of().title == "tool 1.0"


def test_a_page_is_listed_once() -> None:
    page = Page(length=1, sha256="0" * 64)
    with pytest.raises(FormatError, match="twice"):
        decode_channel(encode(msgspec.structs.replace(CHANNEL, index=(page, page))))


def test_an_index_that_nobody_can_keep_is_refused() -> None:
    count = MAX_INDEX_BYTES // MAX_PAGE_BYTES
    pages = tuple(Page(length=MAX_PAGE_BYTES, sha256=f"{number:064x}") for number in range(count + 1))
    assert decode_channel(encode(msgspec.structs.replace(CHANNEL, index=pages[:-1])))
    with pytest.raises(FormatError, match="index"):
        decode_channel(encode(msgspec.structs.replace(CHANNEL, index=pages)))


def test_a_new_release_changes_the_last_page_alone() -> None:
    entries: list[ReleaseEntry] = [entry_of(version=str(n), serial=n) for n in range(1, 2 * PAGE_RELEASES + 2)]
    _, before = paginate(channel_of(*entries[:-1], serial=1000))
    _, after = paginate(channel_of(*entries, serial=1001))
    assert [len(decode_page(data, document="p").releases) for data in after.values()] == [
        PAGE_RELEASES,
        PAGE_RELEASES,
        1,
    ]
    assert list(after)[:2] == list(before)
