"""Transfers that end early, or find something on disk."""

from __future__ import annotations

import asyncio
import errno
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.errors import DiskFullError, StorageError, SwarmError
from ossdist.sim import LoopClock, MemoryNetwork, MemoryTorrent, run_virtual
from ossdist.transfer.session import AddTorrent, PeerKind
from ossdist.transfer.torrent_events import EventsLost, StorageFailed
from tests.programs.payload import tree_digests
from tests.torrents import NAME, damage, several
from tests.transfer_lab import CONFIG, RATE, Lab, in_lab

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.transfer.torrent_events import TorrentEvent


# --- the disk --------------------------------------------------------------------------------------------


@in_lab
async def test_a_full_disk_is_named(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid)
    lab.target.mkdir()
    (lab.target / NAME).symlink_to("/dev/full")
    transfer = await lab.transfer(peers=(peer,))
    with pytest.raises(DiskFullError) as caught:
        await transfer.run()
    assert caught.value.path == lab.target / NAME
    await transfer.leave()


@in_lab
async def test_a_disk_that_refuses_is_named(lab: Lab) -> None:
    lab.target.write_text("no folder")
    transfer = await lab.transfer()
    with pytest.raises(StorageError, match="Not a directory") as caught:
        await transfer.run()
    assert not isinstance(caught.value, DiskFullError)
    assert caught.value.path == lab.target / NAME
    await transfer.leave(keep_state=False)
    assert lab.saved == []


def _drop(event: TorrentEvent) -> None:
    """Nobody hears of it."""


@in_lab
async def test_a_full_disk_is_noticed_though_its_event_is_lost(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(peer,))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(2)
    torrent = transfer.torrent
    assert isinstance(torrent, MemoryTorrent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torrent, "publish", _drop)
        torrent.fail(OSError(errno.ENOSPC, "No space left on device", str(lab.target / NAME)))
    torrent.publish(EventsLost())
    with pytest.raises(DiskFullError) as caught:
        await running
    assert caught.value.path == lab.target / NAME
    assert lab.now_s <= 2 + 2 * CONFIG.poll_s


@in_lab
async def test_the_event_says_more_than_the_status_and_is_waited_for(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(peer,))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(2.2)
    torrent = transfer.torrent
    assert isinstance(torrent, MemoryTorrent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torrent, "publish", _drop)
        torrent.fail(OSError(errno.EIO, "a later error"))
    await lab.network.clock.sleep(CONFIG.poll_s)
    torrent.publish(StorageFailed(str(lab.target / NAME), errno.ENOSPC, "No space left on device"))
    with pytest.raises(DiskFullError):
        await running


def test_the_error_number_decides_what_a_full_disk_is() -> None:
    assert {errno.ENOSPC, errno.EDQUOT} == {28, 122}


# --- ending and going on ---------------------------------------------------------------------------------


@in_lab
async def test_what_was_cancelled_goes_on_where_it_was(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    first = await lab.transfer(peers=(peer,))
    running = asyncio.create_task(first.run())
    await lab.network.clock.sleep(4)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    here = sum(await first.torrent.pieces()) * lab.payload.hybrid.piece_length
    assert here >= 3 * RATE
    await first.leave()
    assert len(lab.saved) == 1

    lab.events.clear()
    second = await lab.transfer(peers=(peer,), resume_data=lab.saved[-1], has_data=True)
    await second.run()
    assert second.reused_bytes == here
    assert lab.seen(events.Resumed) == [events.Resumed(here, rechecked=False)]
    assert second.tally.total(PeerKind.PEER) == lab.payload.hybrid.total - here
    assert tree_digests(lab.target) == lab.payload.digests


@in_lab
async def test_a_state_that_cannot_be_had_this_time_does_not_end_the_download(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(peer,), config=replace(CONFIG, resume_save_s=1))
    asked: list[float] = []

    async def busy(torrent: MemoryTorrent) -> bytes:
        asked.append(lab.now_s)
        if len(asked) < 3:
            raise SwarmError("libtorrent gave no answer")
        return b"state"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryTorrent, "resume_data", busy)
        await transfer.run()
    assert len(asked) >= 3  # it asked again at the next interval
    assert lab.saved[0] == b"state"
    assert tree_digests(lab.target) == lab.payload.digests


@in_lab
async def test_data_without_a_state_are_checked(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid)
    lab.target.mkdir()
    (lab.target / NAME).write_bytes(lab.payload.file.read_bytes()[:100_000])
    damage(lab.target / NAME, [0])
    transfer = await lab.transfer(peers=(peer,), has_data=True)
    await transfer.run()
    length = lab.payload.hybrid.piece_length
    here = 100_000 // length * length - length
    assert lab.seen(events.Resumed) == [events.Resumed(here, rechecked=True)]
    assert transfer.reused_bytes == here
    assert tree_digests(lab.target) == lab.payload.digests


@in_lab
async def test_data_whose_state_is_damaged_are_checked(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid)
    lab.payload.copy(lab.target)
    damage(lab.target / NAME, [0])
    transfer = await lab.transfer(peers=(peer,), has_data=True, resume_data=b"damaged")
    await transfer.run()
    here = lab.payload.hybrid.total - lab.payload.hybrid.piece_length
    assert lab.seen(events.Resumed) == [events.Resumed(here, rechecked=True)]
    assert tree_digests(lab.target) == lab.payload.digests


@in_lab
async def test_what_is_complete_already_needs_nobody(lab: Lab) -> None:
    lab.payload.copy(lab.target)
    transfer = await lab.transfer(has_data=True)
    await transfer.run()
    assert transfer.reused_bytes == lab.payload.hybrid.total
    assert transfer.verified_until(NAME, 0) == lab.payload.hybrid.total
    assert transfer.tally.by_source == {}


@in_lab
async def test_a_torrent_that_is_there_already_is_an_error(lab: Lab) -> None:
    transfer = await lab.transfer()
    await transfer.session.add(AddTorrent(source=lab.payload.hybrid, save_path=lab.folder / "elsewhere"))
    with pytest.raises(SwarmError, match="already"):
        await transfer.run()
    await transfer.leave()


@in_lab
async def test_a_state_that_cannot_be_saved_does_not_keep_it_from_leaving(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid)
    transfer = await lab.transfer(peers=(peer,))
    await transfer.run()
    torrent = transfer.torrent

    async def refuse(_: bytes) -> None:
        raise DiskFullError(lab.target)

    transfer.save_resume = refuse
    await transfer.leave()
    with pytest.raises(SwarmError):
        await torrent.status()


def test_several_files_arrive(tmp_path: Path) -> None:
    async def scenario() -> None:
        lab = Lab(tmp_path, several(tmp_path / "seed"), MemoryNetwork(clock=LoopClock(), rng=random.Random(1)))
        peer, _ = await lab.seed(lab.payload.v1)
        transfer = await lab.transfer(peers=(peer,), config=replace(CONFIG, swarm_patience_s=1))
        await transfer.run()
        assert tree_digests(lab.target) == lab.payload.digests
        for file in transfer.metainfo.files:
            assert transfer.verified_until(file.path, 0) == file.length

    run_virtual(scenario())
