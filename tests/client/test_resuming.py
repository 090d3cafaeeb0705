"""An interrupted download goes on from where it was, however it was interrupted."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.errors import TargetBusyError
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, make_channel, noise, port_of, publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.keys import Keys

ROOT = Path(__file__).parents[2]
SIZE = 200_000_000
SLOW = replace(CONFIG, swarm=replace(CONFIG.swarm, download_bytes_per_s=2_000_000))


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[list[str]]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield line.decode().split()


@asynchronous
async def test_ten_kills_in_a_200_mb_transfer(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    content = noise(SIZE)
    piece_length = (await publish(channel, {"tool.bin": content})).release.hybrid.piece_length
    chance = random.Random(7)
    folder, out = channel.payload("tool", "1.0"), tmp_path / "out"
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as first,
        Client(channel.folder, root=channel.root, config=CONFIG) as second,
    ):
        peers = [str(port_of(seed).port) for seed in (first, second)]
        for seed in (first, second):
            await seed.seed("tool", folder=folder)
        arguments = ["-m", "tests.client.downloader", str(channel.folder), str(out), "0", *peers]
        reached, kills, finished = 0, 0, False
        while not finished:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
            )
            killed = resumed = False
            at_least = reached - piece_length * len(peers)  # what a kill may cost
            try:
                # A kill somewhere in what is left, so that all ten fall into the transfer.
                kill_at = reached + chance.uniform(0.02, 1.0) * (0.9 * SIZE - reached) / max(1, 10 - kills)
                async for word, *rest in _lines(process):
                    if word == "resumed":
                        resumed = True
                        assert int(rest[0]) >= at_least
                    elif word == "done" and (resumed or at_least <= 0):  # what is said before it is being checked
                        reached = max(reached, int(rest[0]))
                        if kill_at <= reached < SIZE and kills < 10:
                            process.kill()
                            kills, killed = kills + 1, True
                            break
                    finished = finished or word == "finished"
            finally:
                if not killed and not finished:
                    process.kill()
                await process.wait()
            assert finished or killed, "it ended by itself, and too early"
            assert resumed or at_least <= 0, "it began anew"
            assert not finished or kills == 10
    assert hashlib.sha256((out / "tool.bin").read_bytes()).digest() == hashlib.sha256(content).digest()
    assert [path.name for path in out.iterdir()] == ["tool.bin"]


async def _cancel_in_the_middle(client: Client, out: Path, seed: Client) -> None:
    middle = asyncio.Event()

    def watch(event: events.TransferEvent) -> None:
        if isinstance(event, events.Progress) and event.bytes_done > 500_000:
            middle.set()

    download = asyncio.create_task(client.download("tool", to=out, peers=[port_of(seed)], on_event=watch))
    await middle.wait()
    download.cancel()
    with pytest.raises(asyncio.CancelledError):
        await download


@asynchronous
async def test_cancelled_download_goes_on_without_reading_everything_again(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    content = noise(4_000_000)
    await publish(channel, {"tool.bin": content})
    seen: list[events.TransferEvent] = []
    async with Client(channel.folder, root=channel.root, config=CONFIG) as seed:
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        async with Client(channel.folder, root=channel.root, config=SLOW) as client:
            await _cancel_in_the_middle(client, tmp_path / "out", seed)
        assert not (tmp_path / "out" / "tool.bin").exists()
        async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
            report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=seen.append)
    (resumed,) = [event for event in seen if isinstance(event, events.Resumed)]
    assert resumed.bytes_done > 300_000
    assert not resumed.rechecked
    assert report.files[0].bytes_from.reuse == resumed.bytes_done
    assert (tmp_path / "out" / "tool.bin").read_bytes() == content


@asynchronous
async def test_data_changed_behind_our_back_are_checked_and_mended(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    content = noise(4_000_000)
    await publish(channel, {"tool.bin": content})
    seen: list[events.TransferEvent] = []
    async with Client(channel.folder, root=channel.root, config=CONFIG) as seed:
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        async with Client(channel.folder, root=channel.root, config=SLOW) as client:
            await _cancel_in_the_middle(client, tmp_path / "out", seed)
        (partial,) = (tmp_path / "out").glob(".ossdist-*/data/tool.bin")
        with partial.open("r+b") as stream:
            stream.write(b"damaged")
        async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
            await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=seen.append)
    (resumed,) = [event for event in seen if isinstance(event, events.Resumed)]
    assert resumed.rechecked
    assert (tmp_path / "out" / "tool.bin").read_bytes() == content


@asynchronous
async def test_damaged_resume_file_only_costs_a_check(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    content = noise(4_000_000)
    await publish(channel, {"tool.bin": content})
    async with Client(channel.folder, root=channel.root, config=CONFIG) as seed:
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        async with Client(channel.folder, root=channel.root, config=SLOW) as client:
            await _cancel_in_the_middle(client, tmp_path / "out", seed)
        (resume,) = (tmp_path / "out").glob(".ossdist-*/resume")
        resume.write_bytes(b"\xff" + resume.read_bytes()[1:100])
        async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
            report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    assert report.files[0].bytes_from.reuse > 300_000
    assert (tmp_path / "out" / "tool.bin").read_bytes() == content


@asynchronous
async def test_two_downloads_of_one_release_into_one_folder(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": noise(4_000_000)})
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=SLOW) as client,
        Client(channel.folder, root=channel.root, config=CONFIG) as other,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        begun = asyncio.Event()
        download = asyncio.create_task(
            client.download(
                "tool",
                to=tmp_path / "out",
                peers=[port_of(seed)],
                on_event=lambda event: _set_on_progress(event, begun),
            )
        )
        await begun.wait()
        with pytest.raises(TargetBusyError, match="another download"):
            await other.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download


def _set_on_progress(event: events.TransferEvent, begun: asyncio.Event) -> None:
    if isinstance(event, events.Progress):
        begun.set()
