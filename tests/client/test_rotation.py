"""Rotating a channel's root and withdrawing its releases, by a real publisher, seen by real clients."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.catalog import Catalog
from ossdist.client import Client
from ossdist.clock import SystemClock
from ossdist.config import FetchConfig
from ossdist.errors import (
    ExpiredError,
    ManifestMismatchError,
    NotFoundError,
    OssdistError,
    SignatureError,
    SigningError,
    WithdrawnError,
)
from ossdist.publisher import Publisher
from ossdist.release import layout, model
from ossdist.release.model import Role, Roles
from ossdist.swarm import load_metainfo
from tests.asynchronous import asynchronous
from tests.channels import CHANNEL, WITH_MIRRORS, TestChannel, listed, make_channel, publish
from tests.client.faults import fault
from tests.keys import FixedClock, Keys

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.release.trust import TrustedRelease


class Killed(BaseException):
    """Ends a publisher where a kill would."""


def by(*keys: str, threshold: int = 1) -> Role:
    return Role(keys=keys, threshold=threshold)


def all_by(*keys: str, threshold: int = 1) -> Roles:
    role = by(*keys, threshold=threshold)
    return Roles(root=role, channel=role, release=role)


def publisher_of(channel: TestChannel, keys: Keys, *signers: str) -> Publisher:
    """The same folder with other keys at hand."""
    return Publisher(channel.folder, signer=keys.signer, keys=signers)


async def resolve(channel: TestChannel, root: bytes, state: Path, version: str | None = None) -> TrustedRelease:
    """A run of a client."""
    catalog = Catalog(channel.folder, root=root, config=FetchConfig(), clock=SystemClock(), state_folder=state)
    async with catalog as reader:
        release = await reader.resolve("tool", version)
        await reader.torrents(release)
        return release


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    async def made() -> TestChannel:
        found = await make_channel(tmp_path, keys)
        await publish(found, {"tool.bin": b"one" * 1000})
        return found

    return asyncio.run(made())


# --- rotation --------------------------------------------------------------------------------------------


@asynchronous
async def test_clients_follow_a_change_of_all_keys(channel: TestChannel, keys: Keys, tmp_path: Path) -> None:
    first = channel.root.read_bytes()
    assert (await resolve(channel, first, tmp_path / "old")).signed_by.keys == (keys.alice,)
    root = await publisher_of(channel, keys, keys.alice, keys.bob).rotate(all_by(keys.bob))
    assert (root.serial, root.channel) == (2, CHANNEL)
    for given, state in ((first, "old"), (first, "fresh"), (channel.root.read_bytes(), "new")):
        assert (await resolve(channel, given, tmp_path / state)).signed_by.keys == (keys.bob,)
    changed = replace(channel, publisher=publisher_of(channel, keys, keys.bob))
    await publish(changed, {"tool.bin": b"two" * 1000}, version="2.0")
    assert (await resolve(channel, first, tmp_path / "old")).release.version == "2.0"


@asynchronous
async def test_what_was_published_before_is_signed_by_the_new_keys(channel: TestChannel, keys: Keys) -> None:
    manifest = channel.folder / layout.release_path("tool", "1.0")
    before = manifest.read_bytes()
    await publisher_of(channel, keys, keys.alice, keys.bob, keys.carol).rotate(
        all_by(keys.bob, keys.carol, threshold=2)
    )
    assert manifest.read_bytes() == before
    for v1 in (False, True):
        torrent = load_metainfo((channel.folder / layout.torrent_path("tool", "1.0", v1=v1)).read_bytes())
        assert torrent.release == before
        assert {key for key, _ in torrent.signatures} >= {keys.bob, keys.carol}
    for key in (keys.bob, keys.carol):
        keys.gpg("--verify", str(manifest.with_name(layout.signature_path("release.json", key))), str(manifest))
    assert list(channel.folder.glob(f"channel.json.{keys.alice}.asc")) == []


@asynchronous
async def test_the_same_keys_may_go_on_for_longer(channel: TestChannel, keys: Keys, tmp_path: Path) -> None:
    first = channel.root.read_bytes()
    root = await channel.publisher.rotate(all_by(keys.alice), validity=timedelta(days=900))
    assert root.expires > datetime.now(UTC) + timedelta(days=899)
    for serial in (3, 4):
        assert (await channel.publisher.rotate(all_by(keys.alice))).serial == serial
    await resolve(channel, first, tmp_path / "state")


@asynchronous
async def test_an_expired_root_can_be_rotated_and_nothing_else(
    channel: TestChannel, keys: Keys, tmp_path: Path
) -> None:
    first = channel.root.read_bytes()

    class Late(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(days=400)

    late = Publisher(channel.folder, signer=keys.signer, keys=[keys.alice], clock=Late())
    for act in (late.refresh(), late.withdraw("tool", "1.0", reason="old")):
        with pytest.raises(ExpiredError):
            await act
    assert (await late.rotate(all_by(keys.alice))).serial == 2
    await late.refresh()
    catalog = Catalog(channel.folder, root=first, config=FetchConfig(), clock=Late(), state_folder=tmp_path / "state")
    async with catalog as reader:
        assert (await reader.channel()).channel.serial == 4


@asynchronous
async def test_both_thresholds_must_be_at_hand(channel: TestChannel, keys: Keys) -> None:
    before = {path: path.read_bytes() for path in channel.folder.rglob("*") if path.is_file()}
    strange = publisher_of(channel, keys, keys.bob)
    with pytest.raises(SigningError, match="root 1 asks for 1 of"):
        await strange.rotate(all_by(keys.bob))
    with pytest.raises(SigningError, match="root 2 asks for 2 of"):
        await channel.publisher.rotate(all_by(keys.alice, keys.bob, threshold=2))
    roles = Roles(root=by(keys.alice), channel=by(keys.alice), release=by(keys.bob))
    with pytest.raises(SigningError, match="the new root asks for 1 of"):
        await channel.publisher.rotate(roles)
    with pytest.raises(OssdistError):
        await channel.publisher.rotate(all_by("F" * 40))
    assert {path: path.read_bytes() for path in channel.folder.rglob("*") if path.is_file()} == before


@asynchronous
async def test_killed_at_any_step_of_a_rotation(tmp_path: Path, keys: Keys) -> None:
    killed = 0
    while True:
        folder = tmp_path / str(killed)
        folder.mkdir()
        channel = await make_channel(folder, keys)
        await publish(channel, {"tool.bin": b"content"})
        first = channel.root.read_bytes()
        both = publisher_of(channel, keys, keys.alice, keys.bob)
        with fault("os.rename", str(channel.folder), Killed(), after=killed):
            try:
                await both.rotate(all_by(keys.bob))
            except Killed:
                pass
            else:
                break
        await resolve_when_finished(channel, first, folder / "state", both, keys)
        killed += 1
    assert killed >= 6


async def resolve_when_finished(
    channel: TestChannel, first: bytes, state: Path, publisher: Publisher, keys: Keys
) -> None:
    """The next call of a publisher, with the keys that it needs, leaves a channel that old clients can read."""
    with suppress(SigningError):
        await publisher.refresh()
    with suppress(OssdistError):
        await publisher.rotate(all_by(keys.bob))
    assert (await resolve(channel, first, state)).signed_by.keys == (keys.bob,)


@asynchronous
async def test_a_channel_can_begin_with_several_keys(tmp_path: Path, keys: Keys) -> None:
    folder = tmp_path / "channel"
    publisher = Publisher(folder, signer=keys.signer, keys=[keys.alice, keys.bob])
    roles = Roles(root=by(keys.alice, keys.bob, threshold=2), channel=by(keys.alice), release=by(keys.bob))
    root = await publisher.create("main", roles=roles)
    assert root.roles == roles
    made = TestChannel(folder, publisher)
    await publish(made, {"tool.bin": b"content"})
    names = {path.name for path in folder.rglob("*.asc")}
    assert f"channel.json.{keys.alice}.asc" in names
    assert f"channel.json.{keys.bob}.asc" not in names
    assert f"release.json.{keys.alice}.asc" not in names
    assert (await resolve(made, (folder / layout.ROOT).read_bytes(), tmp_path / "state")).signed_by.keys == (keys.bob,)
    with pytest.raises(SigningError, match="the new root asks for 2 of"):
        await Publisher(tmp_path / "other", signer=keys.signer, keys=[keys.alice]).create(roles=roles)


def test_a_channel_without_a_name_gets_one_of_its_own(tmp_path: Path, keys: Keys) -> None:
    names: set[str] = set()
    for folder in ("a b", "a b/nested", "..x", "ü"):
        publisher = Publisher(tmp_path / folder, signer=keys.signer, keys=[keys.alice])
        root = asyncio.run(publisher.create())
        assert model.decode_root(model.encode(root)) == root
        names.add(root.channel)
    assert len(names) == 4


# --- withdrawing -----------------------------------------------------------------------------------------


@asynchronous
async def test_a_withdrawn_release_is_not_resolved(channel: TestChannel, tmp_path: Path) -> None:
    root = channel.root.read_bytes()
    await publish(channel, {"tool.bin": b"two" * 1000}, version="2.0")
    assert (await resolve(channel, root, tmp_path / "state")).release.version == "2.0"
    serial = await channel.publisher.withdraw("tool", "2.0", reason="it loses data")
    assert listed(channel.folder).serial == serial == 4
    assert (await resolve(channel, root, tmp_path / "state")).release.version == "1.0"
    with pytest.raises(WithdrawnError, match="it loses data"):
        await resolve(channel, root, tmp_path / "state", "2.0")
    await channel.publisher.withdraw("tool", "2.0", reason="it loses data since 2.0")  # reworded
    with pytest.raises(OssdistError, match="published"):
        await publish(channel, {"tool.bin": b"again"}, version="2.0")


@asynchronous
async def test_only_a_listed_release_can_be_withdrawn(channel: TestChannel, keys: Keys) -> None:
    with pytest.raises(NotFoundError, match=r"tool 3\.0"):
        await channel.publisher.withdraw("tool", "3.0", reason="x")
    for reason in ("", "x" * 1001):
        with pytest.raises(OssdistError):
            await channel.publisher.withdraw("tool", "1.0", reason=reason)
    with pytest.raises(SigningError):
        await publisher_of(channel, keys, keys.bob).withdraw("tool", "1.0", reason="x")
    assert listed(channel.folder).releases[0].withdrawn is None


@asynchronous
async def test_pages_that_nobody_needs_any_more_go(channel: TestChannel) -> None:
    for version in ("2", "3", "4"):
        await publish(channel, {"tool.bin": version.encode()}, version=version)
    # The page of now, and the one of before for readers who are in the middle.
    assert len(list((channel.folder / "index").iterdir())) == 2


@asynchronous
async def test_a_stranger_cannot_rotate_for_clients(channel: TestChannel, keys: Keys, tmp_path: Path) -> None:
    first = channel.root.read_bytes()
    document = model.encode(keys.root(keys.mallory, serial=2))
    for path, data in {
        layout.numbered_root(2): document,
        layout.signature_path(layout.numbered_root(2), keys.mallory): keys.signer.sign(document, keys.mallory),
    }.items():
        (channel.folder / path).write_bytes(data)
    with pytest.raises(SignatureError, match=r"2\.root\.json"):
        await resolve(channel, first, tmp_path / "state")


# --- a folder that others can write to -------------------------------------------------------------------


@asynchronous
async def test_a_rotation_signs_no_manifest_that_the_channel_does_not_list(channel: TestChannel, keys: Keys) -> None:
    place = channel.folder / layout.release_path("tool", "1.0")
    place.write_bytes(place.read_bytes().replace(b"tool.bin", b"evil.bin"))
    with pytest.raises(ManifestMismatchError):
        await publisher_of(channel, keys, keys.alice, keys.bob).rotate(all_by(keys.bob))
    assert not (channel.folder / layout.signature_path(str(place.relative_to(channel.folder)), keys.bob)).exists()


@asynchronous
async def test_a_rotation_counts_good_signatures_alone(channel: TestChannel, keys: Keys, tmp_path: Path) -> None:
    path = layout.release_path("tool", "1.0")
    forged = channel.folder / layout.signature_path(path, keys.bob)
    forged.write_bytes(keys.signer.sign(b"something else", keys.bob))
    await publisher_of(channel, keys, keys.alice, keys.bob).rotate(all_by(keys.bob))
    assert (await resolve(channel, channel.root.read_bytes(), tmp_path / "fresh")).signed_by.keys == (keys.bob,)


@asynchronous
async def test_who_publishes_under_an_expired_root_is_told_to_rotate(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    late = FixedClock(datetime.now(UTC) + timedelta(days=400))
    publisher = Publisher(channel.folder, signer=keys.signer, keys=[keys.alice], clock=late)
    with pytest.raises(ExpiredError, match="rotation"):
        await publisher.refresh()


@asynchronous
async def test_who_gets_an_older_release_is_told_what_was_withdrawn(
    channel: TestChannel, keys: Keys, tmp_path: Path
) -> None:
    await publish(channel, {"tool.bin": b"two" * 1000}, version="2.0")
    await channel.publisher.withdraw("tool", "2.0", reason="it loses data")
    told = list[events.TransferEvent]()
    async with Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as client:
        await client.download("tool", to=tmp_path / "to", on_event=told.append)
    assert told[0] == events.Resolved("tool", "1.0", 3000, (("2.0", "it loses data"),))
