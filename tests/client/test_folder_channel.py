"""A channel's folder on this machine gives the payload too; what is wrong in it does no harm."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Literal

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.errors import DiskFullError, SourcesExhaustedError, TargetNotWritableError
from ossdist.release import layout, model
from ossdist.store.files import open_regular
from ossdist.store.reuse import copy_from_channel
from ossdist.store.workspace import Workspace
from tests.asynchronous import asynchronous
from tests.channels import QUICK, WITH_MIRRORS, TestChannel, noise, port_of, published_channel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from ossdist.release.model import Release
    from ossdist.release.report import DownloadReport
    from tests.keys import Keys

FILES = {"a.bin": noise(1_500_000), "docs/b.txt": noise(70_000, seed=1), "docs/empty": b""}
LENGTH = sum(map(len, FILES.values()))
ALONE = replace(WITH_MIRRORS, peers_enabled=False, transfer=replace(QUICK, exhausted_after_s=1.5, swarm_patience_s=0.5))


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, FILES)


def require_complete(folder: Path) -> None:
    for path, content in FILES.items():
        assert (folder / path).read_bytes() == content
    assert not list(folder.glob(".ossdist-*"))


def came(report: DownloadReport, way: Literal["swarm", "mirror", "reuse"]) -> int:
    """How many bytes of all files came that way."""
    return sum(getattr(file.bytes_from, way) for file in report.files)


@asynchronous
async def test_folder_that_holds_everything_is_enough(channel: TestChannel, tmp_path: Path) -> None:
    async with Client(channel.folder, root=channel.root, config=ALONE) as client:
        report = await client.download("tool", to=tmp_path / "out")
    require_complete(tmp_path / "out")
    assert came(report, "mirror") == LENGTH
    assert [(source.url, source.bytes) for source in report.sources if source.bytes] == [(str(channel.folder), LENGTH)]
    assert all(file.verified for file in report.files)
    for path, content in FILES.items():
        assert (channel.payload("tool", "1.0") / path).read_bytes() == content


@asynchronous
async def test_without_mirrors_the_folder_gives_documents_alone(channel: TestChannel, tmp_path: Path) -> None:
    config = replace(ALONE, mirrors_enabled=False)
    async with Client(channel.folder, root=channel.root, config=config) as client:
        with pytest.raises(SourcesExhaustedError):
            await client.download("tool", to=tmp_path / "out")


def _other_bytes(file: Path) -> None:
    file.write_bytes(noise(file.stat().st_size, seed=9))


def _other_length(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")


def _link_out(file: Path) -> None:
    outside = file.parents[3] / "outside"
    file.rename(outside)
    file.symlink_to(outside)


def _folder_link_out(file: Path) -> None:
    outside = file.parents[3] / "outside"
    file.parent.rename(outside)
    file.parent.symlink_to(outside)


def _circle(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": lambda file: file.unlink(),
    "other bytes": _other_bytes,
    "other length": _other_length,
    "link out": _link_out,
    "folder's link out": _folder_link_out,
    "circle": _circle,
    "pipe": _pipe,
}


@pytest.mark.parametrize("damage", DAMAGES)
@asynchronous
async def test_what_is_wrong_in_the_folder_comes_from_peers(channel: TestChannel, tmp_path: Path, damage: str) -> None:
    good = tmp_path / "good"
    async with (
        Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as seed,
        Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as client,
    ):
        await seed.seed("tool", folder=good)
        DAMAGES[damage](channel.payload("tool", "1.0") / "a.bin")
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    require_complete(tmp_path / "out")
    assert came(report, "swarm") >= len(FILES["a.bin"])


@asynchronous
async def test_link_that_stays_in_the_folder_is_followed(channel: TestChannel, tmp_path: Path) -> None:
    file = channel.payload("tool", "1.0") / "a.bin"
    file.rename(channel.folder / "pool.bin")
    file.symlink_to(channel.folder / "pool.bin")
    (tmp_path / "link").symlink_to(channel.folder)
    async with Client(tmp_path / "link", root=channel.root, config=ALONE) as client:
        await client.download("tool", to=tmp_path / "out")
    require_complete(tmp_path / "out")


@asynchronous
async def test_what_an_unfinished_download_has_is_not_copied_over(channel: TestChannel, tmp_path: Path) -> None:
    out, half = tmp_path / "out", len(FILES["a.bin"]) // 2
    begun = out / f".ossdist-{of(channel).hybrid.info_hash_v2[:16]}" / "data" / "tool-1.0" / "a.bin"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(FILES["a.bin"][:half])
    _other_bytes(channel.payload("tool", "1.0") / "a.bin")
    async with Client(channel.folder, root=channel.root, config=ALONE) as client:
        with pytest.raises(SourcesExhaustedError) as caught:
            await client.download("tool", to=out)
    assert caught.value.bytes_done >= half - of(channel).hybrid.piece_length + len(FILES["docs/b.txt"])


@asynchronous
async def test_file_that_comes_later_is_found_though_the_saved_state_does_not_know_it(
    channel: TestChannel, tmp_path: Path
) -> None:
    file = channel.payload("tool", "1.0") / "docs" / "b.txt"
    file.unlink()
    async with Client(channel.folder, root=channel.root, config=ALONE) as client:
        with pytest.raises(SourcesExhaustedError) as caught:
            await client.download("tool", to=tmp_path / "out")
        assert caught.value.bytes_done == len(FILES["a.bin"])
        file.write_bytes(FILES["docs/b.txt"])
        seen: list[events.TransferEvent] = []
        await client.download("tool", to=tmp_path / "out", on_event=seen.append)
    require_complete(tmp_path / "out")
    copied = len(FILES["docs/b.txt"])
    assert events.Resumed(LENGTH - copied, rechecked=True, bytes_copied=copied) in seen
    assert not any(isinstance(event, events.SwarmSwitched) for event in seen)


@asynchronous
async def test_disk_that_is_too_small_is_noticed_before_anything_is_copied(
    channel: TestChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nine_blocks(_: Path) -> os.statvfs_result:
        return os.statvfs_result((512, 512, 9, 9, 9, 9, 9, 9, 0, 255))

    monkeypatch.setattr(os, "statvfs", nine_blocks)
    async with Client(channel.folder, root=channel.root, config=ALONE) as client:
        with pytest.raises(DiskFullError):
            await client.download("tool", to=tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.bin"))


# --- the copy itself -------------------------------------------------------------------------------------


def of(channel: TestChannel) -> Release:
    return model.decode_release((channel.folder / layout.release_path("tool", "1.0")).read_bytes())


class _Faulty(io.FileIO):
    """A file to which something happens at the first look into it."""

    def __init__(self, path: Path, happens: Callable[[], object]) -> None:
        super().__init__(path)
        self._happens = happens

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._happens()
        return super().readinto(buffer)


def fault(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], object]) -> None:
    """Lets something happen while the file of that name is read."""

    def opening(path: Path) -> BinaryIO:
        return io.BufferedReader(_Faulty(path, happens)) if path.name == name else open_regular(path)

    monkeypatch.setattr("ossdist.store.reuse.open_regular", opening)


@asynchronous
async def test_copy_says_whether_there_is_anything_new(channel: TestChannel, tmp_path: Path) -> None:
    with Workspace(tmp_path / "out", "0" * 64) as workspace:
        assert await copy_from_channel(channel.folder, of(channel), workspace)
        assert not await copy_from_channel(channel.folder, of(channel), workspace)
        data = workspace.data / "tool-1.0"
        assert {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()} == {"a.bin", "docs/b.txt"}
        (data / "a.bin").unlink()
        assert not await copy_from_channel(tmp_path / "nowhere", of(channel), workspace)


def _input_output_error() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("what", ["gets shorter", "breaks off"])
@asynchronous
async def test_file_that_fails_while_it_is_copied_is_not_taken(
    channel: TestChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    file = channel.payload("tool", "1.0") / "a.bin"
    fault(monkeypatch, "a.bin", _input_output_error if what == "breaks off" else lambda: os.truncate(file, 5000))
    with Workspace(tmp_path / "out", "0" * 64) as workspace:
        assert await copy_from_channel(channel.folder, of(channel), workspace)
        assert not (workspace.data / "tool-1.0" / "a.bin").exists()
        assert (workspace.data / "tool-1.0" / "docs" / "b.txt").exists()
        assert not workspace.data.with_name("copying").exists()


@asynchronous
async def test_file_that_grows_while_it_is_copied_is_not_followed(
    channel: TestChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = channel.payload("tool", "1.0") / "a.bin"
    fault(monkeypatch, "a.bin", lambda: file.write_bytes(FILES["a.bin"] + b"more"))
    with Workspace(tmp_path / "out", "0" * 64) as workspace:
        assert await copy_from_channel(channel.folder, of(channel), workspace)
        assert (workspace.data / "tool-1.0" / "a.bin").stat().st_size == len(FILES["a.bin"])


@asynchronous
async def test_cancelled_copy_has_ended_when_it_says_so(
    channel: TestChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        assert go_on.wait(10)

    fault(monkeypatch, "a.bin", wait)
    with Workspace(tmp_path / "out", "0" * 64) as workspace:
        copying = asyncio.create_task(copy_from_channel(channel.folder, of(channel), workspace))
        assert await asyncio.to_thread(reading.wait, 10)
        for _ in range(3):
            copying.cancel()
            await asyncio.sleep(0)
        assert not copying.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await copying
        assert not list(workspace.data.rglob("*.*"))
        assert not workspace.data.with_name("copying").exists()


@asynchronous
async def test_workspace_that_cannot_be_written_is_an_error(channel: TestChannel, tmp_path: Path) -> None:
    with Workspace(tmp_path / "out", "0" * 64) as workspace:
        (workspace.data / "tool-1.0").write_bytes(b"a file, where a folder must be")
        with pytest.raises(TargetNotWritableError):
            await copy_from_channel(channel.folder, of(channel), workspace)
