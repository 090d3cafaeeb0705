"""Transfers to whom nobody gives anything: they end in time, say whom they asked, and keep what is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.errors import SourcesExhaustedError
from ossdist.transfer.metainfo import Address
from ossdist.transfer.session import AddTorrent
from ossdist.transfer.watch import Swarm
from tests.torrents import NAME
from tests.transfer_lab import CONFIG, DEAD, RATE, Lab, in_lab

if TYPE_CHECKING:
    from pathlib import Path


@in_lab
async def test_it_gives_up_in_time_and_names_every_source(lab: Lab) -> None:
    tracker, mirror = "http://dead.example/announce", "http://mirror.example/"
    gone = lab.network.add_web_server("http://gone.example/", lab.folder)
    silent = await lab.session()  # somebody who has not got the torrent
    stranger = Address(silent.host.name, silent.listen_port)
    transfer = await lab.transfer(
        peers=(DEAD, stranger), trackers=(tracker,), web_seeds=(mirror, gone.url), swarms=(Swarm.HYBRID,)
    )
    with pytest.raises(SourcesExhaustedError) as caught:
        await transfer.run()
    error = caught.value
    assert CONFIG.exhausted_after_s <= lab.now_s <= CONFIG.exhausted_after_s + CONFIG.poll_s
    assert (error.bytes_done, error.bytes_total) == (0, lab.payload.hybrid.total)
    assert error.attempts == {
        tracker: "Connection refused",
        mirror: "Connection refused",
        gone.url: "404 Not Found",
        str(DEAD): "Connection refused",
        str(stranger): "End of file",
    }
    assert all(source in str(error) for source in error.attempts)
    await transfer.leave()


@in_lab
async def test_a_silent_source_is_named_as_well(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=1)
    transfer = await lab.transfer(peers=(peer,), swarms=(Swarm.HYBRID,))
    with pytest.raises(SourcesExhaustedError) as caught:
        await transfer.run()
    assert caught.value.attempts == {
        "1 connected peer(s)": "gave nothing",
        str(peer): "no connection, or nothing came",
    }


@in_lab
async def test_what_was_there_before_the_end_is_kept(lab: Lab) -> None:
    peer, seed = await lab.seed(lab.payload.hybrid, up=RATE)
    transfer = await lab.transfer(peers=(peer,))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(5)
    await seed.remove()
    with pytest.raises(SourcesExhaustedError) as caught:
        await running
    assert lab.now_s <= 5 + CONFIG.exhausted_after_s + CONFIG.poll_s
    assert caught.value.bytes_done >= 4 * RATE
    await transfer.leave()
    assert (lab.target / NAME).stat().st_size >= caught.value.bytes_done


@in_lab
async def test_a_slow_source_is_not_given_up(lab: Lab) -> None:
    peer, _ = await lab.seed(lab.payload.hybrid, up=lab.payload.hybrid.piece_length // 8)
    transfer = await lab.transfer(peers=(peer,))
    await transfer.run()
    assert lab.now_s > CONFIG.exhausted_after_s
    assert not lab.seen(events.SwarmSwitched)


@in_lab
async def test_a_source_that_comes_back_in_time_is_used(lab: Lab) -> None:
    session = await lab.session()
    transfer = await lab.transfer(peers=(Address(session.host.name, session.listen_port),), swarms=(Swarm.HYBRID,))
    running = asyncio.create_task(transfer.run())
    await lab.network.clock.sleep(CONFIG.exhausted_after_s / 2)
    await session.add(AddTorrent(source=lab.payload.hybrid, save_path=lab.payload.folder, seed=True))
    await running
    assert lab.now_s < CONFIG.exhausted_after_s


# --- nobody is left to ask -------------------------------------------------------------------------------


def corrupt_mirror(lab: Lab, name: str) -> str:
    """A mirror that sends wrong data; its address."""
    server = lab.network.add_web_server(f"http://{name}.example/", lab.payload.folder)
    server.corrupt = frozenset(range(0, lab.payload.hybrid.total, 1000))
    return server.url


@in_lab
async def test_it_gives_up_at_once_when_every_mirror_is_banned_and_nobody_else_can_come(lab: Lab) -> None:
    mirrors = corrupt_mirror(lab, "first"), corrupt_mirror(lab, "second")
    transfer = await lab.transfer(web_seeds=mirrors, find_peers=False, listens=False)
    with pytest.raises(SourcesExhaustedError) as caught:
        await transfer.run()
    assert lab.now_s <= 4 * CONFIG.poll_s
    assert [caught.value.attempts[url] for url in mirrors] == ["peer banned"] * 2
    assert not lab.seen(events.SwarmSwitched)


@in_lab
async def test_it_gives_up_at_once_when_there_is_nobody_to_ask_but_keeps_what_is_there(lab: Lab) -> None:
    lab.target.mkdir()
    (lab.target / NAME).write_bytes(lab.payload.file.read_bytes()[:100_000])
    transfer = await lab.transfer(find_peers=False, listens=False, has_data=True)
    with pytest.raises(SourcesExhaustedError, match="nobody to ask") as caught:
        await transfer.run()
    assert lab.now_s <= 2 * CONFIG.poll_s
    assert caught.value.bytes_done == 100_000 // lab.payload.hybrid.piece_length * lab.payload.hybrid.piece_length


@in_lab
async def test_what_is_complete_needs_nobody_even_if_nobody_can_come(lab: Lab) -> None:
    lab.payload.copy(lab.target)
    transfer = await lab.transfer(find_peers=False, listens=False, has_data=True)
    await transfer.run()
    assert transfer.reused_bytes == lab.payload.hybrid.total


@pytest.mark.parametrize("hope", ["a peer", "a tracker", "a refusing mirror", "finding peers", "listening"])
def test_while_somebody_may_still_give_something_it_waits(tmp_path: Path, hope: str) -> None:
    @in_lab
    async def scenario(lab: Lab) -> None:
        refusing = lab.network.add_web_server("http://refusing.example/", lab.payload.folder)
        refusing.status = "503 Service Unavailable"
        mirrors = (corrupt_mirror(lab, "corrupt"),)
        transfer = await lab.transfer(
            peers=(DEAD,) if hope == "a peer" else (),
            trackers=("http://dead.example/announce",) if hope == "a tracker" else (),
            web_seeds=(*mirrors, refusing.url) if hope == "a refusing mirror" else mirrors,
            find_peers=hope == "finding peers",
            listens=hope == "listening",
        )
        with pytest.raises(SourcesExhaustedError):
            await transfer.run()
        assert lab.now_s >= CONFIG.exhausted_after_s

    scenario(tmp_path)


@in_lab
async def test_peers_of_an_earlier_run_are_left_alone_if_none_are_wanted(lab: Lab) -> None:
    peer, seed = await lab.seed(lab.payload.hybrid, up=RATE)
    first = await lab.transfer(peers=(peer,))
    running = asyncio.create_task(first.run())
    await lab.network.clock.sleep(4)
    running.cancel()
    await asyncio.wait([running])
    await first.leave()
    sent = (await seed.status()).payload_upload
    second = await lab.transfer(find_peers=False, listens=False, resume_data=lab.saved[-1], has_data=True)
    with pytest.raises(SourcesExhaustedError, match="nobody to ask"):
        await second.run()
    assert (await seed.status()).payload_upload == sent
