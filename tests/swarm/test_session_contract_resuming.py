"""What every session makes of the state that an earlier one left: libtorrent's and the one in memory alike."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist.transfer.session import AddTorrent, TorrentState
from ossdist.transfer.torrent_events import (
    CheckingDone,
    Finished,
    PeerConnected,
    PieceVerified,
)
from tests.swarm.worlds import DEADLINE_S, contract, events_until, partial, pieces_in, until_checked, until_finished
from tests.torrents import NAME, damage, single

if TYPE_CHECKING:
    from ossdist.transfer.session import Session
    from tests.swarm.worlds import World
    from tests.torrents import Payload


@contract
async def test_trusted_resume_data_spare_the_check(world: World) -> None:
    payload = single(world.new_folder())
    session, torrent, target = await partial(world, payload, range(5))
    data = await torrent.resume_data()
    await torrent.remove()
    damage(target / NAME, [20_000])
    again = await session.add(
        AddTorrent(source=payload.hybrid, save_path=target, resume_data=data, resume_trusted=True)
    )
    with again.subscribe() as subscription:
        assert pieces_in(await events_until(subscription, CheckingDone)) == list(range(5))
    assert again.resumed
    assert await again.pieces() == (*(True,) * 5, *(False,) * (payload.hybrid.num_pieces - 5))
    assert (await again.status()).bytes_done == 5 * payload.hybrid.piece_length


@contract
async def test_resume_data_that_are_not_trusted_are_checked(world: World) -> None:
    payload = single(world.new_folder())
    session, torrent, target = await partial(world, payload, range(5))
    data = await torrent.resume_data()
    await torrent.remove()
    damage(target / NAME, [20_000])
    again = await session.add(AddTorrent(source=payload.hybrid, save_path=target, resume_data=data))
    with again.subscribe() as subscription:
        assert pieces_in(await events_until(subscription, CheckingDone)) == [0, 2, 3, 4]
    assert not again.resumed
    assert await again.pieces() == (True, False, True, True, True, *(False,) * (payload.hybrid.num_pieces - 5))


@contract
async def test_resume_data_of_a_complete_torrent_seed_at_once(world: World) -> None:
    payload = single(world.new_folder())
    session = await world.session()
    first = await session.add(AddTorrent(source=payload.hybrid, save_path=payload.folder))
    await until_finished(first)
    data = await first.resume_data()
    await first.remove()
    again = await session.add(
        AddTorrent(source=payload.hybrid, save_path=payload.folder, resume_data=data, resume_trusted=True)
    )
    with again.subscribe() as subscription:
        seen = await events_until(subscription, CheckingDone)
    assert pieces_in(seen) == list(range(payload.hybrid.num_pieces))
    assert seen[-2:] == [Finished(), CheckingDone()]
    assert again.resumed
    assert (await again.status()).state is TorrentState.SEEDING


@contract
async def test_resume_data_without_the_file_say_nothing(world: World) -> None:
    payload = single(world.new_folder())
    session, torrent, target = await partial(world, payload, range(5))
    data = await torrent.resume_data()
    await torrent.remove()
    (target / NAME).unlink()
    again = await session.add(
        AddTorrent(source=payload.hybrid, save_path=target, resume_data=data, resume_trusted=True)
    )
    await until_checked(again)
    assert not any(await again.pieces())
    assert not again.resumed


async def interrupted(world: World, session: Session, payload: Payload, seeder: Session) -> AddTorrent:
    """What goes on with a download that was begun at a seed, and ended before its end."""
    await seeder.add(AddTorrent(source=payload.hybrid, save_path=payload.folder, seed=True))
    target = world.new_folder()
    leech = await session.add(AddTorrent(source=payload.hybrid, save_path=target, peers=(world.address(seeder),)))
    with leech.subscribe() as subscription:
        await subscription.until(PieceVerified, timeout_s=DEADLINE_S)
    data = await leech.resume_data()
    await leech.remove()
    return AddTorrent(source=payload.hybrid, save_path=target, resume_data=data)


@contract
async def test_resume_data_remember_the_peers(world: World) -> None:
    seeder, leecher = await world.session(upload_bytes_per_s=200_000), await world.session()
    request = await interrupted(world, leecher, single(world.new_folder()), seeder)
    await until_finished(await leecher.add(request))


@pytest.mark.parametrize("trusted", [True, False])
@contract
async def test_peers_in_resume_data_are_left_alone_if_nobody_wants_them(
    world: World,
    trusted: bool,  # noqa: FBT001
) -> None:
    seeder, leecher = await world.session(upload_bytes_per_s=200_000), await world.session()
    first, second = [
        await interrupted(world, leecher, single(world.new_folder(), seed=number), seeder) for number in (1, 2)
    ]
    alone = await leecher.add(replace(first, resume_trusted=trusted, resume_peers=False))
    with alone.subscribe() as subscription:
        # Somebody who does dial them, in the same session and later, is through before they could have been.
        await until_finished(await leecher.add(second))
        dialled = [event.address for event in subscription.drain() if isinstance(event, PeerConnected)]
    assert world.address(seeder) not in dialled


@pytest.mark.parametrize("trusted", [True, False])
@contract
async def test_files_are_checked_if_the_resume_data_do_not_fit(
    world: World,
    trusted: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
) -> None:
    payload, other = single(world.new_folder()), single(world.new_folder(), seed=1)
    session, torrent, target = await partial(world, payload, range(5))
    own = await torrent.resume_data()
    await torrent.remove()
    _, torrent, _ = await partial(world, other, range(7))
    others = await torrent.resume_data()
    for wrong, reason in (
        (others, "another torrent"),
        (b"", "damaged"),
        (b"junk", "damaged"),
        (own[: len(own) // 2], "damaged"),
    ):
        caplog.clear()
        again = await session.add(
            AddTorrent(source=payload.hybrid, save_path=target, resume_data=wrong, resume_trusted=trusted)
        )
        with again.subscribe() as subscription:
            assert pieces_in(await events_until(subscription, CheckingDone)) == list(range(5))
        assert not again.resumed
        (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert reason in warning.getMessage()
        assert "the files are checked instead" in warning.getMessage()
        await again.remove()
