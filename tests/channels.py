"""Real channels for tests: published with a real key, served from a folder or by a real server."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ossdist.config import ClientConfig, SwarmConfig, TransferConfig
from ossdist.publisher import Published, Publisher, ReleaseSpec
from ossdist.release import layout
from ossdist.release.channel import assemble, decode_channel, decode_page
from ossdist.transfer.metainfo import Address
from tests.channel_documents import Documents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ossdist.client import Client
    from ossdist.release.channel import Channel
    from tests.keys import Keys

CHANNEL = "main"
"""The name of every channel here; `Keys.root` makes other roots of it."""

LOCAL = SwarmConfig(listen=("127.0.0.1:0",), dht=False, lsd=False, port_mapping=False)
QUICK = TransferConfig(poll_s=0.1, resume_save_s=0.2, swarm_patience_s=1.0, exhausted_after_s=10.0)
CONFIG = ClientConfig(swarm=LOCAL, transfer=QUICK, mirrors_enabled=False)
"""For the swarm alone: a channel's folder on this machine would give its payload to every client."""
WITH_MIRRORS = replace(CONFIG, mirrors_enabled=True)


@dataclass(frozen=True)
class TestChannel:
    """A channel's folder with its publisher."""

    __test__ = False

    folder: Path
    publisher: Publisher

    @property
    def root(self) -> Path:
        """The root of trust."""
        return self.folder / layout.ROOT

    def payload(self, name: str, version: str) -> Path:
        """The folder of a release's files."""
        return self.folder / "files" / layout.folder_name(name, version)


async def make_channel(tmp_path: Path, keys: Keys) -> TestChannel:
    """An empty channel, signed by ``alice``."""
    folder = tmp_path / "channel"
    publisher = Publisher(folder, signer=keys.signer, keys=[keys.alice])
    await publisher.create(CHANNEL)
    return TestChannel(folder, publisher)


async def publish(
    channel: TestChannel,
    files: Mapping[str, bytes],
    *,
    name: str = "tool",
    version: str = "1.0",
    **options: object,
) -> Published:
    """Adds a release with these files' contents."""
    source = channel.folder.parent / f"source-{name}-{version}"
    paths: dict[str, Path] = {}
    for path, content in files.items():
        paths[path] = source / path
        paths[path].parent.mkdir(parents=True, exist_ok=True)
        paths[path].write_bytes(content)
    spec = ReleaseSpec(name=name, version=version, files=paths, **options)  # pyright: ignore[reportArgumentType]
    return await channel.publisher.publish(spec)


def published_channel(tmp_path: Path, keys: Keys, files: Mapping[str, bytes]) -> TestChannel:
    """A channel with the release ``tool 1.0`` in it, for fixtures."""

    async def make() -> TestChannel:
        made = await make_channel(tmp_path, keys)
        await publish(made, files)
        return made

    return asyncio.run(make())


def listed(folder: Path) -> Channel:
    """What the channel in a folder lists now."""
    document = decode_channel((folder / layout.CHANNEL).read_bytes())
    pages = [decode_page((folder / page.path).read_bytes(), document=page.path) for page in document.index]
    return assemble(document, pages)


def relist(folder: Path, keys: Keys, channel: Channel) -> None:
    """Signs another channel in its place, as an evil or careless publisher would."""
    Documents(folder, keys).put_channel(channel, keys.alice)


def noise(length: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(length)


def port_of(client: Client) -> Address:
    """Where a client on this machine can be dialled."""
    return Address("127.0.0.1", client.session.listen_port)
