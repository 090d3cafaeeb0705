"""The parts of the quickstart's demonstration: a publisher, seeds, a client, and what they answer."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

import msgspec
from _process import HOST, Child, ServiceError, child
from _script import ROOT, write_line

from ossdist.publisher import Publisher, ReleaseSpec
from ossdist.release import layout, model

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack
    from pathlib import Path

    from _samples import Sample
    from _services import Mirror, Tracker

SEEDS = 2
INTERVAL_S = 0.5


# --- what the scripts answer -----------------------------------------------------------------------------


class BytesFrom(msgspec.Struct, frozen=True):
    swarm: int
    mirror: int
    delta: int
    reuse: int


class File(msgspec.Struct, frozen=True):
    path: str
    bytes: int
    sha256: str
    verified: bool
    bytes_from: BytesFrom


class Fetched(msgspec.Struct, frozen=True):
    """What fetch.py prints. One file a release here."""

    release: dict[str, str]
    files: tuple[File]
    seconds: float


class _SeedStatus(msgspec.Struct, frozen=True):
    """A line of seed.py; the last one has ``ok``."""

    ready: bool
    port: int
    releases: int
    upload_bytes: int
    ok: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What verify.py prints."""

    ok: bool
    checks: list[dict[str, str | bool]]


# --- the demonstration -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Demonstration:
    """Everything that runs.

    Attributes:
        folder: Everything is below it.
        env: Variables of the children.
        out: Where the story goes.
        stack: Ends what was started.
        publisher: Of the channel in ``folder / "channel"``.
        tracker: None if there is none.
        mirror: Serves the channel.
        rate: What each seed and the mirror send, in bytes a second.
        step_s: How long each step may take.
        seeds: By their names.
        ports: Theirs.
    """

    folder: Path
    env: dict[str, str]
    out: TextIO
    stack: AsyncExitStack
    publisher: Publisher
    tracker: Tracker | None
    mirror: Mirror
    rate: int
    step_s: float
    seeds: dict[str, Child] = field(default_factory=dict[str, Child])
    ports: list[int] = field(default_factory=list[int])

    @property
    def channel(self) -> Path:
        return self.folder / "channel"

    def say(self, what: str, line: str) -> None:
        write_line(f"{what:<10}{line}", self.out)

    async def publish(self, sample: Sample) -> model.Release:
        """Publishes one version."""
        spec = ReleaseSpec(
            name=sample.name,
            version=sample.version,
            purl=sample.purl,
            files={sample.file.name: sample.file},
            mirrors=(model.Mirror(url=self.mirror.url),),
            trackers=(self.tracker.url,) if self.tracker is not None else (),
        )
        published = await self.publisher.publish(spec)
        release = published.release
        self.say("published", f"{release.title}: {release.files[0].path}, {release.length:,} bytes")
        return release

    async def start_seeds(self) -> None:
        """One seed shares the publisher's own folder, the other one fetches what it shares."""
        limits = ("--upload-limit", str(self.rate), "--interval", str(INTERVAL_S))
        for name, source, store in (
            ("seed 1", str(self.channel), self.channel),
            ("seed 2", self.mirror.url, self.folder / "seed-2"),
        ):
            argv = ("seed.py", source, "--root", str(self.channel / layout.ROOT), "--store", str(store), *limits)
            argv += ("--state", str(self.folder / "state" / name))
            self.seeds[name] = await self._script(name, *argv, loopback=True)

    async def seeds_share(self, release: model.Release, *, releases: int) -> None:
        """Waits until every seed shares so many releases, and the tracker knows it."""
        self.ports.clear()
        for seed in self.seeds.values():
            status = await self._status(seed, lambda now: now.ready and now.releases >= releases)
            self.ports.append(status.port)
        if self.tracker is not None:
            await self.tracker.knows(release.hybrid.info_hash_v1, seeds=len(self.seeds))

    async def stop_seeds(self) -> dict[str, int]:
        """What each has sent in all."""
        sent: dict[str, int] = {}
        for name, seed in self.seeds.items():
            seed.send(signal.SIGTERM)
            sent[name] = (await self._status(seed, lambda now: now.ok)).upload_bytes
        return sent

    async def _status(self, seed: Child, wanted: Callable[[_SeedStatus], bool]) -> _SeedStatus:
        """The first line of a seed that is as wanted."""
        try:
            async with asyncio.timeout(self.step_s):
                while True:
                    line = _require_ok(seed.name, await seed.json_line(timeout_s=self.step_s))
                    status = msgspec.convert(line, _SeedStatus)
                    if wanted(status):
                        return status
        except TimeoutError:
            raise seed.failure(f"did not get so far within {self.step_s:g} s") from None

    async def fetch(self, release: model.Release) -> Fetched:
        """The client: a process of its own that knows the channel's address and the root of trust."""
        peers = [] if self.tracker is not None else [f"--peer={HOST}:{port}" for port in self.ports]
        where = (self.mirror.url, release.name, "--version", release.version)
        argv = ("--root", str(self.channel / layout.ROOT), "--to", str(self.folder / "client"), *peers)
        argv += ("--state", str(self.folder / "state" / "client"))
        # The mirror's limit is that of a connection, and a client makes several: alone it would win against any seed.
        argv += ("--head-start", "0", "--mirror-limit", str(self.rate))
        answer = await self._answer("fetch.py", *where, *argv, loopback=True)
        fetched = msgspec.convert(answer, Fetched)
        came = fetched.files[0].bytes_from
        verified = "verified" if fetched.files[0].verified else "NOT VERIFIED"
        line = f"{release.title} in {fetched.seconds:.1f} s: swarm {came.swarm:,}, mirror {came.mirror:,} bytes"
        self.say("fetched", f"{line}; {verified}")
        return fetched

    async def verify(self, release: model.Release, file: str) -> Verdict:
        """The report of tools/verify.py on a fetched file."""
        manifest = self.channel / layout.release_path(release.name, release.version)
        documents = ("--root", str(self.channel / layout.ROOT), "--channel", str(self.channel / layout.CHANNEL))
        answer = await self._answer("verify.py", file, "--release", str(manifest), *documents)
        verdict = msgspec.convert(answer, Verdict)
        names = ", ".join(str(check["name"]) for check in verdict.checks if check["outcome"] == "pass")
        self.say("verified", f"{release.title} offline: {names}")
        return verdict

    async def gpg_verify(self) -> int:
        """Asks the stock gpg about every signature of the channel; gives how many it accepts."""
        home = self.folder / "gpg"
        home.mkdir(0o700)
        root = model.decode_root((self.channel / layout.ROOT).read_bytes())
        (home / "keys.asc").write_text("\n".join(root.keys.values()), "ascii")
        await self._gpg(home, "--import", home / "keys.asc")
        signatures = sorted(self.channel.rglob("*.asc"))
        for signature in signatures:
            document = signature.with_name(re.sub(r"\.[0-9A-F]{40}\.asc$", "", signature.name))
            await self._gpg(home, "--verify", signature, document)
        self.say("gpg", f"accepts all {len(signatures)} signatures: root.json, channel.json, release.json")
        return len(signatures)

    async def _gpg(self, home: Path, *args: str | Path) -> None:
        argv = ("gpg", "--homedir", home, "--batch", "--no-autostart", *args)
        async with child("gpg", argv, folder=self.folder, env=self.env) as running:
            if await running.ended(timeout_s=self.step_s) != 0:
                raise running.failure("refuses")

    async def _script(self, name: str, script: str, *args: str, loopback: bool = False) -> Child:
        place = ("--listen", f"{HOST}:0", "--no-dht", "--no-lsd") if loopback else ()
        argv = (sys.executable, ROOT / "tools" / script, *args, *place, "--json")
        running = child(name, argv, folder=self.folder, env=self.env, read_output=True)
        return await self.stack.enter_async_context(running)

    async def _answer(self, script: str, *args: str, loopback: bool = False) -> dict[str, object]:
        """Runs a script to its end and gives the JSON object that it prints."""
        running = await self._script(script, script, *args, loopback=loopback)
        answer = await running.json_line(timeout_s=self.step_s)
        await running.ended(timeout_s=self.step_s)
        return _require_ok(script, answer)


def _require_ok(script: str, answer: dict[str, object]) -> dict[str, object]:
    if "error" in answer:
        raise ServiceError(f"{script}: {answer['error']}: {answer.get('reason')}")
    return answer
