"""Peers fail in the middle of a transfer: mirrors give within four seconds, and everything comes once.

Production's transfer, engine and balance over a network in memory; the seconds are virtual, so they are exact.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossdist.config import MirrorConfig
from ossdist.sim import run_virtual
from tests.mirrors.feed_world import Mirror, World, begin, server_of
from tests.programs.payload import tree_digests
from tests.torrents import Payload, single

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.transfer_lab import Lab

TOTAL = 4_000_000
PEER = 200_000
"""Bytes a second of each of two peers: together they take ten seconds."""

PROMISED_S = 4.0
POLL_S = 0.02


async def leave(lab: Lab) -> None:
    for torrent in lab.seeds:
        await torrent.remove()


async def pause(lab: Lab) -> None:
    for torrent in lab.seeds:
        await torrent.pause()


async def poison(lab: Lab) -> None:
    for torrent in lab.seeds:
        torrent.exchange.host.poisons = True


async def trickle(lab: Lab) -> None:
    for torrent in lab.seeds:
        torrent.exchange.host.uplink.set_rate(20_000)


FAULTS: dict[str, Callable[[Lab], Awaitable[None]]] = {
    "no peers": leave,
    "hung up": pause,
    "poisoned": poison,
    "trickle": trickle,
}


@dataclass
class Outcome:
    """What came of a transfer.

    Attributes:
        asked_before: A mirror gave something before the fault.
        waited_s: From the fault to the mirror's first right piece.
        served_bytes: What the mirror sent.
        missing_bytes: What peers did not give.
        right: Every byte is the seeds'.
    """

    asked_before: bool
    waited_s: float
    served_bytes: int
    missing_bytes: int
    right: bool


async def fall(payload: Payload, fault: str, at_s: float, seed: int, folder: Path) -> Outcome:
    config = MirrorConfig(target_bytes_per_s=PEER, head_start_s=1.0)
    world = World((Mirror(2 * PEER),), (PEER, PEER), config, seed)
    lab, transfer, feed = await begin(world, payload, folder)
    running = asyncio.create_task(transfer.run())
    await asyncio.sleep(at_s)
    before, fault_s = feed.bytes, lab.now_s
    await FAULTS[fault](lab)
    assert transfer.status is not None
    while feed.bytes == before and not running.done():
        await lab.network.clock.sleep(POLL_S)
    waited_s = lab.now_s - fault_s
    missing = payload.hybrid.total - sum(
        source for name, source in transfer.tally.by_source.items() if "example" not in name
    )
    await running
    await transfer.leave()
    return Outcome(
        asked_before=before > 0,
        waited_s=waited_s,
        served_bytes=server_of(lab, 0).served_bytes,
        missing_bytes=missing,
        right=tree_digests(lab.target) == payload.digests,
    )


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Payload:
    return single(tmp_path_factory.mktemp("payload"), TOTAL, piece_length=16 << 10)


@pytest.mark.parametrize("fault", FAULTS)
@settings(max_examples=10)
@given(at_s=st.floats(2.0, 8.5), seed=st.integers(0, 1 << 30))
def test_mirrors_give_in_time_whenever_it_happens(payload: Payload, fault: str, at_s: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = run_virtual(fall(payload, fault, at_s, seed, Path(folder)))
    assert found.right
    assert not found.asked_before
    assert found.waited_s <= PROMISED_S
    # Of what peers had given nothing is fetched again, but for what was under way.
    assert found.served_bytes <= found.missing_bytes + 16 * (16 << 10)
