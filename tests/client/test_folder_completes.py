"""What an earlier try has begun is completed from the channel's folder, as soon as that has the right file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.errors import SourcesExhaustedError
from ossdist.release import layout, model
from ossdist.store.reuse import copy_from_channel
from ossdist.store.workspace import Workspace
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, QUICK, WITH_MIRRORS, TestChannel, noise, port_of, published_channel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ossdist.release.model import Release
    from tests.keys import Keys

FILES = {"a.bin": noise(1_500_000), "docs/b.txt": noise(70_000, seed=1)}
LENGTH = sum(map(len, FILES.values()))
ALONE = replace(WITH_MIRRORS, peers_enabled=False, transfer=replace(QUICK, exhausted_after_s=1.5, swarm_patience_s=0.5))
"""As from a stick: the channel's folder and nobody else."""


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, FILES)


def of(channel: TestChannel) -> Release:
    return model.decode_release((channel.folder / layout.release_path("tool", "1.0")).read_bytes())


async def require_complete(channel: TestChannel, folder: Path) -> None:
    """A client that has the channel's folder alone brings everything there."""
    async with Client(channel.folder, root=channel.root, config=ALONE) as client:
        report = await client.download("tool", to=folder)
    assert all(file.verified for file in report.files)
    for path, content in FILES.items():
        assert (folder / path).read_bytes() == content
    assert not list(folder.glob(".ossdist-*"))


# --- a download over peers that was cancelled ------------------------------------------------------------


@asynchronous
async def test_what_came_from_peers_in_part_is_completed_from_the_folder(channel: TestChannel, tmp_path: Path) -> None:
    slow = replace(CONFIG, swarm=replace(CONFIG.swarm, download_bytes_per_s=100_000))
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=slow) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        begun = asyncio.Event()

        def look(event: events.TransferEvent) -> None:
            if isinstance(event, events.Progress) and event.bytes_done:
                begun.set()

        out = tmp_path / "out"
        downloading = asyncio.create_task(client.download("tool", to=out, peers=[port_of(seed)], on_event=look))
        await begun.wait()
        downloading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await downloading
    assert list(out.glob(".ossdist-*"))
    assert not (out / "a.bin").exists()
    await require_complete(channel, out)


# --- a folder that was damaged, and is mended ------------------------------------------------------------


def _wrong_bytes(file: Path) -> None:
    file.write_bytes(b"BAD" + file.read_bytes()[3:])


def _all_wrong(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": lambda file: file.unlink(),
    "wrong bytes": _wrong_bytes,
    "all wrong": _all_wrong,
}


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
@asynchronous
async def test_what_was_copied_from_a_damaged_folder_is_replaced_when_it_is_mended(
    channel: TestChannel, tmp_path: Path, damage: str, path: str
) -> None:
    out = tmp_path / "out"
    DAMAGES[damage](channel.payload("tool", "1.0") / path)
    for _ in range(2):  # trying again does not make it worse
        async with Client(channel.folder, root=channel.root, config=ALONE) as client:
            with pytest.raises(SourcesExhaustedError) as caught:
                await client.download("tool", to=out)
        assert caught.value.bytes_done < LENGTH
    (channel.payload("tool", "1.0") / path).write_bytes(FILES[path])
    await require_complete(channel, out)


# --- the copy itself -------------------------------------------------------------------------------------

BEGUN: dict[str, bytes] = {
    "half": FILES["a.bin"][: len(FILES["a.bin"]) // 2],
    "empty": b"",
    "too long": FILES["a.bin"] + b"more",
    "with a hole": FILES["a.bin"][:500_000] + bytes(500_000) + FILES["a.bin"][1_000_000:],
}


@pytest.mark.parametrize("begun", BEGUN)
@asynchronous
async def test_the_right_file_takes_the_place_of_what_was_begun(
    channel: TestChannel, tmp_path: Path, begun: str
) -> None:
    with Workspace(tmp_path / "out", "0" * 64) as workspace:
        target, right = workspace.data / "tool-1.0" / "a.bin", workspace.data / "tool-1.0" / "docs" / "b.txt"
        right.parent.mkdir(parents=True)
        right.write_bytes(FILES["docs/b.txt"])
        target.write_bytes(BEGUN[begun])
        before = right.stat().st_ino
        assert await copy_from_channel(channel.folder, of(channel), workspace)
        assert target.read_bytes() == FILES["a.bin"]
        assert right.stat().st_ino == before  # what is right already is not copied again
        assert not await copy_from_channel(channel.folder, of(channel), workspace)


@asynchronous
async def test_a_wrong_file_does_not(channel: TestChannel, tmp_path: Path) -> None:
    _wrong_bytes(channel.payload("tool", "1.0") / "a.bin")
    with Workspace(tmp_path / "out", "0" * 64) as workspace:
        target = workspace.data / "tool-1.0" / "a.bin"
        target.parent.mkdir(parents=True)
        target.write_bytes(BEGUN["half"])
        assert await copy_from_channel(channel.folder, of(channel), workspace)  # the other file
        assert target.read_bytes() == BEGUN["half"]
        assert not await copy_from_channel(channel.folder, of(channel), workspace)
