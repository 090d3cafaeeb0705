"""A question to a torrent that is cancelled ends as cancelled, or with its answer, at whatever moment that is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ossdist.swarm import LibtorrentSession
from ossdist.swarm.alerts import ResumeDataReady, TorrentRemoved
from ossdist.transfer.session import AddTorrent
from tests.asynchronous import asynchronous
from tests.swarm.worlds import DEADLINE_S, LOOPBACK, contract, until_checked
from tests.torrents import single

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.swarm.alerts import Answer
    from ossdist.swarm.torrent import LibtorrentTorrent
    from tests.swarm.worlds import World

_MOMENTS = 150


@contract
async def test_a_cancelled_question_ends_as_cancelled_or_with_its_answer(world: World) -> None:
    payload, session = single(world.new_folder()), await world.session()
    torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    await until_checked(torrent)
    for turns in range(_MOMENTS):
        asking = asyncio.create_task(torrent.resume_data())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)
        assert isinstance(outcome, bytes | asyncio.CancelledError), turns
    assert await torrent.resume_data()


async def answered_before_it_was_put(torrent: LibtorrentTorrent, question: str, answer: Answer) -> asyncio.Task[object]:
    """A question whose answer is here while the thread that puts it has not reported back."""
    asking: asyncio.Task[object] = asyncio.create_task(getattr(torrent, question)())
    await asyncio.sleep(0)  # it starts its thread, of which the loop hears at its next turn at the earliest
    torrent.feed(answer)
    assert not asking.done()
    return asking


@pytest.mark.parametrize(
    ("question", "answer"), [("resume_data", ResumeDataReady(b"state")), ("remove", TorrentRemoved())]
)
@asynchronous
async def test_an_answer_that_is_faster_than_the_thread_does_not_swallow_the_cancellation(
    tmp_path: Path, question: str, answer: Answer
) -> None:
    payload = single(tmp_path / "seed")
    async with await LibtorrentSession.open(LOOPBACK) as session:
        torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        asking = await answered_before_it_was_put(torrent, question, answer)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


@asynchronous
async def test_whoever_shares_a_question_has_the_answer_though_the_first_is_cancelled(tmp_path: Path) -> None:
    payload = single(tmp_path / "seed")
    async with await LibtorrentSession.open(LOOPBACK) as session:
        torrent = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
        first = asyncio.create_task(torrent.resume_data())
        second = asyncio.create_task(torrent.resume_data())
        await asyncio.sleep(0)
        torrent.feed(ResumeDataReady(b"state"))
        first.cancel()
        async with asyncio.timeout(DEADLINE_S):
            assert await second == b"state"
        with pytest.raises(asyncio.CancelledError):
            await first
