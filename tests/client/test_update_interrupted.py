"""Updates that break off, or of which a part cannot be had: what was followed until then is not forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist.config import FetchConfig
from ossdist.errors import ExpiredError, MirrorError, NotFoundError, SignatureError, StorageError
from ossdist.mirrors.documents import FolderDocuments, HttpDocuments
from ossdist.release import layout
from ossdist.release.model import encode
from ossdist.store.trust_file import TrustFile
from ossdist.updater import Updater
from tests.asynchronous import asynchronous
from tests.channel_documents import Documents
from tests.releases import DAY, entry_of
from tests.scripted_server import ScriptedServer, serving
from tests.trust_worlds import NOW, World, channel_of

if TYPE_CHECKING:
    from ossdist.release.memory import TrustMemory
    from ossdist.release.source import DocumentSource
    from ossdist.release.update import TrustedChannel
    from tests.keys import Keys


@pytest.fixture
def world(tmp_path: Path, keys: Keys) -> World:
    made = World(Documents(tmp_path / "channel", keys), keys.root(keys.alice), tmp_path / "state.json")
    made.documents.put_channel(channel_of(entry_of(), serial=5), keys.alice)
    return made


@dataclass
class Holding:
    """A copy of the channel that never answers for one document."""

    documents: FolderDocuments
    held: str
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        return self.documents.address

    async def fetch(self, path: str, *, limit_bytes: int) -> bytes:
        if path == self.held:
            self.reached.set()
            await asyncio.Event().wait()
        return await self.documents.fetch(path, limit_bytes=limit_bytes)

    async def close(self) -> None:
        pass


async def update_from(world: World, source: DocumentSource) -> TrustedChannel:
    """One run of a client that has this copy of the channel alone."""
    updater = Updater([source], root=encode(world.root), clock=world.clock, store=TrustFile(world.state))
    async with updater as running:
        return await running.update()


# --- a rotation that was followed ------------------------------------------------------------------------


def rotate(world: World, keys: Keys) -> None:
    """Takes the channel from alice's key, which was stolen, and gives it to bob's."""
    world.documents.put_root(keys.root(keys.bob, serial=2), keys.alice, keys.bob)
    world.documents.put_channel(channel_of(entry_of(), serial=6), keys.bob)


def thief(world: World, keys: Keys) -> Documents:
    """A copy of the channel as it was before the rotation, with a newer release by the stolen key."""
    stolen = world.copy("thief")
    stolen.put_channel(channel_of(entry_of(), entry_of(version="2-evil", serial=7), serial=7), keys.alice)
    return stolen


async def require_remembered(world: World, keys: Keys) -> None:
    """The next run, at a copy without the rotation, still knows of it."""
    async with world.updater(thief(world, keys)) as updater:
        assert updater.root.serial == 2
        with pytest.raises(SignatureError):
            await updater.update()


@asynchronous
async def test_the_stolen_key_is_good_where_nobody_has_seen_the_rotation(world: World, keys: Keys) -> None:
    assert (await world.update(thief(world, keys))).entry("tool", None).version == "2-evil"


@pytest.mark.parametrize("had_before", [True, False])
def test_a_rotation_is_remembered_though_the_channel_is_missing(world: World, keys: Keys, *, had_before: bool) -> None:
    @asynchronous
    async def check() -> None:
        if had_before:
            await world.update()
        rotate(world, keys)
        world.documents.remove([layout.CHANNEL])
        with pytest.raises(NotFoundError):
            await world.update()
        await require_remembered(world, keys)

    check()


@asynchronous
async def test_a_rotation_is_remembered_though_the_channel_is_not_signed(world: World, keys: Keys) -> None:
    rotate(world, keys)
    world.documents.put_channel(channel_of(entry_of(), serial=8), keys.mallory)
    with pytest.raises(SignatureError):
        await world.update()
    await require_remembered(world, keys)


@asynchronous
async def test_a_rotation_is_remembered_though_the_update_ends_while_it_waits_for_the_channel(
    world: World, keys: Keys
) -> None:
    rotate(world, keys)
    source = Holding(FolderDocuments(world.documents.folder), layout.CHANNEL)
    updating = asyncio.create_task(update_from(world, source))
    await source.reached.wait()
    updating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await updating
    await require_remembered(world, keys)


@asynchronous
async def test_a_rotation_is_remembered_though_the_new_root_has_expired(world: World, keys: Keys) -> None:
    world.documents.put_root(keys.root(keys.bob, serial=2, expires=NOW - DAY), keys.alice, keys.bob)
    with pytest.raises(ExpiredError):
        await world.update()
    async with world.updater(thief(world, keys)) as updater:
        assert updater.root.serial == 2
        with pytest.raises(ExpiredError):
            await updater.update()


@asynchronous
async def test_a_rotation_is_remembered_though_the_root_after_it_is_not_signed(world: World, keys: Keys) -> None:
    rotate(world, keys)
    world.documents.put_root(keys.root(keys.mallory, serial=3), keys.mallory)
    with pytest.raises(SignatureError, match=layout.numbered_root(3)):
        await world.update()
    await require_remembered(world, keys)


@asynchronous
async def test_a_rotation_is_remembered_though_the_update_ends_while_it_waits_for_the_root_after_it(
    world: World, keys: Keys
) -> None:
    rotate(world, keys)
    source = Holding(FolderDocuments(world.documents.folder), layout.numbered_root(3))
    updating = asyncio.create_task(update_from(world, source))
    await source.reached.wait()
    updating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await updating
    await require_remembered(world, keys)


@asynchronous
async def test_a_rotation_that_could_not_be_remembered_at_once_is_remembered_by_the_next_update(
    world: World, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(world, keys)
    world.documents.remove([layout.CHANNEL])

    def full(self: TrustFile, memory: TrustMemory) -> None:
        raise StorageError(f"no room for root {memory.history[-1].serial}", path=Path(self.place))

    async with world.updater() as updater:
        with monkeypatch.context() as patch:
            patch.setattr(TrustFile, "save", full)
            with pytest.raises(StorageError):
                await updater.update()
        with pytest.raises(NotFoundError):
            await updater.update()
    await require_remembered(world, keys)


@asynchronous
async def test_a_wrong_root_is_not_remembered(world: World, keys: Keys) -> None:
    wrong = replace(world, root=keys.root(keys.mallory))
    with pytest.raises(SignatureError):
        await wrong.update()
    assert (await world.update()).channel.serial == 5


# --- servers that do not say 404 for what does not exist -------------------------------------------------


def answer(status: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def server_of(folder: Path, *, missing: str, paths: tuple[str, ...]) -> ScriptedServer:
    """Serves a channel's folder, and says ``missing`` for those paths that are not there."""
    found = {f"/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    answers = {f"/{path}": answer(missing) for path in paths}
    return ScriptedServer(answers | {path: answer("200 OK", body) for path, body in found.items()})


async def update_over_http(world: World, server: ScriptedServer) -> TrustedChannel:
    source = HttpDocuments(server.url, FetchConfig())
    try:
        return await update_from(world, source)
    finally:
        await source.close()


NEXT_ROOTS = (layout.numbered_root(2), layout.numbered_root(3))


@pytest.mark.parametrize("status", ["403 Forbidden", "401 Unauthorized", "400 Bad Request", "500 Oops"])
@asynchronous
async def test_whatever_a_server_says_for_a_root_that_does_not_exist(world: World, keys: Keys, status: str) -> None:
    async with serving(server_of(world.documents.folder, missing=status, paths=NEXT_ROOTS)) as server:
        assert (await update_over_http(world, server)).channel.serial == 5
        assert any(head.startswith("GET /2.root.json ") for head in server.asked)
    rotate(world, keys)
    async with serving(server_of(world.documents.folder, missing=status, paths=NEXT_ROOTS)) as server:
        assert (await update_over_http(world, server)).signed_by.keys == (keys.bob,)
        assert any(head.startswith("GET /3.root.json ") for head in server.asked)
    await require_remembered(world, keys)


@asynchronous
async def test_what_must_be_there_is_still_an_error(world: World) -> None:
    world.documents.remove([layout.CHANNEL])
    async with serving(
        server_of(world.documents.folder, missing="403 Forbidden", paths=(*NEXT_ROOTS, layout.CHANNEL))
    ) as server:
        with pytest.raises(MirrorError, match="status 403"):
            await update_over_http(world, server)
