"""A release in the lab, with a tracker, a mirror and a seed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ossdist.release import layout
from ossdist.release.model import Mirror
from tests.channels import TestChannel, make_channel, noise, publish
from tests.lab.links import Link, mbit
from tests.lab.peers import MIRROR_PORT, TRACKER_PORT, run_mirror, run_seed, run_tracker

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.publisher import Published
    from tests.keys import Keys
    from tests.lab.network import Host, Network

CONTENT = noise(6_000_000)
SLOW = Link(up_bps=mbit(20), down_bps=mbit(50))


@dataclass(frozen=True)
class Scene:
    """A channel whose tracker, mirror and seed run in the lab."""

    channel: TestChannel
    url: str
    folder: Path
    seed: Host
    tracker: Host

    def torrent(self, *, v1: bool = False) -> Path:
        """One of the release's torrents."""
        return self.channel.folder / layout.torrent_path("tool", "1.0", v1=v1)

    @property
    def payload(self) -> Path:
        """The folder of the release's file."""
        return self.channel.payload("tool", "1.0")


def make_scene(tmp_path: Path, keys: Keys, network: Network) -> Scene:
    """Publishes it, and starts everybody."""
    tracker, mirror, seed = network.host("tracker"), network.host("mirror", SLOW), network.host("seed", SLOW)
    tmp_path.chmod(0o755)
    url = f"http://{mirror.address}:{MIRROR_PORT}/"

    async def make() -> tuple[TestChannel, Published]:
        channel = await make_channel(tmp_path, keys)
        announce = f"http://{tracker.address}:{TRACKER_PORT}/announce"
        files = {"tool.bin": CONTENT}
        return channel, await publish(channel, files, trackers=(announce,), mirrors=(Mirror(url=url),))

    channel, published = asyncio.run(make())
    release = published.release
    hashes = (release.hybrid.info_hash_v1, release.hybrid.info_hash_v2[:40], release.v1.info_hash_v1)
    run_tracker(tracker, tmp_path / "tracker", hashes)
    run_mirror(mirror, tmp_path / "mirror", channel.folder)
    run_seed(seed, channel.folder, tmp_path / "seed-state")
    return Scene(channel, url, tmp_path, seed, tracker)


def sources(answer: dict[str, object]) -> dict[str, int]:
    """Bytes by where they came from."""
    (file,) = cast("list[dict[str, dict[str, int]]]", answer["files"])
    return file["bytes_from"]
