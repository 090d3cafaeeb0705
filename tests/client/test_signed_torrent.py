"""A ``.torrent`` alone: its release is believed under the root, or it is refused; no channel is asked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ossdist.client import Client
from ossdist.errors import (
    ExpiredError,
    ForeignDocumentError,
    FormatError,
    NotFoundError,
    OssdistError,
    SignatureError,
    StorageError,
    TorrentMismatchError,
)
from ossdist.release import layout, model
from ossdist.swarm import load_metainfo
from ossdist.swarm.metainfo import dress
from ossdist.transfer.watch import Swarm
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, TestChannel, make_channel, noise, port_of, publish, published_channel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from ossdist.transfer.metainfo import Address
    from tests.keys import Keys

CONTENT = noise(300_000)


@dataclass(frozen=True)
class Seeded:
    """A release and a seed of it."""

    channel: TestChannel
    peer: Address

    def torrent(self, *, v1: bool = False) -> Path:
        return self.channel.folder / layout.torrent_path("tool", "1.0", v1=v1)


@asynccontextmanager
async def seeded(channel: TestChannel) -> AsyncGenerator[Seeded]:
    async with Client(channel.folder, root=channel.root, config=CONFIG) as seed:
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        yield Seeded(channel, port_of(seed))


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, {"tool.bin": CONTENT, "docs/read me": b"hello"})


def client_of(channel: TestChannel, root: bytes | None = None) -> Client:
    """A client that knows the root and no channel."""
    return Client(root=root or channel.root.read_bytes(), config=CONFIG)


@pytest.mark.parametrize("v1", [False, True])
@asynchronous
async def test_a_torrent_alone_is_enough(channel: TestChannel, tmp_path: Path, *, v1: bool) -> None:
    async with seeded(channel) as seed, client_of(channel) as client:
        to = tmp_path / "to"
        report = await client.add_torrent(seed.torrent(v1=v1), to=to, peers=[seed.peer])
        assert all(file.verified for file in report.files)
        assert report.swarm == (Swarm.V1 if v1 else Swarm.HYBRID).value
        assert (to / "tool.bin").read_bytes() == CONTENT
        assert (to / "docs/read me").read_bytes() == b"hello"
        (seeding,) = client.seeding
        assert list(seeding.torrents) == [Swarm.V1 if v1 else Swarm.HYBRID]
        again = await client.add_torrent(seed.torrent(v1=v1).read_bytes(), to=to, share=False)
        assert again.files[0].bytes_from.reuse == again.files[0].bytes


@asynchronous
async def test_a_client_without_a_channel_says_so(channel: TestChannel, tmp_path: Path) -> None:
    async with client_of(channel) as client:
        with pytest.raises(NotFoundError, match="none"):
            await client.download("tool", to=tmp_path / "to")


async def refused(client: Client, torrent: Path | bytes, tmp_path: Path, error: type[OssdistError], match: str) -> None:
    with pytest.raises(error, match=match):
        await client.add_torrent(torrent, to=tmp_path / "to")
    assert not (tmp_path / "to").exists()


@asynchronous
async def test_what_nobody_signed_is_refused(channel: TestChannel, keys: Keys, tmp_path: Path) -> None:
    torrent = channel.folder / layout.torrent_path("tool", "1.0", v1=False)
    metainfo = load_metainfo(torrent.read_bytes())
    assert metainfo.release is not None
    document = metainfo.release
    tampered = document.replace(b"tool.bin", b"tool.bim")
    by_mallory = {keys.mallory: keys.signer.sign(document, keys.mallory)}
    async with client_of(channel) as client:
        for made, error, match in (
            (dress(metainfo), FormatError, "carries no release"),
            (dress(metainfo, release=document), SignatureError, "none by a key of this role"),
            (dress(metainfo, release=document, signatures=by_mallory), SignatureError, "0 good"),
            (dress(metainfo, release=tampered, signatures=dict(metainfo.signatures)), SignatureError, "bad"),
        ):
            await refused(client, made.data, tmp_path, error, match)
        await refused(client, b"no torrent", tmp_path, FormatError, "not a torrent")
        await refused(client, tmp_path / "nothing.torrent", tmp_path, StorageError, r"nothing\.torrent")


@asynchronous
async def test_thousands_of_strange_signatures_cost_nothing(channel: TestChannel, keys: Keys, tmp_path: Path) -> None:
    metainfo = load_metainfo((channel.folder / layout.torrent_path("tool", "1.0", v1=False)).read_bytes())
    assert metainfo.release is not None
    strange = {f"{number:040X}": b"x" * 100 for number in range(5000)}
    flooded = dress(metainfo, release=metainfo.release, signatures=strange | dict(metainfo.signatures))
    async with seeded(channel) as seed, client_of(channel) as client:
        await client.add_torrent(flooded.data, to=tmp_path / "to", peers=[seed.peer])
    assert (tmp_path / "to/tool.bin").read_bytes() == CONTENT


@asynchronous
async def test_a_release_cannot_be_carried_by_another_torrent(channel: TestChannel, tmp_path: Path) -> None:
    await publish(channel, {"tool.bin": noise(300_000, 1)}, version="2.0")
    one, two = (
        load_metainfo((channel.folder / layout.torrent_path("tool", version, v1=False)).read_bytes())
        for version in ("1.0", "2.0")
    )
    swapped = dress(two, release=one.release, signatures=dict(one.signatures))
    async with client_of(channel) as client:
        await refused(client, swapped.data, tmp_path, TorrentMismatchError, "info-hash")


@asynchronous
async def test_another_channels_release_and_an_expired_root(channel: TestChannel, keys: Keys, tmp_path: Path) -> None:
    torrent = channel.folder / layout.torrent_path("tool", "1.0", v1=False)
    other = model.encode(model.decode_root(channel.root.read_bytes())).replace(b'"main"', b'"other"')
    async with client_of(channel, other) as client:
        await refused(client, torrent, tmp_path, ForeignDocumentError, "'main'")
    expired = model.encode(keys.root(keys.alice, expires=datetime(2026, 1, 1, tzinfo=UTC)))
    elsewhere = replace(CONFIG, state_folder=tmp_path / "state")
    async with Client(root=expired, config=elsewhere) as client:
        await refused(client, torrent, tmp_path, ExpiredError, "root")


def test_the_torrents_of_a_new_channel_carry_their_release(tmp_path: Path, keys: Keys) -> None:
    async def made() -> TestChannel:
        channel = await make_channel(tmp_path, keys)
        await publish(channel, {"tool.bin": CONTENT})
        return channel

    channel = asyncio.run(made())
    manifest = (channel.folder / layout.release_path("tool", "1.0")).read_bytes()
    for v1 in (False, True):
        metainfo = load_metainfo((channel.folder / layout.torrent_path("tool", "1.0", v1=v1)).read_bytes())
        assert metainfo.release == manifest
        assert [key for key, _ in metainfo.signatures] == [keys.alice]
