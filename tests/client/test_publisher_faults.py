"""Whatever goes wrong while somebody publishes, the channel stays whole, and the error is one of ours."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist.catalog import Catalog
from ossdist.clock import SystemClock
from ossdist.config import FetchConfig
from ossdist.errors import (
    AlreadyPublishedError,
    DiskFullError,
    ExpiredError,
    FormatError,
    ManifestMismatchError,
    NotFoundError,
    SignatureError,
    StorageError,
    TargetNotWritableError,
)
from ossdist.publisher import Publisher, ReleaseSpec
from ossdist.release import channel as channels
from ossdist.release import layout
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, make_channel, publish
from tests.client.faults import fault, full
from tests.keys import FixedClock

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.release.trust import TrustedRelease
    from tests.keys import Keys


class Killed(BaseException):
    """Stands for SIGKILL: no handler of ours may catch it."""


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file that a reader can see."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


async def resolve(channel: TestChannel, version: str) -> TrustedRelease:
    """Reads a release as a client does."""
    async with Catalog(channel.folder, root=channel.root, config=FetchConfig(), clock=SystemClock()) as catalog:
        release = await catalog.resolve("tool", version)
        await catalog.torrents(release)
        return release


# --- what may not be listed ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "version"), [("a", "1-2"), ("A-1", "2"), ("A", "1-2")])
@asynchronous
async def test_release_that_would_stand_in_anothers_folder(tmp_path: Path, keys: Keys, name: str, version: str) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"first"}, name="a-1", version="2")
    before = snapshot(channel.folder)
    with pytest.raises(FormatError, match="shares its folder with a-1 2"):
        await publish(channel, {"tool.bin": b"second"}, name=name, version=version)
    assert snapshot(channel.folder) == before
    assert await channel.publisher.refresh() == 3


@pytest.mark.parametrize("spare_bytes", [-1, -100])
@asynchronous
async def test_channel_that_would_grow_too_large(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch, spare_bytes: int
) -> None:
    for name in ("twin", "real"):
        (tmp_path / name).mkdir()
    twin = await make_channel(tmp_path / "twin", keys)
    channel = await make_channel(tmp_path / "real", keys)
    await publish(twin, {"tool.bin": b"content"})
    before = snapshot(channel.folder)
    length = (twin.folder / layout.CHANNEL).stat().st_size
    monkeypatch.setattr(channels, "MAX_CHANNEL_BYTES", length + spare_bytes)
    with pytest.raises(FormatError, match=r"channel\.json: \d+ bytes, at most"):
        await publish(channel, {"tool.bin": b"content"})
    assert snapshot(channel.folder) == before
    monkeypatch.setattr(channels, "MAX_CHANNEL_BYTES", length)
    await publish(channel, {"tool.bin": b"content"})


@asynchronous
async def test_what_cannot_be_listed_is_refused_before_it_is_hashed(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"first"}, name="a-1", version="2")
    spec = ReleaseSpec(name="a", version="1-2", files={"tool.bin": tmp_path / "never read"})
    with pytest.raises(FormatError, match="shares its folder"):
        await channel.publisher.publish(spec)


# --- what may not be signed ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["refresh", "publish"])
@asynchronous
async def test_tampered_channel_is_not_signed(tmp_path: Path, keys: Keys, what: str) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"first"})
    path = channel.folder / layout.CHANNEL
    path.write_bytes(path.read_bytes().replace(b'"serial": 2', b'"serial": 9'))
    before = snapshot(channel.folder)
    with pytest.raises(SignatureError, match=r"channel\.json: 0 good"):
        await (channel.publisher.refresh() if what == "refresh" else publish(channel, {"b": b"b"}, version="2"))
    assert snapshot(channel.folder) == before


@asynchronous
async def test_tampered_index_is_not_signed(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"first"})
    (page,) = (channel.folder / "index").iterdir()
    page.write_bytes(page.read_bytes().replace(b'"1.0"', b'"9.9"'))
    with pytest.raises(ManifestMismatchError):
        await channel.publisher.refresh()


@asynchronous
async def test_channel_without_its_signatures_or_root(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    (channel.folder / layout.signature_path(layout.CHANNEL, keys.alice)).unlink()
    with pytest.raises(SignatureError, match="none by a key of this role"):
        await channel.publisher.refresh()
    channel.root.write_bytes(b"{}")
    with pytest.raises(FormatError, match=r"root\.json"):
        await channel.publisher.refresh()
    channel.root.unlink()
    with pytest.raises(NotFoundError, match=r"root\.json"):
        await channel.publisher.refresh()
    channel.root.mkdir()
    with pytest.raises(StorageError, match="cannot read"):
        await channel.publisher.refresh()


@asynchronous
async def test_expired_channel_is_refreshed_and_expired_root_is_not(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)

    def at(days: int) -> Publisher:
        clock = FixedClock(datetime.now(UTC) + timedelta(days=days))
        return Publisher(channel.folder, signer=keys.signer, keys=[keys.alice], clock=clock)

    assert await at(100).refresh() == 2
    before = snapshot(channel.folder)
    with pytest.raises(ExpiredError, match=r"root\.json"):
        await at(400).refresh()
    assert snapshot(channel.folder) == before


# --- a publisher that is killed --------------------------------------------------------------------------


@asynchronous
async def test_killed_at_any_step_of_publishing(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    killed = 0
    while True:
        version = f"{killed}"
        with fault("os.rename", str(channel.folder), Killed(), after=killed) as seen:
            try:
                await publish(channel, {"tool.bin": b"content"}, version=version)
            except Killed:
                assert len(seen) == killed + 1
            else:
                break
        await channel.publisher.refresh()
        # If it was past the point of no return, the next publisher has finished it.
        with suppress(AlreadyPublishedError):
            await publish(channel, {"tool.bin": b"content"}, version=version)
        assert (await resolve(channel, version)).release.version == version
        killed += 1
    assert killed >= 6
    left = {path.name for path in channel.folder.rglob(".*")}
    assert left == {".publish.lock"}


@asynchronous
async def test_killed_at_any_step_of_creating(tmp_path: Path, keys: Keys) -> None:
    killed = 0
    while True:
        folder = tmp_path / str(killed) / "channel"
        publisher = Publisher(folder, signer=keys.signer, keys=[keys.alice])
        with fault("os.rename", str(folder), Killed(), after=killed):
            try:
                await publisher.create()
            except Killed:
                assert not (folder / layout.ROOT).exists()
            else:
                break
        await publisher.create()
        await publish(TestChannel(folder, publisher), {"tool.bin": b"content"})
        await resolve(TestChannel(folder, publisher), "1.0")
        killed += 1
    assert killed >= 4


@asynchronous
async def test_create_does_not_replace_a_channel_that_lost_its_root(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"content"})
    channel.root.unlink()
    before = snapshot(channel.folder)
    with pytest.raises(AlreadyPublishedError, match="a channel"):
        await channel.publisher.create()
    assert snapshot(channel.folder) == before


# --- a disk that refuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["files", "torrents", "releases"])
@asynchronous
async def test_file_where_a_folder_should_be(tmp_path: Path, keys: Keys, place: str) -> None:
    channel = await make_channel(tmp_path, keys)
    (channel.folder / place).write_bytes(b"")
    before = (channel.folder / layout.CHANNEL).read_bytes()
    with pytest.raises(TargetNotWritableError, match=place):
        await publish(channel, {"tool.bin": b"content"})
    assert (channel.folder / layout.CHANNEL).read_bytes() == before
    (channel.folder / place).unlink()
    await publish(channel, {"tool.bin": b"content"})
    await resolve(channel, "1.0")


@asynchronous
async def test_channel_where_a_file_is(tmp_path: Path, keys: Keys) -> None:
    (tmp_path / "channel").write_bytes(b"")
    with pytest.raises(TargetNotWritableError, match="channel"):
        await make_channel(tmp_path, keys)


@pytest.mark.parametrize(
    ("event", "part"),
    [
        ("os.mkdir", "channel/files"),
        ("os.mkdir", ".staging-"),
        ("os.mkdir", "channel/torrents"),
        ("os.mkdir", "channel/releases"),
        ("open", ".staging-"),
        ("open", "tool-1.0.torrent"),
        ("open", "release.json"),
        ("open", "channel.json"),
        ("os.mkdir", ".publishing"),
        ("os.rename", "channel/files"),
        ("os.rename", "channel/torrents"),
        ("os.rename", ".publishing"),
    ],
)
@asynchronous
async def test_full_disk(tmp_path: Path, keys: Keys, event: str, part: str) -> None:
    channel = await make_channel(tmp_path, keys)
    before = (channel.folder / layout.CHANNEL).read_bytes()
    with fault(event, part, full()) as seen, pytest.raises(DiskFullError) as caught:
        await publish(channel, {"tool.bin": b"content"})
    assert seen
    assert str(channel.folder) in str(caught.value)  # and not the source, which has nothing to do with it
    assert (channel.folder / layout.CHANNEL).read_bytes() == before
    await publish(channel, {"tool.bin": b"content"})
    await resolve(channel, "1.0")


@asynchronous
async def test_disk_that_refuses_the_last_renames(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    names = (layout.CHANNEL, layout.signature_path(layout.CHANNEL, keys.alice))
    for number, name in enumerate(names):
        with fault("os.rename", f"channel/{name}", full()), pytest.raises(DiskFullError):
            await publish(channel, {"tool.bin": b"content"}, version=str(number))
        await channel.publisher.refresh()
        await resolve(channel, str(number))  # begun is finished


def test_folder_that_may_only_be_read(tmp_path: Path, keys: Keys) -> None:
    channel = asyncio.run(make_channel(tmp_path, keys))
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    for event in ("os.mkdir", "open"):
        with fault(event, str(channel.folder), denied), pytest.raises(TargetNotWritableError):
            asyncio.run(publish(channel, {"tool.bin": b"content"}))
