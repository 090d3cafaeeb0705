"""A publisher that waits while another one is at work: it can be cancelled, and it goes on when the other has ended."""

from __future__ import annotations

import asyncio
import fcntl
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import pytest

from ossdist.publisher import Publisher, ReleaseSpec
from ossdist.release.model import Role, Roles
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, listed, make_channel, publish
from tests.client.faults import before

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from pathlib import Path

    from tests.keys import Keys

_LOCK = ".publish.lock"

_DEADLINE_S = 20.0
"""For the end of what was cancelled. It takes none of it unless the machine is busy."""


@contextmanager
def another_at_work(folder: Path) -> Generator[None]:
    """Holds the lock as another process would: a lock belongs to the file that was opened, not to the process."""
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def waiting(folder: Path, work: Coroutine[None, None, object]) -> AsyncGenerator[asyncio.Task[object]]:
    """A publisher that has come as far as the lock, which somebody holds."""
    loop, reached = asyncio.get_running_loop(), asyncio.Event()

    def say() -> None:
        loop.call_soon_threadsafe(reached.set)

    with another_at_work(folder):
        with before("open", str(folder / _LOCK), say):
            task: asyncio.Task[object] = asyncio.create_task(work)
            await reached.wait()
        yield task


def spec_of(tmp_path: Path) -> ReleaseSpec:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    return ReleaseSpec(name="tool", version="2.0", files={"tool.bin": source})


def roles_of(key: str) -> Roles:
    role = Role(keys=(key,), threshold=1)
    return Roles(root=role, channel=role, release=role)


WORK: dict[str, Callable[[TestChannel, Keys], Coroutine[None, None, object]]] = {
    "create": lambda channel, _: channel.publisher.create(),
    "publish": lambda channel, _: channel.publisher.publish(spec_of(channel.folder.parent)),
    "refresh": lambda channel, _: channel.publisher.refresh(),
    "withdraw": lambda channel, _: channel.publisher.withdraw("tool", "1.0", reason="broken"),
    "rotate": lambda channel, keys: channel.publisher.rotate(roles_of(keys.alice)),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def prepared(tmp_path: Path, keys: Keys, what: str) -> TestChannel:
    """What that work starts from."""
    if what != "create":
        channel = await make_channel(tmp_path, keys)
        await publish(channel, {"tool.bin": b"content"})
        return channel
    folder = tmp_path / "channel"
    folder.mkdir()
    return TestChannel(folder, Publisher(folder, signer=keys.signer, keys=[keys.alice]))


@pytest.mark.parametrize("what", WORK)
@asynchronous
async def test_whoever_waits_can_be_cancelled_and_has_done_nothing(tmp_path: Path, keys: Keys, what: str) -> None:
    channel = await prepared(tmp_path, keys, what)
    there = contents(channel.folder)
    async with waiting(channel.folder, WORK[what](channel, keys)) as task:
        task.cancel()
        await asyncio.wait([task], timeout=_DEADLINE_S)
        assert task.cancelled()
        assert contents(channel.folder) == {_LOCK: b""} | there
    await asyncio.wait_for(WORK[what](channel, keys), _DEADLINE_S)  # it has not kept the lock


@asynchronous
async def test_whoever_waits_goes_on_when_the_other_has_ended(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys, "refresh")
    serial = listed(channel.folder).serial
    async with waiting(channel.folder, channel.publisher.refresh()) as task:
        assert not task.done()
    assert await asyncio.wait_for(task, _DEADLINE_S) == serial + 1
    assert listed(channel.folder).serial == serial + 1


@asynchronous
async def test_of_two_that_wait_one_is_cancelled_and_the_other_goes_on(tmp_path: Path, keys: Keys) -> None:
    channel = await prepared(tmp_path, keys, "refresh")
    serial = listed(channel.folder).serial
    async with waiting(channel.folder, channel.publisher.refresh()) as first:
        second = asyncio.create_task(channel.publisher.refresh())
        first.cancel()
        await asyncio.wait([first], timeout=_DEADLINE_S)
        assert first.cancelled()
        assert not second.done()
    assert await asyncio.wait_for(second, _DEADLINE_S) == serial + 1
