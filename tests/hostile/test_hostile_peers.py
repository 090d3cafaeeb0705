"""A client and a seed among peers that break the rules: right bytes, in bounded time, and the cheat is named."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil
import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.errors import SourcesExhaustedError
from ossdist.release import layout
from ossdist.swarm import load_metainfo
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, TestChannel, make_channel, noise, port_of, publish
from tests.hostile import (
    BEHAVIOURS,
    Behaviour,
    Changing,
    DripFeeds,
    FloodsRequests,
    GoesSilent,
    Honest,
    HostilePeer,
    LiesInBitfield,
    Malformed,
    Mode,
    NeverUnchokes,
    SamePeerId,
    Torrent,
    WrongAlways,
    WrongBlocks,
)
from tests.hostile.behaviours import NONSENSE
from tests.torrents import read_piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.keys import Keys

CONTENT = noise(2_000_000)
UPLOAD = 1_000_000
"""Of the honest seed, so that the others get their turn."""
MOST_BYTES = 64 << 20
"""How much more memory a flood may cost: the requests alone would be more."""


@dataclass(frozen=True)
class Scene:
    """A channel with a release, and what a peer must know of it."""

    channel: TestChannel
    torrent: Torrent
    out: Path

    @asynccontextmanager
    async def seeding(self) -> AsyncGenerator[Client]:
        """An honest seed, slow enough."""
        swarm = replace(CONFIG.swarm, upload_bytes_per_s=UPLOAD)
        config = replace(CONFIG, swarm=swarm)
        async with Client(self.channel.folder, root=self.channel.root, config=config) as seed:
            await seed.seed("tool", folder=self.channel.payload("tool", "1.0"))
            yield seed

    def client(self, *, exhausted_after_s: float = 10.0) -> Client:
        """Who downloads."""
        config = replace(CONFIG, transfer=replace(CONFIG.transfer, exhausted_after_s=exhausted_after_s))
        return Client(self.channel.folder, root=self.channel.root, config=config)

    @property
    def file(self) -> Path:
        """Where the file is to be."""
        return self.out / "tool.bin"


async def make_scene(tmp_path: Path, keys: Keys) -> Scene:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT})
    metainfo = load_metainfo((channel.folder / layout.torrent_path("tool", "1.0", v1=False)).read_bytes())
    folder = channel.payload("tool", "1.0")
    torrent = Torrent.of(metainfo, lambda piece: read_piece(folder, metainfo, piece))
    return Scene(channel, torrent, tmp_path / "out")


@asynchronous
async def test_a_peer_that_obeys_is_understood(tmp_path: Path, keys: Keys) -> None:
    """What the others do differs from this in one thing each."""
    scene = await make_scene(tmp_path, keys)
    async with HostilePeer(scene.torrent, Honest()) as peer, scene.client() as client:
        report = await client.download("tool", to=scene.out, peers=[peer.address])
    assert scene.file.read_bytes() == CONTENT
    assert report.files[0].bytes_from.swarm == len(CONTENT)


@pytest.mark.parametrize(
    "behaviour",
    [
        WrongAlways(),
        WrongBlocks(every=4),
        NeverUnchokes(),
        GoesSilent(after_blocks=2),
        DripFeeds(),
        LiesInBitfield(),
        Malformed(),
        SamePeerId(),
        *(Changing(mode) for mode in Mode),
    ],
    ids=lambda behaviour: getattr(getattr(behaviour, "mode", None), "value", type(behaviour).__name__),
)
@asynchronous
async def test_beside_an_honest_seed_every_byte_is_right(behaviour: Behaviour, tmp_path: Path, keys: Keys) -> None:
    scene = await make_scene(tmp_path, keys)
    async with (
        scene.seeding() as seed,
        HostilePeer(scene.torrent, behaviour) as peer,
        HostilePeer(scene.torrent, behaviour, host="127.0.0.2") as other,
        scene.client() as client,
    ):
        everybody = [peer.address, other.address, port_of(seed)]
        report = await client.download("tool", to=scene.out, peers=everybody)
        assert peer.met >= 1
    assert scene.file.read_bytes() == CONTENT
    assert report.files[0].verified


@pytest.mark.parametrize("mode", [Mode.CHOKE, Mode.SILENT, Mode.TRICKLE])
@asynchronous
async def test_a_peer_that_does_better_again_brings_everything(mode: Mode, tmp_path: Path, keys: Keys) -> None:
    scene = await make_scene(tmp_path, keys)
    behaviour = Changing(mode)
    async with HostilePeer(scene.torrent, behaviour) as peer, scene.client(exhausted_after_s=30.0) as client:
        download = asyncio.create_task(client.download("tool", to=scene.out, peers=[peer.address]))
        await peer.until_met()
        await asyncio.wait([download], timeout=0.5)
        assert not download.done()
        await behaviour.change(Mode.HONEST)
        await download
    assert scene.file.read_bytes() == CONTENT


@asynchronous
async def test_who_sends_wrong_data_is_banned_and_named(tmp_path: Path, keys: Keys) -> None:
    scene = await make_scene(tmp_path, keys)
    seen: list[events.TransferEvent] = []
    async with (
        scene.seeding() as seed,
        HostilePeer(scene.torrent, WrongAlways(), host="127.0.0.2") as peer,
        scene.client() as client,
    ):
        job = client.download("tool", to=scene.out, peers=[peer.address, port_of(seed)], on_event=seen.append)
        await job
        await peer.until_lost()
    assert scene.file.read_bytes() == CONTENT
    assert {event.address for event in seen if isinstance(event, events.PeerBanned)} == {str(peer.address)}


@pytest.mark.parametrize(
    "behaviour",
    [WrongAlways(), NeverUnchokes(), GoesSilent(), LiesInBitfield(has_every=1_000), SamePeerId()],
    ids=lambda behaviour: type(behaviour).__name__,
)
@asynchronous
async def test_alone_it_is_given_up_in_time_and_named(behaviour: Behaviour, tmp_path: Path, keys: Keys) -> None:
    scene = await make_scene(tmp_path, keys)
    async with HostilePeer(scene.torrent, behaviour) as peer, scene.client(exhausted_after_s=3.0) as client:
        with pytest.raises(SourcesExhaustedError) as caught:
            await asyncio.wait_for(client.download("tool", to=scene.out, peers=[peer.address]), 60)
        assert peer.met >= 1
    assert not scene.file.exists()
    assert str(peer.address) in str(caught.value)


@pytest.mark.parametrize("what", NONSENSE)
@asynchronous
async def test_a_seed_outlives_every_malformed_message(what: str, tmp_path: Path, keys: Keys) -> None:
    scene = await make_scene(tmp_path, keys)
    peer = HostilePeer(scene.torrent, Malformed(what))
    async with scene.seeding() as seed, peer, scene.client() as client:
        talk = asyncio.ensure_future(peer.dial(port_of(seed)))
        await peer.until_met()
        await client.download("tool", to=scene.out, peers=[port_of(seed), peer.address])
        talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)
    assert scene.file.read_bytes() == CONTENT


@asynchronous
async def test_a_flood_of_requests_costs_a_seed_neither_memory_nor_its_other_peers(tmp_path: Path, keys: Keys) -> None:
    scene = await make_scene(tmp_path, keys)
    peer = HostilePeer(scene.torrent, FloodsRequests(), host="127.0.0.2")
    async with scene.seeding() as seed, peer, scene.client() as client:
        before = psutil.Process().memory_info().rss
        floods = [asyncio.ensure_future(peer.dial(port_of(seed))) for _ in range(4)]
        await peer.until_met(4)
        await client.download("tool", to=scene.out, peers=[port_of(seed)])
        grown = psutil.Process().memory_info().rss - before
        for flood in floods:
            flood.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
    assert scene.file.read_bytes() == CONTENT
    assert grown < MOST_BYTES


def test_every_behaviour_has_a_name() -> None:
    assert {type(make()) for make in BEHAVIOURS.values()} == {
        *(Honest, WrongAlways, WrongBlocks, NeverUnchokes, GoesSilent, DripFeeds, LiesInBitfield),
        *(FloodsRequests, Malformed, SamePeerId, Changing),
    }
