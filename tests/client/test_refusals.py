"""What is not the signed release never reaches its final name, and the error says what, which, and what to do."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.errors import (
    ExpiredError,
    FileHashError,
    FormatError,
    ManifestMismatchError,
    MirrorError,
    NotFoundError,
    RollbackError,
    SignatureError,
    SourcesExhaustedError,
    StorageError,
    TorrentMismatchError,
    UnsafePathError,
)
from ossdist.release import layout, model
from ossdist.release.model import Mirror
from ossdist.swarm.metainfo import dress, make_torrents
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, QUICK, WITH_MIRRORS, TestChannel, listed, noise, port_of, published_channel, relist
from tests.keys import FixedClock
from tests.programs.nginx import Nginx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.keys import Keys

CONTENT = noise(1_000_000)
IMPATIENT = replace(CONFIG, transfer=replace(QUICK, exhausted_after_s=1.5, swarm_patience_s=0.5))
IMPATIENT_WITH_MIRRORS = replace(IMPATIENT, mirrors_enabled=True)


def resign(channel: TestChannel, keys: Keys, path: str, document: bytes, *signers: str) -> None:
    """Puts a document and its signatures in place of what is there."""
    (channel.folder / path).write_bytes(document)
    for fingerprint in signers or (keys.alice,):
        signature = keys.signer.sign(document, fingerprint)
        (channel.folder / layout.signature_path(path, fingerprint)).write_bytes(signature)


def change_release(channel: TestChannel, keys: Keys, change: Callable[[model.Release], model.Release]) -> None:
    """Signs another manifest for ``tool 1.0``, and a channel that lists it: an evil, or careless, publisher."""
    path = layout.release_path("tool", "1.0")
    release = msgspec.json.decode((channel.folder / path).read_bytes(), type=model.Release)
    document = model.encode(change(release))
    resign(channel, keys, path, document)
    there = listed(channel.folder)
    entries = tuple(
        msgspec.structs.replace(entry, length=len(document), sha256=hashlib.sha256(document).hexdigest())
        for entry in there.releases
    )
    relist(channel.folder, keys, msgspec.structs.replace(there, serial=there.serial + 1, releases=entries))


async def refuse(channel: TestChannel, tmp_path: Path, error: type[Exception], match: str) -> None:
    """Downloads with a seed at hand, and expects that it is refused and that nothing stands in the target."""
    async with Client(channel.folder, root=channel.root, config=IMPATIENT) as client:
        with pytest.raises(error, match=match):
            await client.download("tool", to=tmp_path / "out")
    assert not (tmp_path / "out" / "tool.bin").exists()


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, {"tool.bin": CONTENT})


# --- documents -------------------------------------------------------------------------------------------


@asynchronous
async def test_tampered_channel(channel: TestChannel, tmp_path: Path) -> None:
    path = channel.folder / layout.CHANNEL
    path.write_bytes(path.read_bytes().replace(b'"serial"', b'"serial" ', 1))
    await refuse(channel, tmp_path, SignatureError, r"channel\.json: 0 good signature.*1 needed")


@asynchronous
async def test_channel_signed_by_an_unknown_key(channel: TestChannel, tmp_path: Path, keys: Keys) -> None:
    path = channel.folder / layout.signature_path(layout.CHANNEL, keys.alice)
    path.write_bytes(keys.signer.sign((channel.folder / layout.CHANNEL).read_bytes(), keys.mallory))
    await refuse(channel, tmp_path, SignatureError, "channel.json")


@asynchronous
async def test_missing_signature(channel: TestChannel, tmp_path: Path, keys: Keys) -> None:
    (channel.folder / layout.signature_path(layout.CHANNEL, keys.alice)).unlink()
    await refuse(channel, tmp_path, SignatureError, "none by a key of this role")


@asynchronous
async def test_expired_channel_and_clock(channel: TestChannel, tmp_path: Path) -> None:
    late = FixedClock(datetime.now(UTC) + timedelta(days=31))
    async with Client(channel.folder, root=channel.root, config=IMPATIENT, clock=late) as client:
        with pytest.raises(ExpiredError, match="check this machine's clock"):
            await client.catalog.resolve("tool")


@asynchronous
async def test_channel_that_goes_back_while_we_watch(channel: TestChannel, tmp_path: Path, keys: Keys) -> None:
    old = {path: path.read_bytes() for path in channel.folder.glob("channel.json*")}
    async with Client(channel.folder, root=channel.root, config=IMPATIENT) as client:
        await channel.publisher.refresh()
        await client.catalog.channel()
        for path, content in old.items():
            path.write_bytes(content)
        with pytest.raises(RollbackError, match="serial 2, but serial 3"):
            await client.catalog.channel()


@asynchronous
async def test_tampered_manifest(channel: TestChannel, tmp_path: Path) -> None:
    path = channel.folder / layout.release_path("tool", "1.0")
    path.write_bytes(path.read_bytes().replace(b"tool.bin", b"t00l.bin"))
    await refuse(channel, tmp_path, ManifestMismatchError, "lists sha256")


@asynchronous
async def test_manifest_listed_but_not_signed(channel: TestChannel, tmp_path: Path, keys: Keys) -> None:
    (channel.folder / layout.signature_path(layout.release_path("tool", "1.0"), keys.alice)).unlink()
    await refuse(channel, tmp_path, SignatureError, "role 'release'")


@pytest.mark.parametrize(
    ("paths", "match"),
    [
        (["../tool.bin"], r"component '\.\.'"),
        (["/etc/tool.bin"], "is absolute"),
        (["tool.bin", "TOOL.bin"], "stands there twice"),
        (["tool.bin", "tool.bin"], "stands there twice"),
    ],
)
@asynchronous
async def test_manifest_with_an_unsafe_path(
    channel: TestChannel, tmp_path: Path, keys: Keys, paths: list[str], match: str
) -> None:
    def change(release: model.Release) -> model.Release:
        files = tuple(msgspec.structs.replace(release.files[0], path=path) for path in paths)
        return msgspec.structs.replace(release, files=files)

    change_release(channel, keys, change)
    await refuse(channel, tmp_path, UnsafePathError, match)
    assert not (tmp_path / "tool.bin").exists()


@asynchronous
async def test_channel_that_is_not_there(tmp_path: Path, channel: TestChannel) -> None:
    async with Client(tmp_path / "nowhere", root=channel.root, config=IMPATIENT) as client:
        with pytest.raises(NotFoundError, match=r"channel\.json does not exist in .*nowhere"):
            await client.download("tool", to=tmp_path / "out")
    async with Client("http://127.0.0.1:1/", root=channel.root, config=IMPATIENT) as client:
        with pytest.raises(MirrorError, match=r"127\.0\.0\.1:1"):
            await client.download("tool", to=tmp_path / "out")


def test_root_that_is_none(channel: TestChannel) -> None:
    with pytest.raises(FormatError, match=r"root\.json"):
        Client(channel.folder, root=b"{}")
    with pytest.raises(StorageError, match="cannot read"):
        Client(channel.folder, root=channel.folder / "none.json")


# --- torrents and payload --------------------------------------------------------------------------------


@pytest.mark.parametrize("v1", [False, True])
@asynchronous
async def test_torrent_that_was_swapped(channel: TestChannel, tmp_path: Path, v1: bool) -> None:  # noqa: FBT001
    other = tmp_path / "other"
    other.mkdir()
    (other / "tool.bin").write_bytes(noise(len(CONTENT), seed=1))
    torrents = make_torrents(other, [("tool.bin", len(CONTENT))], name="tool.bin")
    path = channel.folder / layout.torrent_path("tool", "1.0", v1=v1)
    path.write_bytes((torrents.v1 if v1 else torrents.hybrid).data)
    await refuse(channel, tmp_path, TorrentMismatchError, "info-hash v1 is .* signed is")


@asynchronous
async def test_torrent_that_is_none(channel: TestChannel, tmp_path: Path) -> None:
    path = channel.folder / layout.torrent_path("tool", "1.0", v1=False)
    path.write_bytes(b"d4:infoi1ee")
    await refuse(channel, tmp_path, FormatError, "not a torrent")


@asynchronous
async def test_trackers_and_web_seeds_inside_the_torrent_are_not_believed(channel: TestChannel, tmp_path: Path) -> None:
    from ossdist.swarm import load_metainfo  # noqa: PLC0415

    path = channel.folder / layout.torrent_path("tool", "1.0", v1=False)
    evil = "http://127.0.0.1:9/announce"
    path.write_bytes(dress(load_metainfo(path.read_bytes()), trackers=[evil], web_seeds=[evil]).data)
    (channel.payload("tool", "1.0") / "tool.bin").unlink()
    async with Client(channel.folder, root=channel.root, config=IMPATIENT_WITH_MIRRORS) as client:
        with pytest.raises(SourcesExhaustedError) as caught:
            await client.download("tool", to=tmp_path / "out")
    assert evil not in caught.value.attempts


@asynchronous
async def test_whole_file_that_is_not_the_signed_one(channel: TestChannel, tmp_path: Path, keys: Keys) -> None:
    """Pieces and torrent agree, the manifest's hash does not: only the whole-file check can notice."""

    def change(release: model.Release) -> model.Release:
        files = (msgspec.structs.replace(release.files[0], sha256="0" * 64),)
        return msgspec.structs.replace(release, files=files)

    async with Client(channel.folder, root=channel.root, config=CONFIG) as seed:
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        change_release(channel, keys, change)
        stranger = replace(CONFIG, state_folder=tmp_path / "state")  # it has never seen the channel as it was
        async with Client(channel.folder, root=channel.root, config=stranger) as client:
            with pytest.raises(FileHashError, match=r"tool\.bin: sha256 is .* signed is 0000"):
                await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    assert not (tmp_path / "out" / "tool.bin").exists()
    assert not list((tmp_path / "out").rglob("*.bin"))  # data that are the fault are not kept


@asynchronous
async def test_seed_with_wrong_bytes_beside_a_good_one(channel: TestChannel, tmp_path: Path) -> None:
    evil_folder = tmp_path / "evil"
    evil_folder.mkdir()
    seen: list[events.TransferEvent] = []
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as good,
        Client(channel.folder, root=channel.root, config=CONFIG) as evil,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await good.seed("tool", folder=channel.payload("tool", "1.0"))
        (evil_folder / "tool.bin").write_bytes(CONTENT)
        await evil.seed("tool", folder=evil_folder)
        (evil_folder / "tool.bin").write_bytes(noise(len(CONTENT), seed=2))
        await client.download("tool", to=tmp_path / "out", peers=[port_of(evil), port_of(good)], on_event=seen.append)
    assert (tmp_path / "out" / "tool.bin").read_bytes() == CONTENT


@asynchronous
async def test_corrupt_mirror_beside_a_good_one(channel: TestChannel, tmp_path: Path, keys: Keys) -> None:
    bad_folder = tmp_path / "bad"
    subprocess.run(["cp", "-a", channel.folder, bad_folder], check=True)
    (bad_folder / layout.file_path("tool", "1.0", "tool.bin")).write_bytes(noise(len(CONTENT), seed=3))
    async with (
        Nginx(tmp_path / "nginx-bad", bad_folder) as bad,
        Nginx(tmp_path / "nginx-good", channel.folder) as good,
    ):
        mirrors = (Mirror(url=bad.url), Mirror(url=good.url))
        change_release(channel, keys, lambda release: msgspec.structs.replace(release, mirrors=mirrors))
        async with Client(good.url, root=channel.root, config=WITH_MIRRORS) as client:
            report = await client.download("tool", to=tmp_path / "out")
    assert (tmp_path / "out" / "tool.bin").read_bytes() == CONTENT
    assert report.files[0].verified


# --- nobody gives anything -------------------------------------------------------------------------------


@asynchronous
async def test_nobody_is_there(channel: TestChannel, tmp_path: Path, keys: Keys) -> None:
    tracker, mirror = "http://127.0.0.1:1/announce", "http://127.0.0.1:2/"
    change_release(
        channel,
        keys,
        lambda release: msgspec.structs.replace(release, trackers=(tracker,), mirrors=(Mirror(url=mirror),)),
    )
    (channel.payload("tool", "1.0") / "tool.bin").unlink()
    seen: list[events.TransferEvent] = []
    async with Client(channel.folder, root=channel.root, config=IMPATIENT_WITH_MIRRORS) as client:
        with pytest.raises(SourcesExhaustedError, match="sources exhausted, no data for") as caught:
            await client.download("tool", to=tmp_path / "out", on_event=seen.append)
    assert caught.value.bytes_done == 0
    assert caught.value.bytes_total == len(CONTENT)
    assert tracker in caught.value.attempts
    assert any(mirror in source for source in caught.value.attempts)
    assert any(isinstance(event, events.SwarmSwitched) for event in seen)


@asynchronous
async def test_seed_that_leaves_in_the_middle(channel: TestChannel, tmp_path: Path) -> None:
    slow = replace(IMPATIENT, swarm=replace(CONFIG.swarm, download_bytes_per_s=400_000))
    async with Client(channel.folder, root=channel.root, config=slow) as client:
        async with Client(channel.folder, root=channel.root, config=CONFIG) as seed:
            await seed.seed("tool", folder=channel.payload("tool", "1.0"))
            begun = asyncio.Event()

            def watch(event: events.TransferEvent) -> None:
                if isinstance(event, events.Progress) and event.bytes_done > 100_000:
                    begun.set()

            download = asyncio.create_task(
                client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=watch)
            )
            await begun.wait()
        with pytest.raises(SourcesExhaustedError, match="What is there is kept") as caught:
            await download
    assert caught.value.bytes_done > 0
    assert list((tmp_path / "out").rglob("data/tool.bin"))
