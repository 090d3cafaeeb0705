"""The main job: what was published comes back, byte for byte, and is shared on."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.errors import NotFoundError
from ossdist.release.model import Mirror
from ossdist.release.report import Outcome
from ossdist.transfer.session import TorrentState
from ossdist.transfer.watch import Swarm
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, WITH_MIRRORS, make_channel, noise, port_of, publish
from tests.programs.nginx import Nginx

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys

FILES = {"tool.bin": noise(3_000_000), "docs/readme.txt": b"hello\n", "docs/empty": b""}


@asynchronous
async def test_single_file_comes_back_from_a_peer(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    content = noise(2_000_000)
    await publish(channel, {"tool.bin": content})
    seen: list[events.TransferEvent] = []
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root.read_bytes(), config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=seen.append)
    assert (tmp_path / "out" / "tool.bin").read_bytes() == content
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tool.bin"]  # nothing is left beside it
    (file,) = report.files
    assert file.verified
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert (file.bytes_from.swarm, file.bytes_from.mirror, file.bytes_from.reuse) == (len(content), 0, 0)
    assert report.swarm == "hybrid"
    outcomes = {check.name: check.outcome for check in file.report.checks}
    assert {outcomes[name] for name in ("root", "channel", "release signature", "length", "sha256")} == {Outcome.PASS}
    assert outcomes["pieces v1"] is outcomes["pieces v2"] is Outcome.PASS
    kinds = [type(event) for event in seen]
    assert kinds[0] is events.Resolved
    assert kinds[-1] is events.FileCommitted
    assert kinds.index(events.FileVerified) < kinds.index(events.FileCommitted)
    last = [event for event in seen if isinstance(event, events.Progress)][-1]
    assert last.bytes_done == last.bytes_total == len(content)


@asynchronous
async def test_several_files_come_back_with_folders_and_an_empty_one(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES, version="2:1.0~rc1")
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "2:1.0~rc1"))
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    for path, content in FILES.items():
        assert (tmp_path / "out" / path).read_bytes() == content
    assert all(file.verified for file in report.files)
    assert sum(file.bytes_from.swarm for file in report.files) == sum(map(len, FILES.values()))


@asynchronous
async def test_what_was_downloaded_is_shared_on_in_both_swarms(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES)
    first, second = tmp_path / "first", tmp_path / "second"
    async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
        async with Client(channel.folder, root=channel.root, config=CONFIG) as seed:
            await seed.seed("tool", folder=channel.payload("tool", "1.0"))
            await client.download("tool", to=first, peers=[port_of(seed)])
        (seeding,) = client.seeding
        assert set(seeding.torrents) == {Swarm.HYBRID, Swarm.V1}
        for torrent in seeding.torrents.values():
            assert (await torrent.status()).state is TorrentState.SEEDING
        async with Client(channel.folder, root=channel.root, config=CONFIG) as other:
            await other.download("tool", to=second, peers=[port_of(client)])
    assert (second / "tool.bin").read_bytes() == FILES["tool.bin"]


@asynchronous
async def test_peers_and_a_mirror_at_once_through_http(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    content = noise(24_000_000)
    async with Nginx(tmp_path / "nginx", channel.folder, rate_bytes_per_s=4_000_000) as mirror:
        await publish(channel, {"tool.bin": content}, mirrors=(Mirror(url=mirror.url),))
        slow = replace(CONFIG, swarm=replace(CONFIG.swarm, upload_bytes_per_s=8_000_000))
        async with (
            Client(channel.folder, root=channel.root, config=slow) as seed,
            Client(mirror.url, root=channel.root, config=WITH_MIRRORS) as client,
        ):
            await seed.seed("tool", folder=channel.payload("tool", "1.0"))
            report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)])
    assert (tmp_path / "out" / "tool.bin").read_bytes() == content
    came = report.files[0].bytes_from
    assert came.swarm > 0
    assert came.mirror > 0
    assert came.swarm + came.mirror == len(content)


@asynchronous
async def test_mirror_alone_without_any_listening_socket(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES)  # no mirror is named: the channel's own server is used
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror:
        config = replace(WITH_MIRRORS, peers_enabled=False)
        async with Client(mirror.url, root=channel.root, config=config) as client:
            assert client.session.listen_port == 0
            report = await client.download("tool", to=tmp_path / "out")
    for path, content in FILES.items():
        assert (tmp_path / "out" / path).read_bytes() == content
    assert sum(file.bytes_from.mirror for file in report.files) == sum(map(len, FILES.values()))


@asynchronous
async def test_v1_swarm_completes_when_it_alone_has_a_seed(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES)
    seen: list[events.TransferEvent] = []
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        seeding = await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        await seeding.torrents[Swarm.HYBRID].remove()
        report = await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=seen.append)
        assert set(client.seeding[0].torrents) == {Swarm.HYBRID, Swarm.V1}
    assert report.swarm == "v1"
    assert any(isinstance(event, events.SwarmSwitched) and event.swarm == "v1" for event in seen)
    for path, content in FILES.items():
        assert (tmp_path / "out" / path).read_bytes() == content


@asynchronous
async def test_newest_is_by_serial_and_replaces_the_old_file(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": b"old" * 1000}, version="10.0")
    await publish(channel, {"tool.bin": b"new" * 1000}, version="9.0")  # published later: newer
    out = tmp_path / "out"
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        for version in ("10.0", "9.0"):
            await seed.seed("tool", version=version, folder=channel.payload("tool", version))
        report = await client.download("tool", version="10.0", to=out, peers=[port_of(seed)], share=False)
        assert (out / "tool.bin").read_bytes() == b"old" * 1000
        report = await client.download("tool", to=out, peers=[port_of(seed)])
    assert report.version == "9.0"
    assert (out / "tool.bin").read_bytes() == b"new" * 1000


@asynchronous
async def test_file_that_is_right_already_is_not_fetched(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES)
    async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
        # Nobody else is there: only the files in the folder can make this succeed.
        report = await client.download("tool", to=channel.payload("tool", "1.0"), share=False)
    assert all(file.verified for file in report.files)
    assert sum(file.bytes_from.reuse for file in report.files) == sum(map(len, FILES.values()))


@asynchronous
async def test_unknown_name_and_version(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES)
    async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
        with pytest.raises(NotFoundError, match="it has tool"):
            await client.download("other", to=tmp_path / "out")
        with pytest.raises(NotFoundError, match=r"tool 9\.9.*it has version 1\.0"):
            await client.download("tool", version="9.9", to=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@asynchronous
async def test_one_client_brings_a_release_to_two_places(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, FILES)
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        for target in ("first", "second"):
            await client.download("tool", to=tmp_path / target, peers=[port_of(seed)])
            for path, content in FILES.items():
                assert (tmp_path / target / path).read_bytes() == content
        assert len(client.seeding) == 1
