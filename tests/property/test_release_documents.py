"""Signed documents: the round trip is exact, and damage gives our own errors and nothing else."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from ossdist.errors import FormatError, OssdistError
from ossdist.release import model
from ossdist.release.model import (
    Channel,
    Dependency,
    File,
    HybridTorrent,
    Mirror,
    Release,
    ReleaseEntry,
    Role,
    Roles,
    Root,
    V1Torrent,
    decode_channel,
    decode_release,
    decode_root,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ALNUM = string.ascii_letters + string.digits

sha1 = st.text("0123456789abcdef", min_size=40, max_size=40)
sha256 = st.text("0123456789abcdef", min_size=64, max_size=64)
fingerprints = st.text("0123456789ABCDEF", min_size=40, max_size=40)
names = st.builds(str.__add__, st.sampled_from(ALNUM), st.text(ALNUM + "._+-", max_size=20))
versions = st.builds(str.__add__, st.sampled_from(ALNUM), st.text(ALNUM + "._+~:-", max_size=20))
times = st.datetimes(
    timezones=st.just(UTC) | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
)
piece_lengths = st.sampled_from([1 << power for power in range(14, 28)])


@st.composite
def roots(draw: st.DrawFn) -> Root:
    listed = draw(st.lists(fingerprints, min_size=1, max_size=5, unique=True))

    def role() -> Role:
        keys = draw(st.lists(st.sampled_from(listed), min_size=1, unique=True))
        return Role(keys=tuple(keys), threshold=draw(st.integers(1, len(keys))))

    return Root(
        serial=draw(st.integers(1, 1 << 53)),
        expires=draw(times),
        keys={key: draw(st.text(max_size=20)) for key in listed},
        roles=Roles(root=role(), channel=role(), release=role()),
    )


@st.composite
def channels(draw: st.DrawFn) -> Channel:
    serial = draw(st.integers(1, 1 << 53))
    entries = st.builds(
        ReleaseEntry,
        name=names,
        version=versions,
        serial=st.integers(1, serial),
        length=st.integers(1, model.MAX_RELEASE_BYTES),
        sha256=sha256,
    )
    listed = st.lists(entries, max_size=5, unique_by=lambda entry: f"{entry.name}-{entry.version}".casefold())
    return Channel(serial=serial, issued=draw(times), expires=draw(times), releases=tuple(draw(listed)))


files = st.builds(File, path=st.just(""), length=st.integers(0, 1 << 50), sha256=sha256)
releases = st.builds(
    Release,
    name=names,
    version=versions,
    purl=st.sampled_from(["pkg:generic/a@1", "pkg:deb/debian/curl@7.88.1-10%2Bdeb12u5?arch=amd64"]),
    issued=times,
    files=st.lists(files, min_size=1, max_size=5)
    .filter(lambda listed: any(file.length for file in listed))
    .map(
        lambda listed: tuple(
            File(path=f"folder/{number}.bin", length=file.length, sha256=file.sha256)
            for number, file in enumerate(listed)
        )
    ),
    hybrid=st.builds(HybridTorrent, info_hash_v1=sha1, info_hash_v2=sha256, piece_length=piece_lengths),
    v1=st.builds(V1Torrent, info_hash_v1=sha1, piece_length=piece_lengths),
    trackers=st.lists(st.just("udp://tracker.example.org:6969"), max_size=2).map(tuple),
    mirrors=st.lists(
        st.builds(
            Mirror,
            url=st.just("https://m.example.org/pub"),
            location=st.none() | st.just("de"),
            priority=st.integers(1, 999_999),
        ),
        max_size=2,
    ).map(tuple),
    dependencies=st.lists(
        st.builds(Dependency, purl=st.just("pkg:deb/debian/libc6"), versions=st.text(max_size=20)), max_size=2
    ).map(tuple),
)


@given(roots())
def test_a_root_comes_back_as_it_was(root: Root) -> None:
    assert decode_root(encode(root)) == root
    assert encode(decode_root(encode(root))) == encode(root)


@given(channels())
def test_a_channel_comes_back_as_it_was(channel: Channel) -> None:
    assert decode_channel(encode(channel)) == channel
    assert encode(decode_channel(encode(channel))) == encode(channel)


@given(releases)
def test_a_release_comes_back_as_it_was(release: Release) -> None:
    assert decode_release(encode(release)) == release
    assert encode(decode_release(encode(release))) == encode(release)


def survives(decode: Callable[[bytes], object], data: bytes) -> None:
    """Decodes or refuses; anything else fails the test."""
    try:
        value = decode(data)
    except OssdistError as error:
        assert str(error)  # noqa: PT017  # not the point here
    else:
        assert isinstance(value, Root | Channel | Release)


@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"1" * 5_000)
@example(b"1e999999")
@example(b'"\\ud800"')
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for decode in (decode_root, decode_channel, decode_release):
        survives(decode, data)


@given(data=st.data())
def test_damaged_documents_are_decoded_or_refused(data: st.DataObject) -> None:
    documents: list[tuple[Callable[[bytes], object], bytes]] = [
        (decode_root, encode(data.draw(roots()))),
        (decode_channel, encode(data.draw(channels()))),
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


@given(channels(), names)
def test_the_newest_has_the_highest_serial(channel: Channel, name: str) -> None:
    found = channel.find(name)
    serials = [entry.serial for entry in channel.releases if entry.name == name]
    assert (found.serial if found else None) == max(serials, default=None)


def test_the_strategies_reach_the_interesting_dates() -> None:
    early, late = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    channel = Channel(serial=1, issued=early, expires=late, releases=())
    assert decode_channel(encode(channel)) == channel
