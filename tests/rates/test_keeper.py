"""What is decided about rates is done: over a network in memory, in virtual time."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist.config import Period, RatesConfig
from ossdist.errors import SwarmError
from ossdist.machine import Connection, own_connections
from ossdist.rates.keeper import RateKeeper
from ossdist.rates.schedule import UNLIMITED, Limits
from ossdist.store.usage_file import UsageFile
from ossdist.transfer.session import AddTorrent
from tests.asynchronous import asynchronous
from tests.transfer_lab import in_lab

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ossdist.sim import MemorySession
    from tests.transfer_lab import Lab


class Ledger:
    """What was sent, in memory."""

    def __init__(self, **known: int) -> None:
        self.months = {name.replace("_", "-").strip("m"): count for name, count in known.items()}

    async def add(self, month: str, sent_bytes: int) -> int:
        self.months[month] = self.months.get(month, 0) + sent_bytes
        return self.months[month]


@dataclass
class Feed:
    """Mirrors that give."""

    bytes: int = 0
    most: float = math.inf

    def limit(self, bytes_per_s: float) -> None:
        self.most = bytes_per_s


def keeper_of(
    lab: Lab,
    session: MemorySession,
    config: RatesConfig,
    *,
    usage: Ledger | UsageFile | None = None,
    feeds: Iterable[Feed] = (),
    delay_s: float = 0.0,
) -> RateKeeper:
    seen = [0.01]

    def connections() -> tuple[Connection, ...]:
        rtt_s, seen[0] = seen[0], 0.01 + delay_s
        return (Connection("a", rtt_s, min(rtt_s, 0.01), 0.0),)

    return RateKeeper(
        session,
        config,
        lab.network.clock,
        mirrors=lambda: tuple(feeds),
        usage=usage or Ledger(),
        connections=connections,
    )


@in_lab
async def test_with_nothing_to_do_it_does_nothing(lab: Lab) -> None:
    keeper = keeper_of(lab, await lab.session(), RatesConfig())
    assert keeper.idle
    async with asyncio.timeout(1):
        await keeper.run()


@in_lab
async def test_a_schedule_is_kept(lab: Lab) -> None:
    session = await lab.session()
    now = lab.network.clock.now().astimezone()
    period = Period(
        begins=(now + timedelta(minutes=10)).time(), ends=(now + timedelta(minutes=20)).time(), upload_bytes_per_s=0.0
    )
    feed = Feed()
    config = RatesConfig(periods=(replace(period, download_bytes_per_s=50_000.0),), look_s=5.0)
    keeper = keeper_of(lab, session, config, feeds=[feed])
    running = asyncio.create_task(keeper.run())
    seen: list[tuple[Limits, bool, float]] = []
    for _ in range(3):
        await lab.network.clock.sleep(450)
        seen.append((keeper.limits, session.host.uplink.closed, feed.most))
    running.cancel()
    assert seen == [
        (UNLIMITED, False, math.inf),
        (Limits(0.0, 50_000.0), True, 50_000.0),
        (UNLIMITED, False, math.inf),
    ]


@in_lab
async def test_the_months_cap_is_over_runs_and_ends_with_the_month(lab: Lab) -> None:
    month = f"{lab.network.clock.now().astimezone():%Y-%m}"
    usage = Ledger()
    usage.months = {month: 900_000}
    session = await lab.session()
    config = RatesConfig(monthly_upload_bytes=1_000_000)
    keeper = keeper_of(lab, session, config, usage=usage)
    await keeper.look()
    assert keeper.limits == UNLIMITED
    session.host.sent_bytes = 150_000
    await keeper.look()
    assert keeper.limits == Limits(upload_bytes_per_s=0.0)
    await keeper.keep()
    assert usage.months == {month: 1_050_000}
    await lab.network.clock.sleep(32 * 86400)
    await keeper.look()
    assert keeper.limits == UNLIMITED


@in_lab
async def test_in_the_background_a_queue_brings_the_limits_down(lab: Lab) -> None:
    session, feed = await lab.session(), Feed()
    keeper = keeper_of(lab, session, RatesConfig(background=True), feeds=[feed], delay_s=0.1)
    await keeper.look()
    assert keeper.limits == UNLIMITED
    await lab.network.clock.sleep(1.0)
    session.host.received_bytes, feed.bytes = 1_000_000, 3_000_000
    await keeper.look()
    assert keeper.limits.download_bytes_per_s == pytest.approx(2_000_000)
    assert feed.most == pytest.approx(1_000_000)  # what peers do not take of it
    await lab.network.clock.sleep(1.0)
    await keeper.look()
    assert feed.most == pytest.approx(16_000)


@in_lab
async def test_a_closed_session_ends_nothing(lab: Lab) -> None:
    session = await lab.session()
    keeper = keeper_of(lab, session, RatesConfig(background=True))
    await session.close()
    with pytest.raises(SwarmError):
        await keeper.look()
    running = asyncio.create_task(keeper.run())
    await lab.network.clock.sleep(5)
    assert not running.done()
    running.cancel()


@in_lab
async def test_a_download_under_a_limit_takes_its_time(lab: Lab) -> None:
    """Limits reach the session."""
    seed, _ = await lab.seed(lab.payload.hybrid)
    session = await lab.session()
    keeper = keeper_of(lab, session, RatesConfig(periods=(Period(download_bytes_per_s=20_000.0),)))
    await keeper.look()
    torrent = await session.add(AddTorrent(source=lab.payload.hybrid, save_path=lab.target, peers=(seed,)))
    begin_s = lab.now_s
    while not all(await torrent.pieces() or (False,)):
        await lab.network.clock.sleep(0.1)
    assert lab.now_s - begin_s == pytest.approx(lab.payload.hybrid.total / 20_000, rel=0.1)


# --- the file ----------------------------------------------------------------------------------------------


@asynchronous
async def test_what_was_sent_is_remembered(tmp_path: Path) -> None:
    assert await UsageFile(tmp_path).add("2026-06", 100) == 100
    assert await UsageFile(tmp_path).add("2026-06", 50) == 150
    assert await UsageFile(tmp_path).add("2026-07", 1) == 1
    assert await UsageFile(tmp_path).add("2026-06", 0) == 150


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format":"ossdist-usage-1","sent_bytes":{"x":1}}', b" " * 100_000])
@asynchronous
async def test_a_file_that_cannot_be_used_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "usage.json").write_bytes(content)
    assert await UsageFile(tmp_path).add("2026-06", 7) == 7
    assert await UsageFile(tmp_path).add("2026-06", 7) == 14


@asynchronous
async def test_a_disk_that_refuses_makes_nothing_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    usage = UsageFile(tmp_path / "file" / "folder")
    assert await usage.add("2026-06", 7) == 7
    assert await usage.add("2026-06", 7) == 14
    assert "not remembered" in caplog.text


@asynchronous
async def test_not_every_month_is_kept(tmp_path: Path) -> None:
    for year in range(2000, 2010):
        for month in range(1, 13):
            await UsageFile(tmp_path).add(f"{year}-{month:02}", 1)
    assert (tmp_path / "usage.json").read_text().count(":1") <= 25


# --- connections -------------------------------------------------------------------------------------------


@asynchronous
async def test_the_connections_of_this_process_are_measured() -> None:
    before = len(await asyncio.to_thread(own_connections))
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    await reader.readexactly(1)
    after = await asyncio.to_thread(own_connections)
    found = [each for each in after if each.host == "127.0.0.1"]
    assert len(after) >= before + 2
    assert all(0 < each.least_rtt_s <= each.rtt_s < 5 for each in found)
    assert min(each.silent_s for each in found) < 5
    writer.close()
    await writer.wait_closed()
    server.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readexactly(1))
    await writer.drain()
    await reader.read()
    writer.close()
