"""Mirrors that give the payload wrongly, or not in parts: a download ends in time and says which, and why."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.config import MirrorConfig
from ossdist.errors import SourcesExhaustedError
from ossdist.release.model import Mirror
from tests.asynchronous import asynchronous
from tests.channels import QUICK, WITH_MIRRORS, TestChannel, make_channel, noise, port_of, publish
from tests.programs.nginx import Nginx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ossdist.events import TransferEvent
    from tests.keys import Keys

FILES = {"big.bin": noise(2_000_000), "small.bin": noise(1_000_000, seed=1)}
IMPATIENT = replace(WITH_MIRRORS, transfer=replace(QUICK, exhausted_after_s=2.0), mirrors=MirrorConfig(web_seeds=True))
"""libtorrent asks the mirrors itself; `tests/mirrors` has what our own engine does about bad ones."""


LARGE = {"big.bin": noise(20_000_000)}
"""libtorrent asks for 16 MiB at most, so this is asked for in parts."""


async def prepared(tmp_path: Path, keys: Keys, mirror: Nginx, files: Mapping[str, bytes] = FILES) -> TestChannel:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, files, mirrors=(Mirror(url=mirror.url),))
    return channel


def spoil(channel: TestChannel) -> None:
    path = channel.payload("tool", "1.0") / "big.bin"
    content = bytearray(path.read_bytes())
    content[1_000_000:1_000_004] = b"evil"
    path.write_bytes(content)


async def download(client: Client, tmp_path: Path, said: list[TransferEvent], peers: tuple[Client, ...] = ()) -> None:
    await client.download("tool", to=tmp_path / "to", peers=[port_of(peer) for peer in peers], on_event=said.append)


@asynchronous
async def test_a_server_without_range_requests_is_named_with_the_reason(tmp_path: Path, keys: Keys) -> None:
    async with Nginx(tmp_path / "nginx", tmp_path / "channel", ranges=False) as mirror:
        channel = await prepared(tmp_path, keys, mirror, LARGE)
        said = list[events.TransferEvent]()
        async with Client(mirror.url, root=channel.root, config=IMPATIENT) as client:
            with pytest.raises(SourcesExhaustedError, match="ignores Range requests"):
                await download(client, tmp_path, said)
    failed = [event for event in said if isinstance(event, events.SourceFailed)]
    assert any("Range" in event.reason and event.source.startswith(mirror.url) for event in failed)
    assert not (tmp_path / "to" / "big.bin").exists()


@asynchronous
async def test_a_damaged_file_of_a_mirror_is_named(tmp_path: Path, keys: Keys) -> None:
    async with Nginx(tmp_path / "nginx", tmp_path / "channel") as mirror:
        channel = await prepared(tmp_path, keys, mirror)
        spoil(channel)
        said = list[events.TransferEvent]()
        async with Client(mirror.url, root=channel.root, config=IMPATIENT) as client:
            with pytest.raises(SourcesExhaustedError, match=r"wrong data: .*the last one of .*big\.bin") as caught:
                await download(client, tmp_path, said)
    assert not any("connected peer" in source for source in caught.value.attempts)
    refused = [event for event in said if isinstance(event, events.PieceRefused)]
    assert all(path.endswith("big.bin") for event in refused for path in event.paths)
    assert refused
    assert not (tmp_path / "to" / "big.bin").exists()


@asynchronous
async def test_a_damaged_file_of_a_channels_folder_is_named_and_put_right_by_peers(
    tmp_path: Path, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES)
    good = tmp_path / "good"
    good.mkdir()
    for name, content in FILES.items():
        (good / name).write_bytes(content)
    spoil(channel)
    damaged = channel.payload("tool", "1.0") / "big.bin"
    async with (
        Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as seed,
        Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as client,
    ):
        await seed.seed("tool", folder=good)
        caplog.set_level(logging.WARNING, "ossdist")
        await download(client, tmp_path, [], (seed,))
        assert f"{damaged} is damaged" in caplog.text
        assert (tmp_path / "to" / "big.bin").read_bytes() == FILES["big.bin"]


@asynchronous
async def test_a_damaged_file_of_a_store_is_named(tmp_path: Path, keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES)
    store = tmp_path / "to"
    store.mkdir()
    (store / "big.bin").write_bytes(bytes(len(FILES["big.bin"])))
    (store / "small.bin").write_bytes(b"an older one")
    async with Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as client:
        await download(client, tmp_path, [])
    assert f"{store / 'big.bin'} is not the signed file" in caplog.text
    assert "small.bin" not in caplog.text


@asynchronous
async def test_libtorrent_asks_no_mirror_that_the_caller_bans(tmp_path: Path, keys: Keys) -> None:
    async with (
        Nginx(tmp_path / "nginx", tmp_path / "channel") as mirror,
        Nginx(tmp_path / "nginx-banned", tmp_path / "channel") as banned,
    ):
        channel = await make_channel(tmp_path, keys)
        await publish(channel, FILES, mirrors=(Mirror(url=banned.url), Mirror(url=mirror.url, priority=2)))
        config = replace(IMPATIENT, mirrors=replace(IMPATIENT.mirrors, ban=(banned.url,)))
        async with Client(mirror.url, root=channel.root, config=config) as client:
            await download(client, tmp_path, [])
        assert not banned.requests()
        assert any(request.target.endswith("big.bin") for request in mirror.requests())
    assert (tmp_path / "to" / "big.bin").read_bytes() == FILES["big.bin"]
