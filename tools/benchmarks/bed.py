"""What the transfer benchmarks share: a channel with one large release, its seed, and a party that is measured."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ossdist.publisher import Publisher, ReleaseSpec
from ossdist.release import layout
from ossdist.release.model import Mirror
from ossdist.release.signing import GpgSigner, stop_agent
from ossdist.transfer.metainfo import Address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tools.benchmarks.report import Row

ROOT = Path(__file__).parents[2]
NAME, VERSION, FILE = "payload", "1", "payload.bin"
DEADLINE_S = 600.0
_CHUNK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Bed:
    """A channel with one release.

    Attributes:
        folder: Everything's.
        size: Bytes of the release's one file.
        info_hashes: SHA-1 ones of both torrents, and the hybrid's shortened SHA-256.
    """

    folder: Path
    size: int
    info_hashes: tuple[str, ...] = ()

    @property
    def channel(self) -> Path:
        """The channel's folder."""
        return self.folder / "channel"

    @property
    def root(self) -> Path:
        """Its root of trust."""
        return self.channel / layout.ROOT

    @property
    def payload(self) -> Path:
        """The folder of the release's file."""
        return self.channel / "files" / layout.folder_name(NAME, VERSION)

    def torrent(self, *, v1: bool) -> Path:
        """One of the release's torrents."""
        return self.channel / layout.torrent_path(NAME, VERSION, v1=v1)

    def fresh(self, party: str) -> Path:
        """An empty folder for a download."""
        folder = self.folder / "downloads" / party
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


async def make_bed(folder: Path, size: int, *, trackers: tuple[str, ...] = (), mirrors: tuple[str, ...] = ()) -> Bed:
    """Publishes one file of ``size`` random bytes."""
    home = folder / "gpg"
    home.mkdir(mode=0o700)
    source = folder / FILE
    with source.open("wb") as stream:
        left = size
        while left:
            left -= stream.write(os.urandom(min(_CHUNK_BYTES, left)))
    try:
        signer = GpgSigner(home)
        key = await asyncio.to_thread(signer.create_key, "Benchmark <benchmark@example.org>")
        bed = Bed(folder, size)
        publisher = Publisher(bed.channel, signer=signer, keys=[key])
        await publisher.create()
        copies = tuple(Mirror(url=url) for url in mirrors)
        spec = ReleaseSpec(name=NAME, version=VERSION, files={FILE: source}, trackers=trackers, mirrors=copies)
        release = (await publisher.publish(spec)).release
    finally:
        await asyncio.to_thread(stop_agent, home)
    source.unlink()
    hashes = (release.hybrid.info_hash_v1, release.hybrid.info_hash_v2[:40], release.v1.info_hash_v1)
    return replace(bed, info_hashes=hashes)


@dataclass(frozen=True, slots=True)
class Seed:
    """A running seed of both torrents, by libtorrent alone, the same for every party.

    Attributes:
        port: Where it listens.
        process: It.
    """

    port: int
    process: asyncio.subprocess.Process

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address("127.0.0.1", self.port)

    def dial(self, port: int) -> None:
        """Lets it connect to a peer that cannot be told where the seed is."""
        assert self.process.stdin is not None  # noqa: S101 - it was started with a pipe
        self.process.stdin.write(f"{port}\n".encode())


@asynccontextmanager
async def seeding(bed: Bed) -> AsyncGenerator[Seed]:
    """Runs the seed."""
    torrents = [str(bed.torrent(v1=v1)) for v1 in (False, True)]
    process = await _start("seed", "--save-path", str(bed.payload), *torrents)
    try:
        yield Seed(port=int((await _answer(process))["port"]), process=process)
    finally:
        process.terminate()
        await process.wait()


async def measure(command: str, *arguments: str) -> Row:
    """Runs one party of `tools.benchmarks.worker` to its end, and gives what it measured of itself."""
    process = await _start(command, *arguments)
    try:
        row = await _answer(process)
        if await process.wait() != 0:
            raise SystemExit(f"{command} failed")
        return row
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _start(command: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.benchmarks.worker",
        command,
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def _answer(process: asyncio.subprocess.Process) -> Row:
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    async with asyncio.timeout(DEADLINE_S):
        line = await process.stdout.readline()
    if not line:
        raise SystemExit("a measured process ended without an answer")
    return json.loads(line)
