"""A seeder whose files go or rot says so, gets them anew where it can, and shares them again when they are there."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist.client import Client
from ossdist.release import layout
from ossdist.seeder import Seeder
from ossdist.swarm import LibtorrentSession, load_metainfo
from ossdist.transfer.session import AddTorrent, TorrentState
from ossdist.transfer.watch import Swarm
from tests.asynchronous import asynchronous
from tests.channels import (
    CONFIG,
    LOCAL,
    QUICK,
    WITH_MIRRORS,
    TestChannel,
    make_channel,
    noise,
    port_of,
    publish,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ossdist.sharing import Seeding
    from tests.keys import Keys

GOOD = noise(300_000)
OTHER = noise(50_000, seed=1)
ALONE = replace(CONFIG, transfer=replace(QUICK, exhausted_after_s=1.0, swarm_patience_s=0.5))
"""For clients that find nobody else."""


async def prepared(tmp_path: Path, keys: Keys) -> TestChannel:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": GOOD})
    await publish(channel, {"other.bin": OTHER}, name="other")
    return channel


def _rot(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _rot_in_one_place(file: Path) -> None:
    file.write_bytes(b"bad" + file.read_bytes()[3:])


def _rot_unseen(file: Path) -> None:
    before = file.stat()
    _rot(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": lambda file: file.unlink(),
    "rotten": _rot,
    "rotten in one place": _rot_in_one_place,
    "rotten, and nobody wrote to it": _rot_unseen,
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:1000]),
}


def shared(client: Client, name: str) -> Seeding | None:
    return next((seeding for seeding in client.seeding if seeding.release.release.name == name), None)


async def until_noticed(channel: TestChannel, seed: Client, swarm: Swarm, folder: Path) -> None:
    """Lets somebody ask for ``tool`` in that swarm until the seed's libtorrent knows that it is damaged."""
    seeding = shared(seed, "tool")
    assert seeding is not None
    torrent = channel.folder / layout.torrent_path("tool", "1.0", v1=swarm is Swarm.V1)
    async with await LibtorrentSession.open(LOCAL) as leech:
        request = AddTorrent(source=load_metainfo(torrent.read_bytes()), save_path=folder, peers=(port_of(seed),))
        await leech.add(request)
        while not (status := await seeding.torrents[swarm].status()).error:
            if status.state is TorrentState.DOWNLOADING:
                break


@pytest.mark.parametrize("swarm", Swarm)
@pytest.mark.parametrize("damage", DAMAGES)
@asynchronous
async def test_what_is_damaged_is_a_problem_until_it_is_right_again(
    tmp_path: Path, keys: Keys, damage: str, swarm: Swarm
) -> None:
    channel = await prepared(tmp_path, keys)
    file = channel.payload("tool", "1.0") / "tool.bin"
    async with (
        Client(channel.folder, root=channel.root, config=ALONE) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        seeder = Seeder(seed, channel.folder)
        await seeder.look()
        assert (await seeder.status()).ready
        other = shared(seed, "other")
        DAMAGES[damage](file)
        await until_noticed(channel, seed, swarm, tmp_path / "leech")
        await seeder.look()  # nobody has it
        status = await seeder.status()
        assert (status.ready, status.releases, list(status.problems)) == (False, 1, ["tool 1.0"])
        assert shared(seed, "tool") is None
        assert shared(seed, "other") is other  # what is right goes on
        file.write_bytes(GOOD)
        await seeder.look()
        status = await seeder.status()
        assert (status.ready, status.releases, status.problems) == (True, 2, {})
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    assert report.files[0].verified
    assert (tmp_path / "out" / "tool.bin").read_bytes() == GOOD


@pytest.mark.parametrize("damage", DAMAGES)
@asynchronous
async def test_what_is_damaged_is_fetched_again(tmp_path: Path, keys: Keys, damage: str) -> None:
    channel = await prepared(tmp_path, keys)
    store = tmp_path / "store"
    shutil.copytree(channel.folder / "files", store / "files")
    file = store / channel.payload("tool", "1.0").relative_to(channel.folder) / "tool.bin"
    async with (
        Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        seeder = Seeder(seed, store)
        await seeder.look()
        DAMAGES[damage](file)
        await until_noticed(channel, seed, Swarm.HYBRID, tmp_path / "leech")
        await seeder.look()
        status = await seeder.status()
        assert (status.ready, status.releases, status.problems) == (True, 2, {})
        assert file.read_bytes() == GOOD
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    assert report.files[0].verified


@asynchronous
async def test_what_is_right_stays_shared_as_it_is(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        seeder = Seeder(seed, channel.folder)
        await seeder.look()
        before = seed.seeding
        downloading = asyncio.create_task(client.download("tool", to=tmp_path / "out", peers=[port_of(seed)]))
        while not downloading.done():  # also while it is read
            await seeder.look()
        await downloading
        await seeder.look()
        assert all(now is then for now, then in zip(seed.seeding, before, strict=True))


@asynchronous
async def test_what_the_client_shares_on_its_own_is_left_alone_though_damaged(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "tool.bin").write_bytes(GOOD)
    async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
        seeding = await client.seed("tool", folder=mine)
        seeder = Seeder(client, channel.folder)
        await seeder.look()
        _rot(mine / "tool.bin")
        await until_noticed(channel, client, Swarm.HYBRID, tmp_path / "leech")
        await seeder.look()
        assert shared(client, "tool") is seeding


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "rotten, and nobody wrote to it"])
@asynchronous
async def test_what_was_altered_is_found_before_anybody_asks_for_it(tmp_path: Path, keys: Keys, damage: str) -> None:
    channel = await prepared(tmp_path, keys)
    store = tmp_path / "store"
    file = store / channel.payload("tool", "1.0").relative_to(channel.folder) / "tool.bin"
    async with Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as seed:
        seeder = Seeder(seed, store)
        await seeder.look()  # downloads it: libtorrent would serve what stands there now unread
        assert file.read_bytes() == GOOD
        DAMAGES[damage](file)
        await seeder.look()
        assert (await seeder.status()).ready
        assert file.read_bytes() == GOOD
