"""Two releases of the same bytes (a candidate that was promoted) have the same info-hashes, and are both shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ossdist.client import Client
from ossdist.errors import SwarmError
from ossdist.seeder import Seeder
from ossdist.swarm import LibtorrentSession
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, TestChannel, make_channel, noise, port_of, publish

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.swarm.torrent import LibtorrentTorrent
    from ossdist.transfer.session import AddTorrent
    from tests.keys import Keys

FILES = {"tool.bin": noise(200_000)}


async def promoted(tmp_path: Path, keys: Keys) -> TestChannel:
    channel = await make_channel(tmp_path, keys)
    candidate = await publish(channel, FILES, version="1.0-rc1")
    final = await publish(channel, FILES, version="1.0")
    assert candidate.release.hybrid == final.release.hybrid
    return channel


def client_of(channel: TestChannel) -> Client:
    return Client(channel.folder, root=channel.root, config=CONFIG)


@asynchronous
async def test_both_are_shared_and_downloaded_by_one_client(tmp_path: Path, keys: Keys) -> None:
    channel = await promoted(tmp_path, keys)
    async with client_of(channel) as seed, client_of(channel) as client:
        seeder = Seeder(seed, channel.folder)
        await seeder.look()
        status = await seeder.status()
        assert (status.ready, status.releases, status.problems) == (True, 2, {})
        for version, to in (("1.0-rc1", "a"), ("1.0", "b"), ("1.0", "a"), ("1.0-rc1", "b")):
            report = await client.download("tool", version=version, to=tmp_path / to, peers=[port_of(seed)])
            assert report.files[0].verified
            assert (tmp_path / to / "tool.bin").read_bytes() == FILES["tool.bin"]


@asynchronous
async def test_one_is_withdrawn_and_the_other_stays_shared(tmp_path: Path, keys: Keys) -> None:
    channel = await promoted(tmp_path, keys)
    async with client_of(channel) as seed, client_of(channel) as client:
        seeder = Seeder(seed, channel.folder)
        await seeder.look()
        await channel.publisher.withdraw("tool", "1.0-rc1", reason="the final one is there")
        await seeder.look()
        assert [seeding.release.release.version for seeding in seed.seeding] == ["1.0"]
        assert (await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])).files[0].verified
        await channel.publisher.withdraw("tool", "1.0", reason="that one too")
        torrents = dict(seed.seeding[0].torrents)
        await seeder.look()
        assert seed.seeding == ()
        for torrent in torrents.values():
            with pytest.raises(SwarmError):
                await torrent.status()


@asynchronous
async def test_what_cannot_be_added_is_not_shared_in_part(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = await promoted(tmp_path, keys)
    add = LibtorrentSession.add
    added: list[LibtorrentTorrent] = []

    async def add_one(session: LibtorrentSession, request: AddTorrent) -> LibtorrentTorrent:
        if added:
            raise SwarmError("there is no room for another torrent")
        added.append(await add(session, request))
        return added[0]

    async with client_of(channel) as seed:
        monkeypatch.setattr(LibtorrentSession, "add", add_one)
        with pytest.raises(SwarmError, match="no room"):
            await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        assert seed.seeding == ()
        with pytest.raises(SwarmError):
            await added[0].status()
        monkeypatch.undo()
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        assert len(seed.seeding[0].torrents) == 2
