"""One client is asked for the same release twice at the same time: one call waits for the other, and both are right."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.transfer.watch import Swarm
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, QUICK, TestChannel, noise, port_of, published_channel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from ossdist.release.report import DownloadReport
    from ossdist.transfer.metainfo import Address
    from tests.keys import Keys

CONTENT = noise(300_000)
PATIENT = replace(
    CONFIG,
    swarm=replace(CONFIG.swarm, download_bytes_per_s=300_000),
    transfer=replace(QUICK, swarm_patience_s=100.0, exhausted_after_s=100.0),
)
"""Waits for the seed until that dials, and leaves time for a second call that does not wait to go wrong."""


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, {"tool.bin": CONTENT})


class Download:
    """A download that was begun.

    Attributes:
        task: Its end.
        resolved: Set when the client knows which release is wanted.
        begun: Set when its transfer is under way.
    """

    def __init__(self, client: Client, to: Path, *peers: Address) -> None:
        self.resolved, self.begun = asyncio.Event(), asyncio.Event()
        self.task: asyncio.Task[DownloadReport] = asyncio.create_task(
            client.download("tool", to=to, peers=peers, on_event=self._look)
        )

    def _look(self, event: events.TransferEvent) -> None:
        if isinstance(event, events.Resolved):
            self.resolved.set()
        elif isinstance(event, events.Progress):
            self.begun.set()


@asynccontextmanager
async def both(channel: TestChannel) -> AsyncGenerator[tuple[Client, Client]]:
    """A seed, and a client that does not know of it."""
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=PATIENT) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        yield seed, client


async def dial(seed: Client, client: Client) -> None:
    """Lets what the client has begun go on."""
    await seed.seeding[0].torrents[Swarm.HYBRID].connect(port_of(client))


def require_right(report: DownloadReport, folder: Path) -> None:
    assert report.files[0].verified
    assert (folder / "tool.bin").read_bytes() == CONTENT
    assert not list(folder.glob(".ossdist-*"))


async def require_shared(channel: TestChannel, client: Client, folder: Path, to: Path) -> None:
    """The client shares the release once, from where it says, in both swarms; and others get it there."""
    (seeding,) = client.seeding
    assert seeding.folder == folder
    assert len(seeding.torrents) == 2
    for torrent in seeding.torrents.values():
        assert not (await torrent.status()).error
    async with Client(channel.folder, root=channel.root, config=CONFIG) as third:
        require_right(await third.download("tool", to=to, peers=[port_of(client)]), to)


@asynchronous
async def test_it_is_right_in_the_second_folder_already(channel: TestChannel, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    b.mkdir()
    (b / "tool.bin").write_bytes(CONTENT)
    async with both(channel) as (seed, client):
        first = Download(client, a)
        await first.begun.wait()
        second = Download(client, b)
        await second.resolved.wait()
        await dial(seed, client)
        require_right(await second.task, b)
        require_right(await first.task, a)
        await require_shared(channel, client, a, tmp_path / "third")


@pytest.mark.parametrize("folders", [("a", "b"), ("a", "a")])
@asynchronous
async def test_nothing_of_it_is_there_yet(channel: TestChannel, tmp_path: Path, folders: tuple[str, str]) -> None:
    places = [tmp_path / folder for folder in folders]
    async with both(channel) as (seed, client):
        first = Download(client, places[0])
        await first.begun.wait()
        second = Download(client, places[1], port_of(seed))
        await second.resolved.wait()
        await dial(seed, client)
        require_right(await first.task, places[0])
        require_right(await second.task, places[1])
        await require_shared(channel, client, places[1], tmp_path / "third")


@asynchronous
async def test_whoever_waits_can_be_cancelled(channel: TestChannel, tmp_path: Path) -> None:
    async with both(channel) as (seed, client):
        first = Download(client, tmp_path / "a")
        await first.begun.wait()
        second = Download(client, tmp_path / "b", port_of(seed))
        await second.resolved.wait()
        second.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second.task
        assert not first.task.done()
        await dial(seed, client)
        require_right(await first.task, tmp_path / "a")
        await require_shared(channel, client, tmp_path / "a", tmp_path / "third")
        assert not (tmp_path / "b").exists()


@asynchronous
async def test_the_second_goes_on_when_the_first_is_cancelled(channel: TestChannel, tmp_path: Path) -> None:
    async with both(channel) as (seed, client):
        first = Download(client, tmp_path / "a")
        await first.begun.wait()
        second = Download(client, tmp_path / "b", port_of(seed))
        await second.resolved.wait()
        first.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first.task
        require_right(await second.task, tmp_path / "b")
        await require_shared(channel, client, tmp_path / "b", tmp_path / "third")
