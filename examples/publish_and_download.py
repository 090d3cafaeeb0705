"""Publishes a file in a channel's folder, shares it, and downloads it again; everything on this machine."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

from ossdist import Address, Client, ClientConfig, GpgSigner, Publisher, ReleaseSpec, SwarmConfig
from ossdist.release.signing import temporary_signer

LOOPBACK = ClientConfig(
    swarm=SwarmConfig(listen=("127.0.0.1:0",), dht=False, lsd=False, port_mapping=False),
    mirrors_enabled=False,  # the bytes shall come from the peer, not from the channel's folder
)


async def publish(channel: Path, file: Path, signer: GpgSigner, key: str) -> None:
    """Makes a channel with one release in it: a folder that any HTTP server can serve."""
    publisher = Publisher(channel, signer=signer, keys=[key])
    await publisher.create()
    await publisher.publish(ReleaseSpec(name="hello", version="1.0", files={file.name: file}))


async def download(channel: str | Path, root: Path, to: Path, peers: list[Address], config: ClientConfig) -> None:
    """Downloads the newest release: from peers, mirrors, or both at once."""
    async with Client(channel, root=root, config=config) as client:
        report = await client.download("hello", to=to, peers=peers)
        for file in report.files:
            print(file.path, "verified" if file.verified else "refused", file.bytes_from)


async def main(folder: Path) -> None:
    """Plays the publisher, a seed and a user below ``folder``."""
    channel, file = folder / "channel", folder / "hello.bin"
    file.write_bytes(bytes(1_000_000))
    with temporary_signer() as signer:  # your own keys: GpgSigner()
        await publish(channel, file, signer, signer.create_key("Releases <releases@example.org>"))
    root = channel / "root.json"  # the user has it over a way that he trusts, not from the channel
    config = replace(LOOPBACK, state_folder=folder / "state")  # else what was accepted is remembered in your home
    async with Client(channel, root=root, config=config) as seed:
        await seed.seed("hello", folder=channel / "files" / "hello-1.0")
        peer = Address("127.0.0.1", seed.session.listen_port)
        await download(channel, root, folder / "downloads", [peer], config)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(Path(name)))
