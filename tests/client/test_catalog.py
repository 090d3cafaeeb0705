"""What a catalog does while a mirror changes under it, and when a document cannot be had."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ossdist.catalog import Catalog
from ossdist.clock import SystemClock
from ossdist.config import FetchConfig
from ossdist.errors import FormatError, ManifestMismatchError, NotFoundError, SignatureError, TorrentMismatchError
from ossdist.release import layout, model
from ossdist.swarm.metainfo import make_torrents
from ossdist.transfer.watch import Swarm
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, make_channel, noise, publish, published_channel
from tests.programs.nginx import Nginx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.keys import Keys


@dataclass
class Meanwhile(SystemClock):
    """A clock on which waiting takes no time, but something happens meanwhile."""

    happens: Callable[[], object]
    waits: list[float] = field(default_factory=list[float])

    async def sleep(self, duration_s: float) -> None:
        self.waits.append(duration_s)
        self.happens()


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, {"tool.bin": noise(50_000)})


def catalog(
    channel: TestChannel,
    clock: SystemClock | None = None,
    root: bytes | None = None,
    config: FetchConfig | None = None,
) -> Catalog:
    """A catalog of the channel's folder."""
    config = config or FetchConfig()
    return Catalog(channel.folder, root=root or channel.root, config=config, clock=clock or SystemClock())


@asynchronous
async def test_reader_between_a_document_and_its_signature_waits_for_the_other(
    channel: TestChannel, tmp_path: Path, keys: Keys
) -> None:
    old = (channel.folder / layout.CHANNEL).read_bytes()
    await channel.publisher.refresh()
    new = (channel.folder / layout.CHANNEL).read_bytes()
    (channel.folder / layout.CHANNEL).write_bytes(old)
    clock = Meanwhile(lambda: (channel.folder / layout.CHANNEL).write_bytes(new))
    async with catalog(channel, clock) as reader:
        assert (await reader.channel()).channel.serial == 3
    assert len(clock.waits) == 1


@asynchronous
async def test_channel_that_stays_torn_is_refused_after_a_few_tries(channel: TestChannel) -> None:
    path = channel.folder / layout.CHANNEL
    path.write_bytes(path.read_bytes() + b"\n")
    clock = Meanwhile(lambda: None)
    async with catalog(channel, clock) as reader:
        with pytest.raises(SignatureError, match=r"channel\.json"):
            await reader.resolve("tool")
    assert 1 <= len(clock.waits) <= 10
    assert 0 < sum(clock.waits) <= 5


@asynchronous
async def test_mirror_that_mixed_two_states_is_read_once_more(channel: TestChannel) -> None:
    path = channel.folder / layout.release_path("tool", "1.0")
    right = path.read_bytes()
    path.write_bytes(right.replace(b"tool.bin", b"t00l.bin"))
    clock = Meanwhile(lambda: path.write_bytes(right))
    async with catalog(channel, clock) as reader:
        assert (await reader.resolve("tool")).release.files[0].path == "tool.bin"
    path.write_bytes(right.replace(b"tool.bin", b"t00l.bin"))
    clock = Meanwhile(lambda: None)
    async with catalog(channel, clock) as reader:
        with pytest.raises(ManifestMismatchError):
            await reader.resolve("tool")
    assert len(clock.waits) == 1


@asynchronous
async def test_torrent_that_is_not_the_signed_one_is_read_once_more(channel: TestChannel, tmp_path: Path) -> None:
    path = channel.folder / layout.torrent_path("tool", "1.0", v1=False)
    right = path.read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    (other / "tool.bin").write_bytes(noise(50_000, seed=1))
    wrong = make_torrents(other, [("tool.bin", 50_000)], name="tool.bin").hybrid.data
    path.write_bytes(wrong)
    clock = Meanwhile(lambda: path.write_bytes(right))
    async with catalog(channel, clock) as reader:
        assert await reader.torrents(await reader.resolve("tool"))
    path.write_bytes(wrong)
    clock = Meanwhile(lambda: None)
    async with catalog(channel, clock) as reader:
        with pytest.raises(TorrentMismatchError):
            await reader.torrents(await reader.resolve("tool"))
    assert len(clock.waits) == 1


@asynchronous
async def test_signature_that_cannot_be_had_counts_as_none(channel: TestChannel, keys: Keys) -> None:
    for document in (layout.CHANNEL, layout.release_path("tool", "1.0")):
        (channel.folder / layout.signature_path(document, keys.bob)).mkdir()  # it is there, and cannot be read
    async with catalog(channel, root=model.encode(keys.root(keys.bob, keys.alice))) as reader:
        assert (await reader.resolve("tool")).signed_by.keys == (keys.alice,)
    both = model.encode(keys.root(keys.bob, keys.alice, threshold=2, serial=2))
    async with catalog(channel, Meanwhile(lambda: None), root=both) as reader:
        with pytest.raises(SignatureError, match=r"1 good signature.*2 needed") as caught:
            await reader.resolve("tool")
    assert len(caught.value.refused) == 1
    assert keys.bob in caught.value.refused[0]
    assert "directory" in caught.value.refused[0]


@asynchronous
async def test_readers_of_a_busy_channel_never_see_it_broken(channel: TestChannel, tmp_path: Path) -> None:
    async def read(reader: Catalog) -> int:
        return (await reader.channel()).channel.serial

    async with catalog(channel) as reader:
        busy = asyncio.ensure_future(_refresh(channel, times=5))
        serials = [await read(reader)]
        while not busy.done():
            serials.append(await read(reader))
        await busy
        assert await read(reader) == 7
    assert serials == sorted(serials)
    shutil.rmtree(channel.folder)


async def _refresh(channel: TestChannel, *, times: int) -> None:
    for _ in range(times):
        await channel.publisher.refresh()


@pytest.mark.parametrize("damage", ["missing", "swapped", "malformed"])
@asynchronous
async def test_torrent_that_the_channel_lacks_comes_from_a_mirror(tmp_path: Path, keys: Keys, damage: str) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    async with Nginx(tmp_path / "nginx", whole) as server:
        made = await make_channel(tmp_path, keys)
        mirrors = (model.Mirror(url=server.url, priority=2), model.Mirror(url="http://127.0.0.1:1/", priority=1))
        await publish(made, {"tool.bin": noise(50_000)}, mirrors=mirrors)
        shutil.copytree(made.folder, whole, dirs_exist_ok=True)
        path = made.folder / layout.torrent_path("tool", "1.0", v1=False)
        match damage:
            case "missing":
                path.unlink()
            case "swapped":
                path.write_bytes((made.folder / layout.torrent_path("tool", "1.0", v1=True)).read_bytes())
            case _:
                path.write_bytes(b"no torrent")
        async with catalog(made) as offers:
            torrents = await offers.torrents(await offers.resolve("tool"))
    assert torrents[Swarm.HYBRID].data == (whole / layout.torrent_path("tool", "1.0", v1=False)).read_bytes()


@asynchronous
async def test_copies_are_asked_no_longer_than_the_configuration_allows(tmp_path: Path, keys: Keys) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    async with Nginx(tmp_path / "nginx", whole) as server:
        made = await make_channel(tmp_path, keys)
        await publish(made, {"tool.bin": noise(50_000)}, mirrors=(model.Mirror(url=server.url),))
        shutil.copytree(made.folder, whole, dirs_exist_ok=True)
        (made.folder / layout.torrent_path("tool", "1.0", v1=False)).unlink()
        async with catalog(made, config=FetchConfig(copies_timeout_s=0)) as offers:
            release = await offers.resolve("tool")
            with pytest.raises(NotFoundError, match=str(made.folder)):
                await offers.torrents(release)
    assert not any("torrent" in request.target for request in server.requests())


def test_malformed_root_is_told_by_the_name_of_the_file_that_was_given(channel: TestChannel) -> None:
    given = channel.folder / layout.CHANNEL
    with pytest.raises(FormatError, match=r"^channel\.json: field format: 'ossdist-channel-1' is not") as caught:
        Catalog(channel.folder, root=given, config=FetchConfig(), clock=SystemClock())
    assert caught.value.document == "channel.json"
    with pytest.raises(FormatError, match=r"^root\.json: "):
        catalog(channel, root=given.read_bytes())


def test_root_is_not_read_beyond_its_bound(channel: TestChannel, tmp_path: Path) -> None:
    given = tmp_path / "endless.json"
    with given.open("wb") as stream:
        stream.truncate(model.MAX_ROOT_BYTES + 1)
    with pytest.raises(FormatError, match=f"^endless\\.json: longer than {model.MAX_ROOT_BYTES} bytes"):
        Catalog(channel.folder, root=given, config=FetchConfig(), clock=SystemClock())
