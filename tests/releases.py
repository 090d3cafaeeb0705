"""Values of signed documents for tests that need no files and no gpg."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ossdist.release.channel import Channel, ReleaseEntry, paginate
from ossdist.release.memory import ChannelMemory
from ossdist.release.model import File, HybridTorrent, Release, Role, Roles, Root, V1Torrent, encode
from ossdist.release.trust import CheckedSignature

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ALICE, BOB, CAROL = "A" * 40, "B" * 40, "C" * 40

RELEASE = Release(
    channel="main",
    name="tool",
    version="1.0",
    purl="pkg:generic/tool@1.0",
    issued=NOW,
    files=(File(path="a", length=5, sha256="0" * 64),),
    hybrid=HybridTorrent(info_hash_v1="0" * 40, info_hash_v2="0" * 64, piece_length=1 << 20),
    v1=V1Torrent(info_hash_v1="1" * 40, piece_length=1 << 20),
)


def root_of(
    *keys: str,
    serial: int = 1,
    threshold: int = 1,
    channel: str = "main",
    channel_keys: Sequence[str] | None = None,
    expires: datetime = NOW + DAY,
) -> Root:
    """A root whose every role has these keys; nobody made them."""
    role = Role(keys=keys, threshold=threshold)
    signs_channel = role if channel_keys is None else Role(keys=tuple(channel_keys), threshold=1)
    return Root(
        channel=channel,
        serial=serial,
        expires=expires,
        keys=dict.fromkeys((*keys, *signs_channel.keys), "no key"),
        roles=Roles(root=role, channel=signs_channel, release=role),
    )


def signed_by(*keys: str) -> list[CheckedSignature]:
    """Good signatures of these keys."""
    return [CheckedSignature(key) for key in keys]


def entry_of(
    data: bytes = b"manifest",
    *,
    name: str = "tool",
    version: str = "1.0",
    serial: int = 1,
    withdrawn: str | None = None,
) -> ReleaseEntry:
    """The entry of a release with that manifest."""
    digest = hashlib.sha256(data).hexdigest()
    return ReleaseEntry(name=name, version=version, serial=serial, length=len(data), sha256=digest, withdrawn=withdrawn)


def channel_of(
    *releases: ReleaseEntry,
    serial: int = 5,
    channel: str = "main",
    issued: datetime = NOW,
    expires: datetime = NOW + DAY,
) -> Channel:
    """A channel with these releases."""
    return Channel(channel=channel, serial=serial, issued=issued, expires=expires, releases=releases)


def published(channel: Channel) -> ChannelMemory:
    """A channel's documents, as a reader gets and remembers them."""
    document, pages = paginate(channel)
    return ChannelMemory(encode(document), tuple(pages.values()))
