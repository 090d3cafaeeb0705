"""A publisher that is cancelled has published nothing, or it has published and says so; nothing between."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import DiskFullError
from ossdist.publisher import Publisher, ReleaseSpec
from ossdist.release import layout
from tests.asynchronous import DEADLINE_S, asynchronous
from tests.channels import listed, make_channel, publish
from tests.client.faults import before, full

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.keys import Keys


async def cancel(task: asyncio.Task[object]) -> None:
    """Cancels a task, and lets it do what it does about it."""
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)


def canceller() -> Callable[[], None]:
    """What cancels the calling task when another thread calls it, which waits until the task knows."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def act() -> None:
        asyncio.run_coroutine_threadsafe(cancel(task), loop).result(DEADLINE_S)

    return act


class Asking:
    """A signer that does something before it signs for the time number ``number``."""

    def __init__(self, keys: Keys, action: Callable[[], None], number: int = 1) -> None:
        self._signer = keys.signer
        self._action = action
        self._number = number
        self.asked = 0

    def sign(self, document: bytes, fingerprint: str) -> bytes:
        self.asked += 1
        if self.asked == self._number:
            self._action()
        return self._signer.sign(document, fingerprint)

    def export_public_key(self, fingerprint: str) -> str:
        return self._signer.export_public_key(fingerprint)


def hidden(folder: Path) -> set[str]:
    """What publishers keep to themselves."""
    return {path.name for path in folder.rglob(".*")}


def spec_of(tmp_path: Path, length: int) -> ReleaseSpec:
    source = tmp_path / "source"
    source.write_bytes(b"x" * length)
    return ReleaseSpec(name="tool", version="1", files={"tool.bin": source})


@asynchronous
async def test_cancelled_at_any_rename_of_publishing(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    stopped = finished = 0

    async def attempt(version: str) -> bool:
        act = canceller()
        with before("os.rename", str(channel.folder), act, after=stopped + finished) as seen:
            try:
                published = await publish(channel, {"tool.bin": b"content"}, version=version)
            except asyncio.CancelledError:
                assert len(seen) == stopped + finished + 1  # and no other
                return True
        assert str(channel.folder / ".publishing") in seen[: stopped + finished + 1]
        assert published.release.version == version
        assert published.channel_serial == listed(channel.folder).serial
        return len(seen) > stopped + finished

    while True:
        before_it = listed(channel.folder)
        version = f"{stopped + finished}"
        task = asyncio.ensure_future(attempt(version))
        if not await task:
            break
        assert task.cancelling() == 1
        assert hidden(channel.folder) == {".publish.lock"}
        if listed(channel.folder).find("tool", version) is None:
            assert listed(channel.folder) == before_it
            stopped += 1
            await publish(channel, {"tool.bin": b"content"}, version=version)
        else:
            finished += 1
    assert stopped >= 6
    assert finished >= 3


@pytest.mark.parametrize("what", ["create", "refresh"])
@asynchronous
async def test_cancelled_at_any_rename_of_creating_and_refreshing(tmp_path: Path, keys: Keys, what: str) -> None:
    outcomes: list[bool] = []
    while True:
        folder = tmp_path / str(len(outcomes))
        folder.mkdir()
        publisher = Publisher(folder, signer=keys.signer, keys=[keys.alice])
        if what == "refresh":
            await publisher.create()

        async def attempt(publisher: Publisher, folder: Path) -> bool:
            with before("os.rename", str(folder), canceller(), after=len(outcomes)) as seen:
                await (publisher.create() if what == "create" else publisher.refresh())
            return len(seen) > len(outcomes)

        try:
            if not await asyncio.ensure_future(attempt(publisher, folder)):
                break
            outcomes.append(True)
        except asyncio.CancelledError:
            outcomes.append(False)
        if what == "create":
            assert (folder / layout.ROOT).exists() is outcomes[-1]
            if not outcomes[-1]:
                await publisher.create()
        else:
            assert listed(folder).serial == 1 + outcomes[-1]
        assert hidden(folder) == {".publish.lock"}
        await publisher.refresh()
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


@asynchronous
async def test_cancelled_while_copying(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    source = spec_of(tmp_path, 1000).files["tool.bin"]
    spec = ReleaseSpec(name="tool", version="1", files={"a": source, "b": source})
    opened: list[str] = []

    async def attempt() -> None:
        with before("open", ".staging-", canceller()) as seen:
            try:
                await channel.publisher.publish(spec)
            finally:
                opened.extend(seen)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(attempt())
    assert len(opened) == 1
    assert list((channel.folder / "files").iterdir()) == []
    await channel.publisher.publish(spec)


@pytest.mark.parametrize("moment", ["at the beginning", "at the end"])
@asynchronous
async def test_cancelled_while_hashing(tmp_path: Path, keys: Keys, moment: str) -> None:
    channel = await make_channel(tmp_path, keys)
    spec = spec_of(tmp_path, 1_000_000)
    progress: list[float] = []
    signer = Asking(keys, lambda: None)

    async def attempt() -> None:
        act = canceller()

        def on_progress(done: float) -> None:
            progress.append(done)
            if done == 1.0 or moment == "at the beginning":
                act()

        await Publisher(channel.folder, signer=signer, keys=[keys.alice]).publish(spec, on_progress=on_progress)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(attempt())
    assert progress[-1] == 1.0 or len(progress) == 1
    assert signer.asked == 0
    assert list((channel.folder / "files").iterdir()) == []
    await channel.publisher.publish(spec)


@pytest.mark.parametrize("number", [1, 2])
@asynchronous
async def test_cancelled_while_signing(tmp_path: Path, keys: Keys, number: int) -> None:
    channel = await make_channel(tmp_path, keys)
    spec = spec_of(tmp_path, 1000)
    asked: list[int] = []

    async def attempt() -> None:
        signer = Asking(keys, canceller(), number)
        try:
            await Publisher(channel.folder, signer=signer, keys=[keys.alice]).publish(spec)
        finally:
            asked.append(signer.asked)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(attempt())
    assert asked == [number]
    assert list((channel.folder / "files").iterdir()) == []
    await channel.publisher.publish(spec)


@asynchronous
async def test_cancelled_twice_it_still_waits_for_its_thread(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    signing, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        signing.set()
        assert go_on.wait(DEADLINE_S)

    publisher = Publisher(channel.folder, signer=Asking(keys, wait), keys=[keys.alice])
    task = asyncio.ensure_future(publisher.publish(spec_of(tmp_path, 1000)))
    assert await asyncio.to_thread(signing.wait, DEADLINE_S)
    await cancel(task)
    await cancel(task)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((channel.folder / "files").iterdir()) == []


@asynchronous
async def test_cancelled_before_a_failure_in_the_last_step(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)

    async def attempt() -> None:
        act = canceller()

        def fail() -> OSError:
            act()
            return full()

        with before("os.rename", f"{channel.folder}/{layout.CHANNEL}", fail):
            await publish(channel, {"tool.bin": b"content"})

    with pytest.raises(DiskFullError):  # and not a cancellation: the next publisher finishes it
        await asyncio.ensure_future(attempt())
    assert await channel.publisher.refresh() == 3
    assert listed(channel.folder).find("tool", "1.0") is not None
