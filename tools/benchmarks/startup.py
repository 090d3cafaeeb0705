"""From the call of `Client.download` to the first byte of payload: with a known peer, and with a tracker."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from ossdist import events
from ossdist.client import Client
from ossdist.clock import SystemClock
from ossdist.config import ClientConfig, TransferConfig
from tests.programs.opentracker import Opentracker
from tools.benchmarks.bed import NAME, Bed, make_bed, seeding
from tools.benchmarks.report import machine, work_folder
from tools.benchmarks.worker import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ossdist.transfer.metainfo import Address

SIZE = 4 << 20


async def run(*, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures ``runs`` downloads of each kind, each by a client of its own."""
    cases: dict[str, list[float]] = {"known peer": [], "tracker": []}
    with work_folder(8 * SIZE, folder) as place:
        async with Opentracker(place / "tracker") as tracker:
            bed = await make_bed(place, SIZE, trackers=(tracker.http_url,))
            for info_hash in bed.info_hashes:
                await tracker.allow(info_hash)
            async with seeding(bed) as seed:
                for number in range(runs):
                    cases["known peer"].append(await _first_byte_s(bed, (seed.address,), trackers=False))
                    log(f"round {number + 1} of {runs}: known peer")
            sharing = ClientConfig(swarm=LOCAL, state_folder=place / "state")
            async with Client(bed.channel, root=bed.root, config=sharing) as seed:
                await seed.seed(NAME, folder=bed.payload)
                await tracker.until(lambda: _knows_seed(tracker, bed), "to know the seed", timeout_s=30)
                for number in range(runs):
                    cases["tracker"].append(await _first_byte_s(bed, (), trackers=True))
                    log(f"round {number + 1} of {runs}: tracker")
    return {
        "bench": "startup",
        "first_byte_s": {
            case: {"p50": statistics.median(values), "max": max(values)} for case, values in cases.items()
        },
        "machine": machine(),
        "runs": runs,
        "rows": [{"case": case, "seconds": value} for case, values in cases.items() for value in values],
    }


async def _knows_seed(tracker: Opentracker, bed: Bed) -> bool:
    return (await tracker.counts(bed.info_hashes[0]))[0] > 0


async def _first_byte_s(bed: Bed, peers: tuple[Address, ...], *, trackers: bool) -> float:
    config = ClientConfig(
        swarm=replace(LOCAL, trackers=trackers),
        transfer=TransferConfig(poll_s=0.002),
        mirrors_enabled=False,
        seed_after=False,
        state_folder=bed.folder / "state",
    )
    clock = SystemClock()
    first_s: list[float] = []

    def watch(event: events.TransferEvent) -> None:
        if isinstance(event, events.Progress) and event.bytes_from_peers and not first_s:
            first_s.append(clock.monotonic_s())

    async with Client(bed.channel, root=bed.root, config=config) as client:
        begin_s = clock.monotonic_s()
        await client.download(NAME, to=bed.fresh("it"), peers=peers, on_event=watch)
    return first_s[0] - begin_s
