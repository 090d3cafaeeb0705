"""What a seeder shares, counts and reports."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from ossdist.client import Client
from ossdist.errors import TargetNotWritableError
from ossdist.release import layout
from ossdist.seeder import Seeder, SeederStatus
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import (
    PeerKind,
    PeerStatus,
    Torrent,
    TorrentStatus,
)
from ossdist.transfer.watch import Swarm
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, TestChannel, listed, make_channel, noise, port_of, publish, relist

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys

CONTENT = noise(100_000)


async def prepared(tmp_path: Path, keys: Keys) -> TestChannel:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    await publish(channel, {"tool.bin": noise(50_000, 1)}, version="2.0")
    return channel


def client_of(channel: TestChannel) -> Client:
    return Client(channel.folder, root=channel.root, config=CONFIG)


def withdraw(channel: TestChannel, keys: Keys, version: str) -> None:
    """Signs a channel in which a version is withdrawn."""
    old = listed(channel.folder)
    entries = tuple(
        msgspec.structs.replace(entry, withdrawn="broken") if entry.version == version else entry
        for entry in old.releases
    )
    relist(channel.folder, keys, msgspec.structs.replace(old, serial=old.serial + 1, releases=entries))


@asynchronous
async def test_a_name_that_is_not_listed_is_a_problem_until_it_is(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    async with client_of(channel) as client:
        seeder = Seeder(client, channel.folder, only="other")
        await seeder.look()
        status = await seeder.status()
        assert (status.ready, status.releases) == (False, 0)
        assert list(status.problems) == ["other"]
        assert "release other does not exist in the channel (it has tool)" in status.problems["other"]
        await publish(channel, {"other.bin": CONTENT}, name="other")
        await seeder.look()
        status = await seeder.status()
        assert (status.ready, status.releases, status.problems) == (True, 1, {})


@asynchronous
async def test_what_is_not_listed_any_more_is_not_shared_any_more(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    async with client_of(channel) as client:
        seeder = Seeder(client, channel.folder)
        await seeder.look()
        assert (await seeder.status()).releases == 2
        withdraw(channel, keys, "1.0")
        await seeder.look()
        status = await seeder.status()
        assert (status.ready, status.releases) == (True, 1)
        assert [seeding.release.release.version for seeding in client.seeding] == ["2.0"]
    assert (channel.payload("tool", "1.0") / "tool.bin").read_bytes() == CONTENT


@asynchronous
async def test_what_the_client_shares_on_its_own_is_left_alone(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    async with client_of(channel) as client:
        await client.seed("tool", version="1.0", folder=channel.payload("tool", "1.0"))
        withdraw(channel, keys, "1.0")
        await Seeder(client, channel.folder).look()
        assert {seeding.release.release.version for seeding in client.seeding} == {"1.0", "2.0"}


@pytest.mark.parametrize("share", [True, False])
def test_the_same_release_is_downloaded_elsewhere_meanwhile(tmp_path: Path, keys: Keys, *, share: bool) -> None:
    @asynchronous
    async def check() -> None:
        channel = await prepared(tmp_path, keys)
        async with client_of(channel) as other, client_of(channel) as client:
            await other.seed("tool", version="2.0", folder=channel.payload("tool", "2.0"))
            seeder = Seeder(client, channel.folder)
            await seeder.look()
            await client.download("tool", to=tmp_path / "to", peers=[port_of(other)], share=share)
            assert (await seeder.status()).releases == (2 if share else 1)
            await seeder.look()
            status = await seeder.status()
            assert (status.ready, status.releases, status.problems) == (True, 2, {})

    check()


class _Counted:
    """A torrent with one peer and one web seed, until it is removed."""

    def __init__(self, of: TorrentStatus) -> None:
        self._status = of

    async def status(self) -> TorrentStatus:
        return self._status

    async def peers(self) -> tuple[PeerStatus, ...]:
        peer = PeerStatus(
            address=Address("127.0.0.1", 1),
            kind=PeerKind.PEER,
            key="1",
            client="",
            seed=False,
            choking=False,
            snubbed=False,
            payload_download=0,
            payload_upload=0,
            download_bytes_per_s=0,
            upload_bytes_per_s=0,
        )
        return peer, replace(peer, kind=PeerKind.WEB_SEED, key="2")

    async def remove(self) -> None:
        pass


@asynchronous
async def test_web_seeds_are_no_peers_and_what_was_sent_stays_counted(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    async with client_of(channel) as client:
        seeder = Seeder(client, channel.folder)
        await seeder.look()
        torrents = client.seeding[0].torrents
        real = torrents[Swarm.HYBRID]
        torrents[Swarm.HYBRID] = cast("Torrent", _Counted(replace(await real.status(), peers=2, payload_upload=7)))
        status = await seeder.status()
        assert (status.peers, status.upload_bytes) == (1, 7)
        torrents[Swarm.HYBRID] = real
        await client.stop_sharing(client.seeding[0].release)
        status = await seeder.status()
        assert (status.peers, status.upload_bytes) == (0, 7)


@asynchronous
async def test_a_torrent_that_is_left_meanwhile_does_not_end_the_status(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    async with client_of(channel) as client:
        seeder = Seeder(client, channel.folder)
        await seeder.look()
        await client.seeding[0].torrents[Swarm.V1].remove()
        assert (await seeder.status()).releases == 2


def test_a_problem_is_logged_when_it_changes(tmp_path: Path, keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    @asynchronous
    async def check() -> None:
        channel = await prepared(tmp_path, keys)
        document = channel.folder / layout.CHANNEL
        good = document.read_bytes()
        async with client_of(channel) as client:
            seeder = Seeder(client, channel.folder)
            for content, warnings in ((b"bad", 1), (b"bad", 1), (None, 2), (good, 2), (b"bad", 3)):
                document.unlink(missing_ok=True)
                if content is not None:
                    document.write_bytes(content)
                await seeder.look()
                assert len([one for one in caplog.records if one.name == "ossdist.seeder"]) == warnings

    caplog.set_level(logging.WARNING)
    check()


@asynchronous
async def test_a_store_that_cannot_be_made_is_refused_at_the_start(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys)
    told: list[SeederStatus] = []
    (tmp_path / "file").touch()
    async with client_of(channel) as client:
        seeder = Seeder(client, tmp_path / "file" / "store")
        with pytest.raises(TargetNotWritableError, match="store"):
            await seeder.run(interval_s=60, on_status=told.append)
    assert not told
