"""Signed documents for tests: one of each kind, and strategies for all that may be signed."""

from __future__ import annotations

import json
import string
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from ossdist.release import model
from ossdist.release.channel import (
    MAX_PAGE_BYTES,
    ChannelDocument,
    Page,
    PageDocument,
    ReleaseEntry,
    decode_channel,
    decode_page,
)
from ossdist.release.model import (
    Dependency,
    Document,
    File,
    HybridTorrent,
    Mirror,
    Release,
    Role,
    Roles,
    Root,
    V1Torrent,
    decode_release,
    decode_root,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE, BOB = "A" * 40, "B" * 40
NOW = datetime(2026, 1, 1, tzinfo=UTC)

ROLE = Role(keys=(ALICE, BOB), threshold=2)
ROOT = Root(
    channel="main",
    serial=1,
    expires=NOW,
    keys={ALICE: "a", BOB: "b"},
    roles=Roles(root=ROLE, channel=ROLE, release=ROLE),
)
ENTRY = ReleaseEntry(name="tool", version="1.0", serial=3, length=10, sha256="0" * 64)
PAGE = PageDocument(releases=(ENTRY,))
CHANNEL = ChannelDocument(channel="main", serial=3, issued=NOW, expires=NOW, index=(Page(length=10, sha256="0" * 64),))
RELEASE = Release(
    channel="main",
    name="tool",
    version="1.0",
    purl="pkg:generic/tool@1.0",
    issued=NOW,
    files=(File(path="dir/a.bin", length=5, sha256="0" * 64), File(path="b", length=0, sha256="1" * 64)),
    hybrid=HybridTorrent(info_hash_v1="0" * 40, info_hash_v2="0" * 64, piece_length=1 << 20),
    v1=V1Torrent(info_hash_v1="1" * 40, piece_length=1 << 20),
    trackers=("udp://tracker.example.org:6969/announce", "https://tracker.example.org/announce?key=1"),
    mirrors=(Mirror(url="https://mirror.example.org/pub", location="de"),),
    dependencies=(Dependency(purl="pkg:deb/debian/libc6", versions=">= 2.36"),),
)

DECODERS: list[tuple[Document, Callable[[bytes], object]]] = [
    (ROOT, decode_root),
    (CHANNEL, decode_channel),
    (PAGE, lambda data: decode_page(data, document="index/page.json")),
    (RELEASE, decode_release),
]

type_ids = ["root", "channel", "page", "release"]
every_document = pytest.mark.parametrize(("document", "decode"), DECODERS, ids=type_ids)


def changed(document: Document, path: str, value: object) -> bytes:
    """The document's JSON with ``value`` at the dotted ``path``."""
    whole = json.loads(encode(document))
    *folders, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    part = whole
    for folder in folders:
        part = part[folder]
    part[last] = value
    return json.dumps(whole).encode()


# --- strategies ------------------------------------------------------------------------------------------

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
        channel=draw(names),
        serial=draw(st.integers(1, 1 << 53)),
        expires=draw(times),
        keys={key: draw(st.text(max_size=20)) for key in listed},
        roles=Roles(root=role(), channel=role(), release=role()),
    )


channels = st.builds(
    ChannelDocument,
    channel=names,
    serial=st.integers(1, 1 << 53),
    issued=times,
    expires=times,
    index=st.lists(
        st.builds(Page, length=st.integers(1, MAX_PAGE_BYTES), sha256=sha256),
        max_size=5,
        unique_by=lambda page: page.sha256,
    ).map(tuple),
)
pages = st.builds(
    PageDocument,
    releases=st.lists(
        st.builds(
            ReleaseEntry,
            name=names,
            version=versions,
            serial=st.integers(1, 1 << 53),
            length=st.integers(1, model.MAX_RELEASE_BYTES),
            sha256=sha256,
            withdrawn=st.none() | st.text(min_size=1, max_size=20),
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
)


files = st.builds(File, path=st.just(""), length=st.integers(0, 1 << 50), sha256=sha256)
releases = st.builds(
    Release,
    channel=names,
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
