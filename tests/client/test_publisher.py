"""What a publisher lays out, and what it refuses to publish."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from ossdist import blocking
from ossdist.errors import (
    AlreadyPublishedError,
    FormatError,
    NotFoundError,
    SigningError,
    StorageError,
    UnsafePathError,
)
from ossdist.publisher import Publisher, ReleaseSpec
from ossdist.release import layout, model
from ossdist.release.torrents import require_signed
from ossdist.swarm import load_metainfo
from tests.asynchronous import asynchronous
from tests.channels import listed, make_channel, noise, publish
from tests.keys import FixedClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@asynchronous
async def test_layout_that_any_static_server_can_serve(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    content = noise(100_000)
    mirror = model.Mirror(url="https://mirror.example/oss", location="de")
    tracker = "udp://tracker.example:6969/announce"
    published = await publish(channel, {"tool.bin": content}, version="1:2.0", mirrors=(mirror,), trackers=(tracker,))
    release = model.decode_release((channel.folder / "releases/tool/1%3a2.0/release.json").read_bytes())
    assert release == published.release
    assert release.purl == "pkg:generic/tool@1:2.0"
    assert release.files[0].sha256 == hashlib.sha256(content).hexdigest()
    assert (channel.folder / "files/tool-1%3a2.0/tool.bin").read_bytes() == content
    for v1 in (False, True):
        metainfo = load_metainfo((channel.folder / layout.torrent_path("tool", "1:2.0", v1=v1)).read_bytes())
        require_signed(release, metainfo, v1=v1)
        assert metainfo.trackers == (tracker,)
        # The address of the file itself, with the per cent of its folder's name encoded once more.
        assert metainfo.web_seeds == ("https://mirror.example/oss/files/tool-1%253a2.0/tool.bin",)
        assert metainfo.release == (channel.folder / "releases/tool/1%3a2.0/release.json").read_bytes()
        assert dict(metainfo.signatures).keys() == {keys.alice}
    left = [path.name for path in channel.folder.rglob(".*") if path.name != ".publish.lock"]
    assert not left


@asynchronous
async def test_every_signature_satisfies_plain_gpg(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"x" * 1000})
    signatures = list(channel.folder.rglob("*.asc"))
    assert len(signatures) == 4  # root.json under both of its names, channel.json, release.json
    for signature in signatures:
        document = signature.with_name(signature.name.removesuffix(f".{keys.alice}.asc"))
        keys.gpg("--verify", str(signature), str(document))  # raises if gpg refuses


@asynchronous
async def test_channel_counts_up_and_is_dated(tmp_path: Path, keys: Keys) -> None:
    folder = tmp_path / "channel"
    clock = FixedClock(NOON)
    publisher = Publisher(folder, signer=keys.signer, keys=[keys.alice], clock=clock, validity=timedelta(days=7))
    await publisher.create(root_validity=timedelta(days=100))
    source = tmp_path / "file"
    source.write_bytes(b"content")
    for version in ("1", "2"):
        await publisher.publish(ReleaseSpec(name="tool", version=version, files={"file": source}))
    assert await publisher.refresh() == 4
    channel = listed(folder)
    assert (channel.serial, channel.issued, channel.expires) == (4, NOON, NOON + timedelta(days=7))
    assert [(entry.version, entry.serial) for entry in channel.releases] == [("1", 2), ("2", 3)]
    assert model.decode_root((folder / layout.ROOT).read_bytes()).expires == NOON + timedelta(days=100)


@asynchronous
async def test_published_releases_and_channels_never_change(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"first"})
    before = (channel.folder / layout.CHANNEL).read_bytes()
    with pytest.raises(AlreadyPublishedError, match=r"tool 1\.0 is published in the channel already"):
        await publish(channel, {"tool.bin": b"second"})
    with pytest.raises(AlreadyPublishedError, match="Choose another"):
        await channel.publisher.create()
    assert (channel.folder / layout.CHANNEL).read_bytes() == before
    assert (channel.payload("tool", "1.0") / "tool.bin").read_bytes() == b"first"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"files": {"../tool.bin": b"x"}}, UnsafePathError, r"component '\.\.'"),
        ({"files": {"a": b"x", "A": b"y"}}, UnsafePathError, "twice"),
        ({"files": {"empty": b""}}, FormatError, "nothing to distribute"),
        ({"name": "-tool"}, FormatError, "name"),
        ({"name": "../../../tool"}, FormatError, "name"),
        ({"version": "1/../../../2"}, FormatError, "version"),
        ({"purl": "not a purl"}, FormatError, "package URL"),
        ({"trackers": ("ftp://tracker.example/",)}, FormatError, "ftp://"),
        ({"mirrors": (model.Mirror(url="mirror.example"),)}, FormatError, "mirror.example"),
        ({"piece_length": 5}, FormatError, "piece_length"),
    ],
)
@asynchronous
async def test_what_a_client_would_refuse_is_not_published(
    tmp_path: Path, keys: Keys, change: dict[str, object], error: type[Exception], match: str
) -> None:
    channel = await make_channel(tmp_path, keys)
    before = (channel.folder / layout.CHANNEL).read_bytes()
    source = tmp_path / "source"
    source.mkdir()
    contents = cast("dict[str, bytes]", change.get("files", {"tool.bin": b"x"}))
    files: dict[str, Path] = {}
    for number, (path, content) in enumerate(contents.items()):
        files[path] = source / str(number)
        files[path].write_bytes(content)
    arguments: dict[str, Any] = {"name": "tool", "version": "1"} | change | {"files": files}
    with pytest.raises(error, match=match):
        await channel.publisher.publish(ReleaseSpec(**arguments))
    assert (channel.folder / layout.CHANNEL).read_bytes() == before
    assert not list((channel.folder / "files").glob("*"))
    assert {path.name for path in tmp_path.iterdir()} == {"channel", "source"}


@asynchronous
async def test_sources_that_cannot_be_read(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    with pytest.raises(NotFoundError, match="absent does not exist"):
        await channel.publisher.publish(ReleaseSpec(name="a", version="1", files={"f": tmp_path / "absent"}))
    with pytest.raises(StorageError, match="cannot read"):
        await channel.publisher.publish(ReleaseSpec(name="a", version="1", files={"f": tmp_path}))


@pytest.mark.parametrize("what", ["refresh", "publish"])
@asynchronous
async def test_only_create_makes_a_folder(tmp_path: Path, keys: Keys, what: str) -> None:
    publisher = Publisher(tmp_path / "elsewhere", signer=keys.signer, keys=[keys.alice])
    file = tmp_path / "file"
    file.write_bytes(b"content")
    spec = ReleaseSpec(name="tool", version="1", files={"file": file})
    with pytest.raises(NotFoundError, match=r"a channel .*elsewhere"):
        await (publisher.refresh() if what == "refresh" else publisher.publish(spec))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(NotFoundError, match=r"channel\.json"):
        await publisher.refresh()


@asynchronous
async def test_key_that_cannot_sign_publishes_nothing(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    before = (channel.folder / layout.CHANNEL).read_bytes()
    publisher = Publisher(channel.folder, signer=keys.signer, keys=["0" * 40])
    source = tmp_path / "file"
    source.write_bytes(b"content")
    with pytest.raises(SigningError):
        await publisher.publish(ReleaseSpec(name="tool", version="1", files={"file": source}))
    assert (channel.folder / layout.CHANNEL).read_bytes() == before
    assert not list((channel.folder / "files").glob("*"))


@asynchronous
async def test_what_a_killed_publisher_left_is_replaced(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    for leftover in (channel.payload("tool", "1.0"), channel.folder / "files" / ".staging-old"):
        leftover.mkdir(parents=True)
        (leftover / "half.bin").write_bytes(b"half")
    await publish(channel, {"tool.bin": b"whole"})
    assert [path.name for path in (channel.folder / "files").iterdir()] == ["tool-1.0"]
    assert [path.name for path in channel.payload("tool", "1.0").iterdir()] == ["tool.bin"]


@asynchronous
async def test_two_publishers_at_once_lose_nothing(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await asyncio.gather(*(publish(channel, {"tool.bin": b"x" * 1000}, version=str(n)) for n in range(4)))
    found = listed(channel.folder)
    assert {entry.version for entry in found.releases} == {"0", "1", "2", "3"}
    assert len({entry.serial for entry in found.releases}) == 4


def test_without_an_event_loop(tmp_path: Path, keys: Keys) -> None:
    folder = tmp_path / "channel"
    publisher = Publisher(folder, signer=keys.signer, keys=[keys.alice])
    asyncio.run(publisher.create())
    source = tmp_path / "tool.bin"
    source.write_bytes(noise(50_000))
    progress: list[float] = []
    spec = ReleaseSpec(name="tool", version="1", files={"tool.bin": source})
    blocking.publish(publisher, spec, on_progress=progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    root = folder / layout.ROOT
    assert blocking.resolve(folder, "tool", root=root).release.version == "1"
    # Into the channel's own folder, where the file is already: no second party is needed.
    report = blocking.download(folder, "tool", root=root, to=folder / "files" / "tool-1")
    assert report.files[0].verified


def test_same_input_gives_the_same_torrents(tmp_path: Path, keys: Keys) -> None:
    async def make(number: int) -> list[bytes]:
        (tmp_path / str(number)).mkdir()
        channel = await make_channel(tmp_path / str(number), keys)
        release = (await publish(channel, {"a/b": noise(90_000), "c": b"c"})).release
        return [release.hybrid.info_hash_v1.encode(), release.v1.info_hash_v1.encode()]

    assert asyncio.run(make(1)) == asyncio.run(make(2))
