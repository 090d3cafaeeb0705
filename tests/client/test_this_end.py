"""What is wrong at this end: a disk that is full, or a target that cannot be written to."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.errors import DiskFullError, StorageError, TargetNotWritableError
from ossdist.transfer.run import Transfer
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, QUICK, TestChannel, noise, port_of, published_channel
from tests.disks import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ossdist.store.workspace import Workspace
    from tests.keys import Keys

CONTENT = noise(1_000_000)
IMPATIENT = replace(CONFIG, transfer=replace(QUICK, exhausted_after_s=1.5, swarm_patience_s=0.5))


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, {"tool.bin": CONTENT})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    with small_disk(folder, size_bytes=600 << 10) as found:
        yield found


@asynchronous
async def test_disk_that_is_too_small_is_noticed_before_the_transfer(channel: TestChannel, disk: Path) -> None:
    async with Client(channel.folder, root=channel.root, config=IMPATIENT) as client:
        with pytest.raises(DiskFullError, match="1000000 bytes needed") as caught:
            await client.download("tool", to=disk / "out")
    assert caught.value.free_bytes is not None
    assert caught.value.free_bytes <= 600 * 1024


def _enough(workspace: Workspace, paths: Sequence[tuple[str, int]]) -> None:
    """Finds enough room wherever it looks."""


@asynchronous
async def test_disk_that_fills_up_during_the_transfer(
    channel: TestChannel, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Somebody else takes the room after we looked: the look is taken out.
    monkeypatch.setattr("ossdist.store.workspace.Workspace.require_room", _enough)
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        with pytest.raises(DiskFullError, match="Free some space"):
            await client.download("tool", to=disk / "out", peers=[port_of(seed)])
    assert not (disk / "out" / "tool.bin").exists()


@asynchronous
async def test_target_that_cannot_be_written(channel: TestChannel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with Client(channel.folder, root=channel.root, config=IMPATIENT) as client:
        for target in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(TargetNotWritableError, match="Choose another folder"):
                await client.download("tool", to=target)


@asynchronous
async def test_final_name_that_is_a_folder(channel: TestChannel, tmp_path: Path) -> None:
    (tmp_path / "out" / "tool.bin" / "full").mkdir(parents=True)
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        with pytest.raises(TargetNotWritableError, match="a folder of that name is in the way"):
            await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
        os.removedirs(tmp_path / "out" / "tool.bin" / "full")
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    assert (tmp_path / "out" / "tool.bin").read_bytes() == CONTENT
    assert report.files[0].bytes_from.swarm == len(CONTENT)  # it was refused before anything was fetched


@asynchronous
async def test_final_name_that_becomes_a_folder_meanwhile(channel: TestChannel, tmp_path: Path) -> None:
    def stand_in_the_way(event: events.TransferEvent) -> None:
        if isinstance(event, events.FileVerified):
            (tmp_path / "out" / "tool.bin" / "full").mkdir(parents=True)

    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        with pytest.raises(StorageError, match="cannot move"):
            await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=stand_in_the_way)
        os.removedirs(tmp_path / "out" / "tool.bin" / "full")
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    assert report.files[0].bytes_from.reuse == len(CONTENT)


@asynchronous
async def test_disk_that_is_full_though_the_session_says_something_else(
    channel: TestChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Transfer) -> None:
        raise StorageError("the disk refused: file too short", path=tmp_path)

    monkeypatch.setattr(Transfer, "run", fail)
    async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
        with pytest.raises(StorageError, match="file too short"):
            await client.download("tool", to=tmp_path / "out")
        monkeypatch.setattr("ossdist.delivery.is_full", Path.is_dir)
        with pytest.raises(DiskFullError, match="Free some space"):
            await client.download("tool", to=tmp_path / "out")
