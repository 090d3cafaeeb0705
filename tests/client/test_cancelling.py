"""A download may be cancelled at any moment, twice even: nothing goes on, and the next call succeeds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.swarm import LibtorrentSession
from ossdist.tasks import run_to_end
from ossdist.transfer.watch import Swarm
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, QUICK, TestChannel, make_channel, noise, port_of, publish, published_channel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.keys import Keys

FILES = {"a.bin": noise(1_500_000), "b.bin": noise(700_000, seed=1), "c/d.bin": noise(50_000, seed=2)}


def torrents_in(client: Client) -> int:
    session = client.session
    assert isinstance(session, LibtorrentSession)
    return len(session._torrents)  # pyright: ignore[reportPrivateUsage]


def require_complete(folder: Path) -> None:
    for path, content in FILES.items():
        assert (folder / path).read_bytes() == content
    assert not list(folder.glob(".ossdist-*"))


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, FILES)


@pytest.mark.parametrize("cancellations", [1, 3])
@asynchronous
async def test_cancelled_at_many_moments(channel: TestChannel, tmp_path: Path, cancellations: int) -> None:
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=replace(CONFIG, seed_after=False)) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        for moment in range(30):
            out = tmp_path / f"out{moment}"
            download = asyncio.create_task(client.download("tool", to=out, peers=[port_of(seed)]))
            await asyncio.wait([download], timeout=moment * 0.004)
            for _ in range(cancellations):
                download.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([download])
            assert download.cancelled() or download.result()
            assert torrents_in(client) == 0
            await client.download("tool", to=out, peers=[port_of(seed)])
            require_complete(out)


MOMENTS: dict[str, Callable[[events.TransferEvent], bool]] = {
    "resolved": lambda event: isinstance(event, events.Resolved),
    "begun": lambda event: isinstance(event, events.Progress) and event.bytes_done > 0,
    "verified": lambda event: isinstance(event, events.FileVerified),
    "first commit": lambda event: isinstance(event, events.FileCommitted),
    "last commit": lambda event: isinstance(event, events.FileCommitted) and event.path.endswith("d.bin"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@asynchronous
async def test_cancelled_at_each_event(channel: TestChannel, tmp_path: Path, moment: str) -> None:
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))

        def watch(event: events.TransferEvent) -> None:
            if MOMENTS[moment](event):
                download.cancel()

        download = asyncio.create_task(
            client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=watch)
        )
        await asyncio.wait([download])
        assert download.cancelled()
        assert torrents_in(client) == 0
        await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    require_complete(tmp_path / "out")


@asynchronous
async def test_cancelled_while_it_changes_swarms(channel: TestChannel, tmp_path: Path) -> None:
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        seeding = await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        await seeding.torrents[Swarm.HYBRID].remove()

        def watch(event: events.TransferEvent) -> None:
            if isinstance(event, events.SwarmSwitched):
                download.cancel()

        download = asyncio.create_task(
            client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=watch)
        )
        await asyncio.wait([download])
        assert download.cancelled()
        assert torrents_in(client) == 0
        await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    require_complete(tmp_path / "out")


@asynchronous
async def test_what_came_from_the_v1_swarm_is_not_fetched_again(channel: TestChannel, tmp_path: Path) -> None:
    slow = replace(CONFIG, swarm=replace(CONFIG.swarm, download_bytes_per_s=1_500_000), transfer=QUICK)
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=slow) as client,
    ):
        seeding = await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        await seeding.torrents[Swarm.HYBRID].remove()
        reached = 0

        def watch(event: events.TransferEvent) -> None:
            nonlocal reached
            if isinstance(event, events.Progress) and event.bytes_done > 800_000:
                reached = event.bytes_done
                download.cancel()

        download = asyncio.create_task(
            client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=watch)
        )
        await asyncio.wait([download])
        assert download.cancelled()
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    require_complete(tmp_path / "out")
    assert sum(file.bytes_from.reuse for file in report.files) > reached - 300_000


@asynchronous
async def test_files_of_a_commit_that_was_killed_are_not_fetched_again(channel: TestChannel, tmp_path: Path) -> None:
    """One file stands under its final name, the others were still on their way when the process died."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.bin").write_bytes(FILES["a.bin"])
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        report = await client.download("tool", to=out, peers=[port_of(seed)])
    require_complete(out)
    assert sum(file.bytes_from.reuse for file in report.files) >= len(FILES["a.bin"]) - 100_000


@asynchronous
async def test_leftover_of_a_download_that_was_complete_is_swept(channel: TestChannel, tmp_path: Path) -> None:
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
        release = await client.catalog.resolve("tool")
        leftover = tmp_path / "out" / f".ossdist-{release.release.hybrid.info_hash_v2[:16]}" / "data"
        leftover.mkdir(parents=True)
        await client.download("tool", to=tmp_path / "out")
    require_complete(tmp_path / "out")


@asynchronous
async def test_old_release_that_is_still_shared_does_not_write_over_the_new_one(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    contents = {version: noise(400_000, seed=int(version)) for version in ("1", "2")}
    for version, content in contents.items():
        await publish(channel, {"tool.bin": content}, version=version)
    out = tmp_path / "out"
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
        Client(channel.folder, root=channel.root, config=CONFIG) as third,
    ):
        for version in contents:
            await seed.seed("tool", version=version, folder=channel.payload("tool", version))
        await client.download("tool", version="1", to=out, peers=[port_of(seed)])
        await client.download("tool", version="2", to=out, peers=[port_of(seed)])
        assert [seeding.release.release.version for seeding in client.seeding] == ["2"]
        # Somebody asks the client for the old one, which it no longer has.
        await third.download("tool", version="1", to=tmp_path / "third", peers=[port_of(client), port_of(seed)])
        assert (out / "tool.bin").read_bytes() == contents["2"]
    assert (tmp_path / "third" / "tool.bin").read_bytes() == contents["1"]


@asynchronous
async def test_work_is_run_to_its_end_before_the_cancellation_goes_on() -> None:
    ended = False

    async def work() -> int:
        nonlocal ended
        for _ in range(20):
            await asyncio.sleep(0)
        ended = True
        return 7

    assert await run_to_end(work()) == 7
    ended = False
    task = asyncio.create_task(run_to_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended


@asynchronous
async def test_error_of_work_that_is_run_to_its_end() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await run_to_end(work())
