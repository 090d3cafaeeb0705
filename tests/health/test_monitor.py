"""What a transfer tells of its swarm, over a network in memory."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from ossdist import events
from ossdist.errors import SourcesExhaustedError
from ossdist.transfer.watch import Swarm
from tests.transfer_lab import DEAD, RATE, in_lab

if TYPE_CHECKING:
    from ossdist.transfer.run import Transfer
    from tests.transfer_lab import Lab


async def run_for(lab: Lab, transfer: Transfer, seconds: float) -> list[events.SwarmAssessed]:
    """Lets a transfer run for a while, or to its end."""
    with contextlib.suppress(TimeoutError, SourcesExhaustedError):
        async with asyncio.timeout(seconds):
            await transfer.run()
    await transfer.leave()
    return lab.seen(events.SwarmAssessed)


@in_lab
async def test_a_good_swarm(lab: Lab) -> None:
    seed, _ = await lab.seed(lab.payload.hybrid, up=100_000)
    (told,) = await run_for(lab, await lab.transfer(peers=(seed,)), 30)
    assert told == events.SwarmAssessed("good", (), "")


@in_lab
async def test_peers_who_cannot_be_reached(lab: Lab) -> None:
    (told, *_) = await run_for(lab, await lab.transfer(peers=(DEAD,)), 8)
    assert (told.condition, told.troubles) == ("blocked", ("rejected",))
    assert "connections to peers were refused" in told.evidence


@in_lab
async def test_a_tracker_that_does_not_answer_beside(lab: Lab) -> None:
    transfer = await lab.transfer(peers=(DEAD,), trackers=("http://nowhere.example/announce",))
    (told, *_) = await run_for(lab, transfer, 8)
    assert set(told.troubles) == {"rejected", "trackers"}


@in_lab
async def test_peers_who_trickle(lab: Lab) -> None:
    seed, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    (told, *_) = await run_for(lab, await lab.transfer(peers=(seed,)), 8)
    assert (told.condition, told.troubles) == ("degraded", ("trickle",))


@in_lab
async def test_a_swarm_that_breaks_down_and_comes_back(lab: Lab) -> None:
    seed, torrent = await lab.seed(lab.payload.hybrid, up=100_000)
    transfer = await lab.transfer(peers=(seed,), swarms=(Swarm.HYBRID,))

    async def pause() -> None:
        await asyncio.sleep(1.6)
        await torrent.pause()
        await asyncio.sleep(9)
        await torrent.resume()

    pausing = asyncio.create_task(pause())
    told = await run_for(lab, transfer, 60)
    await pausing
    first, bad, *_ = told
    assert (first.condition, bad.condition) == ("good", "unknown")  # the seed has hung up, which says nothing
    assert transfer.status is not None
    assert transfer.status.bytes_done == lab.payload.hybrid.total


@in_lab
async def test_a_swarm_that_is_poisoned(lab: Lab) -> None:
    seed, _ = await lab.seed(lab.payload.hybrid, up=100_000)
    session = lab.network.session_at(seed)
    assert session is not None
    session.host.poisons = True
    (told, *_) = await run_for(lab, await lab.transfer(peers=(seed,)), 8)
    assert (told.condition, told.troubles[0]) == ("degraded", "poisoned")
    assert "1 peer(s) banned" in told.evidence


@in_lab
async def test_a_transfer_without_peers_says_nothing_of_a_swarm(lab: Lab) -> None:
    transfer = await lab.transfer(find_peers=False, listens=False)
    assert await run_for(lab, transfer, 30) == []
