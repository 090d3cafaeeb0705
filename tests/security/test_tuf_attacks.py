"""TUF's list of attacks: each is refused, and each succeeds when the one defence against it is taken out.

So a test here fails both when the attack gets through and when it is something else that stops it. docs/security.md
has the table.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import pytest

from ossdist.catalog import Catalog
from ossdist.config import FetchConfig
from ossdist.errors import (
    ExpiredError,
    ManifestMismatchError,
    RemovedReleaseError,
    RollbackError,
    SignatureError,
    TooLargeError,
)
from ossdist.mirrors.documents import FolderDocuments
from ossdist.release import channel as channels
from ossdist.release import layout, trust, update
from ossdist.release.channel import paginate
from ossdist.release.model import Dependency, encode
from ossdist.release.trust import SignedBy
from tests.asynchronous import asynchronous
from tests.channel_documents import Documents
from tests.releases import RELEASE, entry_of
from tests.trust_worlds import NOW, World, channel_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ossdist.release.model import Root
    from ossdist.release.trust import CheckedSignature, TrustedRelease
    from ossdist.release.update import AcceptedChannel
    from tests.keys import Keys


@pytest.fixture
def world(tmp_path: Path, keys: Keys) -> World:
    made = World(Documents(tmp_path / "channel", keys), keys.root(keys.alice), tmp_path / "state.json")
    made.documents.put_channel(channel_of(entry_of(), serial=5), keys.alice)
    return made


def anybody(root: Root, role: str, *_: object, **__: object) -> SignedBy:
    """In place of counting signatures."""
    return SignedBy("channel" if role == "channel" else "release", 1, ())


def nothing(*_: object, **__: object) -> None:
    """In place of a check."""


def always(*_: object) -> bool:
    """In place of a question."""
    return True


def put_release(world: World, keys: Keys, document: bytes, *, listed: bytes | None = None, serial: int = 6) -> None:
    """A manifest at the place of ``tool 1.0``, and a channel that lists it, or another one."""
    world.documents.put(layout.release_path("tool", "1.0"), document, keys.alice)
    world.documents.put_channel(channel_of(entry_of(listed or document, serial=serial), serial=serial), keys.alice)


async def resolve(world: World, name: str = "tool", version: str | None = None) -> TrustedRelease:
    catalog = Catalog(
        world.documents.folder,
        root=encode(world.root),
        config=FetchConfig(),
        clock=world.clock,
        state_folder=world.state.parent / "catalog",
    )
    async with catalog as reader:
        return await reader.resolve(name, version)


@asynchronous
async def test_t1_arbitrary_installation(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    world.documents.put_channel(channel_of(entry_of(name="evil", serial=9), serial=9), keys.mallory)
    with pytest.raises(SignatureError):
        await world.update()
    monkeypatch.setattr(update, "count_signatures", anybody)
    assert (await world.update()).entry("evil", None)


@asynchronous
async def test_t2_endless_data(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    document, _ = paginate(channel_of(entry_of(), serial=5))
    endless = encode(document) + b" " * channels.MAX_CHANNEL_BYTES
    world.documents.put(layout.CHANNEL, endless, keys.alice)
    with pytest.raises(TooLargeError):
        await world.update()
    fetch = FolderDocuments.fetch

    async def fetch_all(documents: FolderDocuments, path: str, **_: int) -> bytes:
        return await fetch(documents, path, limit_bytes=1 << 24)

    monkeypatch.setattr(FolderDocuments, "fetch", fetch_all)
    monkeypatch.setattr(channels, "MAX_CHANNEL_BYTES", 1 << 24)  # the decoder's own bound stands behind it
    assert (await world.update()).channel.serial == 5


@asynchronous
async def test_t3_extraneous_dependencies(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    good, more = (
        msgspec.structs.replace(RELEASE, dependencies=(Dependency(purl=f"pkg:generic/{name}"),))
        for name in ("good", "evil")
    )
    put_release(world, keys, encode(good))
    (world.documents.folder / layout.release_path("tool", "1.0")).write_bytes(encode(more))
    with pytest.raises(ManifestMismatchError):
        await resolve(world)
    monkeypatch.setattr(trust, "_require", nothing)
    with pytest.raises(SignatureError):  # its own signature stands behind it
        await resolve(world)
    monkeypatch.setattr(trust, "count_signatures", anybody)
    assert (await resolve(world)).release.dependencies == more.dependencies


@asynchronous
async def test_t4_fast_forward_is_healed_by_rotation(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    world.documents.put_channel(channel_of(entry_of(), serial=1 << 50), keys.alice)
    await world.update()
    world.documents.put_root(keys.root(keys.alice, keys.bob, serial=2, channel=[keys.bob]), keys.alice)
    world.documents.put_channel(channel_of(entry_of(), serial=6), keys.bob)
    remembered = world.state.read_bytes()
    with monkeypatch.context() as without:
        without.setattr(update, "keeps_channel", always)
        with pytest.raises(RollbackError):
            await world.update()
    world.state.write_bytes(remembered)
    assert (await world.update()).channel.serial == 6


@asynchronous
async def test_t5_indefinite_freeze(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    world.documents.put_channel(channel_of(entry_of(), serial=5, expires=NOW), keys.alice)
    with pytest.raises(ExpiredError):
        await world.update()
    monkeypatch.setattr(update, "_refuse_expired", nothing)
    assert (await world.update()).channel.serial == 5


@asynchronous
async def test_t6_malicious_mirror(world: World, keys: Keys) -> None:
    stale = world.copy("stale")
    stale.put_channel(channel_of(entry_of(), serial=4), keys.alice)
    assert (await world.update(stale)).channel.serial == 4  # the defence is to ask every mirror
    assert (await world.update(stale, world.documents)).channel.serial == 5


@asynchronous
async def test_t7_mix_and_match(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    document, (listed,) = paginate(channel_of(entry_of(b"new manifest", serial=6), serial=6))
    _, (old,) = paginate(channel_of(entry_of(b"old manifest", serial=5), serial=5))
    world.documents.put(layout.CHANNEL, encode(document), keys.alice)
    old_page = paginate(channel_of(entry_of(b"old manifest", serial=5), serial=5))[1][old]
    world.documents.put(listed, old_page)  # never together in any channel
    with pytest.raises(ManifestMismatchError):
        await world.update()
    monkeypatch.setattr(update, "require_page", nothing)
    assert (await world.update()).entry("tool", None).sha256 == hashlib.sha256(b"old manifest").hexdigest()


@asynchronous
async def test_t8_rollback(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.update()
    world.documents.put_channel(channel_of(entry_of(), serial=4), keys.alice)
    with pytest.raises(RollbackError):
        await world.update()
    accept = update.accept_channel

    def accept_anything(
        root: Root, data: bytes, signatures: list[CheckedSignature], *, now: datetime, **_: object
    ) -> AcceptedChannel:
        return accept(root, data, signatures, now=now)

    monkeypatch.setattr(update, "accept_channel", accept_anything)
    monkeypatch.setattr(update, "_require_still_listed", nothing)
    assert (await world.update()).channel.serial == 4


@asynchronous
async def test_t8_removal_of_what_was_listed(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.update()
    world.documents.put_channel(channel_of(serial=6), keys.alice)
    with pytest.raises(RemovedReleaseError):
        await world.update()
    monkeypatch.setattr(update, "_require_still_listed", nothing)
    assert (await world.update()).channel.releases == ()


@asynchronous
async def test_t9_fewer_keys_than_the_threshold(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    world.root = keys.root(keys.alice, keys.bob, keys.carol, threshold=2)
    world.documents.put_channel(channel_of(entry_of(), serial=5), keys.alice)
    with pytest.raises(SignatureError) as caught:
        await world.update()
    assert (caught.value.good, caught.value.threshold) == ((keys.alice,), 2)
    monkeypatch.setattr(update, "count_signatures", anybody)
    assert (await world.update()).channel.serial == 5


@asynchronous
async def test_t10_wrong_software(world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    other = encode(msgspec.structs.replace(RELEASE, name="other"))
    put_release(world, keys, other)  # signed and listed as it is, but in the place of "tool"
    with pytest.raises(ManifestMismatchError, match="name"):
        await resolve(world)
    monkeypatch.setattr(trust, "_require", nothing)
    assert (await resolve(world)).release.name == "other"
