"""Lists of mirrors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.errors import FormatError
from ossdist.metalink import lists
from ossdist.metalink.document import MAX_PRIORITY
from ossdist.metalink.lists import ListedMirror


def read(text: str) -> tuple[ListedMirror, ...]:
    return lists.decode(text.encode(), document="mirrors.txt")


def test_a_plain_list() -> None:
    text = "\ufeff# ours\r\nhttps://a.example/pub/\r\n\r\n  http://b.example  \nhttps://a.example/pub/\n"
    assert read(text) == (ListedMirror(url="https://a.example/pub/"), ListedMirror(url="http://b.example"))


def test_the_example_of_apts_manual() -> None:
    found = read(
        "file:/srv/local/debian/mirror/\tpriority:1 type:index\n"
        "http://partial.example.org/mirror/\tpriority:2 arch:amd64 arch:all type:deb\n"
        "http://ftp.us.debian.org/debian/\ttype:deb\n"
        "https://deb.debian.org/debian/\n"
    )
    assert found == (
        ListedMirror(url="file:/srv/local/debian/mirror/", priority=1, restrictions={"type": ("index",)}),
        ListedMirror(
            url="http://partial.example.org/mirror/",
            priority=2,
            restrictions={"arch": ("amd64", "all"), "type": ("deb",)},
        ),
        ListedMirror(url="http://ftp.us.debian.org/debian/", restrictions={"type": ("deb",)}),
        ListedMirror(url="https://deb.debian.org/debian/"),
    )
    (site,) = lists.sites(found)  # the others are on this machine, or have some files alone
    assert (site.url, site.priority) == ("https://deb.debian.org/debian/", MAX_PRIORITY)


def test_keys_that_nobody_knows_are_skipped() -> None:
    assert read("http://a.example/\tcolour:red priority:3") == (ListedMirror(url="http://a.example/", priority=3),)


@pytest.mark.parametrize(("said", "meant"), [("0", 1), ("999999999", MAX_PRIORITY)])
def test_priorities_stay_within_metalinks(said: str, meant: int) -> None:
    assert read(f"http://a.example/\tpriority:{said}")[0].priority == meant


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.example", "'a.example' is no address"),
        ("http:///pub", "names no host"),
        ("http://[::1/", "is no address"),
        ("http://a.example:x/", "is no address"),
        ("HTTP//", "is no address"),
        ("http://a.example/ priority", "'priority' is not KEY:VALUE"),
        ("http://a.example/ priority:", "'priority:' is not KEY:VALUE"),
        ("http://a.example/ priority:-1", "priority '-1' is no number"),
        ("http://a.example/\x07", "is no address"),
        (f"http://a.example/{'x' * 5000}", "is longer than 4096"),
    ],
)
def test_a_bad_line_is_named(line: str, reason: str) -> None:
    with pytest.raises(FormatError, match=r"mirrors\.txt, line 3") as caught:
        read(f"# ours\nhttp://b.example/\n{line}\n")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "is not UTF-8 from byte 0 on"),
        (b"\n" * 10_001, "more than 10000 lines"),
        (b" " * (lists.MAX_BYTES + 1), "longer than"),
    ],
)
def test_what_is_no_list_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        lists.decode(data, document="mirrors.txt")


MIRRORS = st.builds(
    ListedMirror,
    url=st.builds("http://{}.example/{}".format, st.text("abc", min_size=1, max_size=3), st.text("x/%", max_size=4)),
    priority=st.none() | st.integers(1, MAX_PRIORITY),
    restrictions=st.dictionaries(
        st.sampled_from(["arch", "suite", "type"]), st.lists(st.sampled_from(["x", "y"]), min_size=1).map(tuple)
    ),
)


@given(st.lists(MIRRORS, unique_by=lambda mirror: mirror.url))
def test_what_is_written_for_apt_comes_back(listed: list[ListedMirror]) -> None:
    assert lists.decode(lists.encode_apt(listed), document="x") == tuple(listed)


@given(st.lists(MIRRORS, unique_by=lambda mirror: mirror.url))
def test_a_plain_list_keeps_the_order_of_preference(listed: list[ListedMirror]) -> None:
    found = lists.decode(lists.encode_plain(listed), document="x")
    assert {mirror.url for mirror in found} == {mirror.url for mirror in listed}
    priorities = {mirror.url: mirror.priority or MAX_PRIORITY for mirror in listed}
    assert [priorities[mirror.url] for mirror in found] == sorted(priorities.values())


@given(st.binary(max_size=200))
def test_anything_else_is_read_or_refused(data: bytes) -> None:
    try:
        found = lists.decode(data, document="x")
    except FormatError:
        return
    assert all(mirror.url.isprintable() for mirror in found)
