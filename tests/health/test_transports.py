"""Which way of dialling peers is tried next, and when."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist import events
from ossdist.config import SwarmConfig, Transport
from ossdist.errors import SourcesExhaustedError
from ossdist.health.assess import NOTHING_KNOWN, Assessment, Condition, Finding, Trouble
from ossdist.health.dialling import Dialling
from ossdist.health.transports import DialConfig, DialState, NextTransport, next_of, step
from ossdist.store.disk_session import DiskSession
from ossdist.transfer.torrent_events import Ending
from tests.asynchronous import asynchronous
from tests.transfer_lab import in_lab

if TYPE_CHECKING:
    from ossdist.transfer.run import Transfer
    from tests.transfer_lab import Lab

CONFIG = DialConfig()
ALL = tuple(Transport)
WITHOUT_PROXY = tuple(each for each in ALL if each is not Transport.PROXY)
GOOD = Assessment(Condition.GOOD)


def blocked(trouble: Trouble) -> Assessment:
    return Assessment(Condition.BLOCKED, (Finding(trouble, f"all {trouble.value}", 0.9),))


def changes(
    seen: Assessment, *, seconds: float, possible: tuple[Transport, ...] = WITHOUT_PROXY
) -> list[tuple[float, NextTransport]]:
    """What is tried as long as it stays so, and when."""
    state, found = DialState(transport=possible[0], since_s=0.0), list[tuple[float, NextTransport]]()
    for tick in range(round(seconds * 2)):
        state, change = step(state, seen, tick / 2, possible, CONFIG)
        if change is not None:
            found.append((tick / 2, change))
    return found


@pytest.mark.parametrize(
    ("trouble", "order"),
    [
        (Trouble.FILTERED, ["encrypted tcp", "encrypted utp", "proxy", "utp", "tcp"]),
        (Trouble.DROPPED, ["utp", "encrypted utp", "proxy", "encrypted tcp", "tcp"]),
        (Trouble.REJECTED, ["utp", "encrypted utp", "proxy", "encrypted tcp", "tcp"]),
    ],
)
def test_all_are_tried_and_then_it_is_back_to_the_first(trouble: Trouble, order: list[str]) -> None:
    found = changes(blocked(trouble), seconds=55, possible=ALL)
    assert [change.transport.value for _, change in found] == order
    times = [at for at, _ in found]
    assert times[0] == CONFIG.blocked_s
    assert all(later - earlier >= CONFIG.trial_s for earlier, later in pairwise(times))
    assert found[0][1].cause == f"all {trouble.value}"
    assert found[-1][1].cause == "no other way of dialling peers has reached anybody"


def test_all_are_tried_again_after_a_pause_that_grows() -> None:
    found = changes(blocked(Trouble.FILTERED), seconds=1500)
    again = [at for at, change in found if change.transport is Transport.TCP_ENCRYPTED]
    pauses = [later - earlier for earlier, later in pairwise(again)]
    assert pauses[0] >= CONFIG.pause_s
    assert all(later > 1.3 * earlier for earlier, later in pairwise(pauses))


def test_a_fresh_session_changes_nothing() -> None:
    assert changes(NOTHING_KNOWN, seconds=100) == []


@pytest.mark.parametrize(
    "seen",
    [
        Assessment(Condition.OFFLINE, (Finding(Trouble.UNREACHABLE, "", 1.0),)),
        Assessment(Condition.BLOCKED, (Finding(Trouble.TRACKERS, "", 1.0),)),
        Assessment(Condition.DEGRADED, (Finding(Trouble.CHOKED, "", 1.0),)),
        GOOD,
    ],
)
def test_what_dialling_otherwise_cannot_help_changes_nothing(seen: Assessment) -> None:
    assert changes(seen, seconds=100) == []


def test_one_over_which_peers_were_reached_is_kept() -> None:
    state = DialState(transport=Transport.TCP, since_s=0.0)
    state, _ = step(state, blocked(Trouble.FILTERED), 0.0, WITHOUT_PROXY, CONFIG)
    state, change = step(state, blocked(Trouble.FILTERED), 1.0, WITHOUT_PROXY, CONFIG)
    assert change is not None
    state, change = step(state, GOOD, 2.0, WITHOUT_PROXY, CONFIG)
    assert (state.transport, state.proven, change) == (Transport.TCP_ENCRYPTED, True, None)
    assert state.tried == frozenset()


def test_peers_who_go_away_are_not_taken_for_a_firewall() -> None:
    """Who could be reached in the same way before may come back."""
    state, _ = step(DialState(transport=Transport.TCP, since_s=0.0), GOOD, 0.0, WITHOUT_PROXY, CONFIG)
    found = list[float]()
    for tick in range(1, 400):
        state, change = step(state, blocked(Trouble.REJECTED), tick / 2, WITHOUT_PROXY, CONFIG)
        if change is not None:
            found.append(tick / 2)
    assert found[0] >= CONFIG.proven_s


def test_nothing_is_tried_for_a_moment_of_trouble() -> None:
    state = DialState(transport=Transport.TCP, since_s=0.0)
    for tick in range(100):
        seen = blocked(Trouble.DROPPED) if tick % 2 else NOTHING_KNOWN
        state, change = step(state, seen, tick * 0.4, WITHOUT_PROXY, CONFIG)
        assert change is None


@given(
    st.lists(st.sampled_from([NOTHING_KNOWN, GOOD, *(blocked(each) for each in Trouble)]), max_size=300),
    st.lists(st.sampled_from(ALL), min_size=1, unique=True),
)
def test_it_never_leaves_what_is_possible_and_never_hurries(seen: list[Assessment], possible: list[Transport]) -> None:
    state, changed_s = DialState(transport=possible[0], since_s=0.0), list[float]()
    for tick, each in enumerate(seen):
        before = state.transport
        state, change = step(state, each, tick / 2, tuple(possible), CONFIG)
        assert state.transport in possible
        assert (change is None) == (state.transport is before)
        if change is not None:
            changed_s.append(tick / 2)
            assert change.transport is state.transport
    if GOOD not in seen:
        assert len(changed_s) <= 1 + len(seen) / 2 / CONFIG.trial_s


def test_none_is_left_when_all_were_tried() -> None:
    assert next_of(Trouble.FILTERED, frozenset(ALL), ALL) is None


# --- over a network in memory ------------------------------------------------------------------------------


async def run_for(transfer: Transfer, seconds: float) -> None:
    with contextlib.suppress(TimeoutError, SourcesExhaustedError):
        async with asyncio.timeout(seconds):
            await transfer.run()
    await transfer.leave()


class Memory:
    """Remembers in memory."""

    def __init__(self, transport: Transport | None = None) -> None:
        self.transport = transport
        self.kept = list[Transport]()

    async def recall(self) -> Transport | None:
        return self.transport

    async def keep(self, transport: Transport) -> None:
        self.transport = transport
        self.kept.append(transport)


@in_lab
async def test_a_filter_is_gone_round_and_that_is_remembered(lab: Lab) -> None:
    lab.network.blocked = {Transport.TCP: Ending.NO_HANDSHAKE, Transport.UTP: Ending.NO_HANDSHAKE}
    seed, _ = await lab.seed(lab.payload.hybrid, up=100_000)
    transfer, memory = await lab.transfer(peers=(seed,)), Memory()
    transfer.dialling = Dialling(transfer.session, memory)
    await transfer.dialling.begin()
    await run_for(transfer, 40)
    assert transfer.status is not None
    assert transfer.status.bytes_done == lab.payload.hybrid.total
    (told,) = lab.seen(events.TransportChanged)
    assert told.transport == "encrypted tcp"
    assert "ended before the handshake" in told.reason
    assert memory.kept == [Transport.TCP_ENCRYPTED]
    assert lab.now_s < 15


@in_lab
async def test_without_it_the_filter_stands(lab: Lab) -> None:
    lab.network.blocked = {Transport.TCP: Ending.NO_HANDSHAKE}
    seed, _ = await lab.seed(lab.payload.hybrid, up=100_000)
    transfer = await lab.transfer(peers=(seed,))
    await run_for(transfer, 40)
    assert transfer.status is not None
    assert transfer.status.bytes_done == 0


@in_lab
async def test_the_next_session_begins_with_what_worked(lab: Lab) -> None:
    lab.network.blocked = dict.fromkeys((Transport.TCP, Transport.TCP_ENCRYPTED), Ending.TIMED_OUT)
    seed, _ = await lab.seed(lab.payload.hybrid, up=100_000)
    transfer, memory = await lab.transfer(peers=(seed,)), Memory(Transport.UTP)
    transfer.dialling = Dialling(transfer.session, memory)
    await transfer.dialling.begin()
    await run_for(transfer, 40)
    assert lab.seen(events.TransportChanged) == []
    assert lab.now_s < 6
    assert memory.kept == []


@in_lab
async def test_what_worked_once_and_does_no_more_is_given_up_and_forgotten(lab: Lab) -> None:
    lab.network.blocked = dict.fromkeys((Transport.UTP, Transport.UTP_ENCRYPTED), Ending.TIMED_OUT)
    seed, _ = await lab.seed(lab.payload.hybrid, up=100_000)
    transfer, memory = await lab.transfer(peers=(seed,)), Memory(Transport.UTP)
    transfer.dialling = Dialling(transfer.session, memory)
    await transfer.dialling.begin()
    await run_for(transfer, 60)
    assert [told.transport for told in lab.seen(events.TransportChanged)] == ["tcp"]
    assert memory.kept == [Transport.TCP]


@in_lab
async def test_one_swarm_without_peers_does_not_change_how_another_ones_are_dialled(lab: Lab) -> None:
    session = await lab.session()
    dialling = Dialling(session)
    well, ill = object(), object()
    for tick in range(100):
        assert await dialling.look(well, GOOD, tick / 2) is None
        assert await dialling.look(ill, blocked(Trouble.REJECTED), tick / 2) is None
    dialling.leave(well)
    found = [await dialling.look(ill, blocked(Trouble.REJECTED), 50 + tick / 2) for tick in range(126)]
    assert [change.transport for change in found if change is not None] == [Transport.UTP]
    assert session.host.transport is Transport.UTP
    dialling.leave(ill)


@asynchronous
async def test_a_session_that_dials_nobody() -> None:
    async with await DiskSession.open(SwarmConfig()) as session:
        dialling = Dialling(session, Memory(Transport.UTP))
        await dialling.begin()
        assert dialling.transport is None
        assert await dialling.look(object(), blocked(Trouble.DROPPED), 9.0) is None
        with pytest.raises(ValueError, match="possible: none"):
            await session.set_transport(Transport.TCP)


@pytest.mark.parametrize("proxy", ["socks5://nowhere", "ftp://nowhere:1", "http://:1", "x"])
def test_a_proxy_that_nobody_could_use_is_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="a proxy is"):
        SwarmConfig(proxy=proxy)


def test_dialling_through_a_proxy_needs_one() -> None:
    with pytest.raises(ValueError, match="none is configured"):
        SwarmConfig(transport=Transport.PROXY)
    assert SwarmConfig(transport=Transport.PROXY, proxy="http://u:p@h:1").transports[0] is Transport.PROXY
