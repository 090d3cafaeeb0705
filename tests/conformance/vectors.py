"""Reads the vectors of torrents/ and does with them what their README asks of a client."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  # msgspec reads the annotations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from ossdist.catalog import Catalog
from ossdist.config import FetchConfig
from ossdist.errors import FileHashError
from ossdist.release import layout, model
from ossdist.release.channel import decode_channel
from ossdist.release.memory import ChannelMemory, TrustMemory, mark
from ossdist.release.report import Outcome
from ossdist.store.trust_file import TrustFile
from ossdist.swarm import load_metainfo
from ossdist.transfer.watch import Swarm
from ossdist.upstream import check_upstream
from ossdist.verification import verify_file

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from ossdist.release.report import VerificationReport
    from ossdist.release.trust import TrustedRelease

TORRENTS = Path(__file__).resolve().parents[2] / "torrents"
NAMES = sorted(path.parent.name for path in TORRENTS.glob("*/expect.json"))


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for."""

    name: str
    version: str | None


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is found."""

    name: str
    version: str


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``expect.json``."""

    kind: Literal["channel", "torrent"]
    title: str
    request: Request | None
    now: datetime
    verdict: Literal["accept", "refuse"]
    error: str | None
    says: str = ""
    why: str
    release: Identity | None = None
    files: dict[str, str] = {}
    signers: dict[model.RoleName, list[str]] = {}


class _Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roots: list[str]
    channel: str | None


@dataclass(frozen=True)
class Accepted:
    """What a client has accepted, as ``expect.json`` says it."""

    release: Identity
    files: Mapping[str, str]
    signers: Mapping[model.RoleName, list[str]]


@dataclass(frozen=True)
class StillClock:
    """A clock that shows one time; its pauses take none."""

    time: datetime

    def now(self) -> datetime:
        return self.time

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(0)


def expectation(name: str) -> Expectation:
    """What a vector expects."""
    return msgspec.json.decode((TORRENTS / name / "expect.json").read_bytes(), type=Expectation)


def last_root(name: str) -> model.Root:
    """The root that a client has when it has followed every rotation of a good vector."""
    numbered = (
        place for folder in ("channel", "memory") for place in (TORRENTS / name / folder).glob(f"*.{layout.ROOT}")
    )
    roots = [model.decode_root(place.read_bytes()) for place in (TORRENTS / name / layout.ROOT, *numbered)]
    return max(roots, key=lambda root: root.serial)


def signed_documents(name: str) -> Generator[tuple[bytes, bytes]]:
    """Each signature of a good vector that counts, with the document."""
    expected = expectation(name)
    folder = TORRENTS / name / "channel"
    assert expected.release is not None
    manifest = layout.release_path(expected.release.name, expected.release.version)
    for role, keys in expected.signers.items():
        if expected.request is None:
            metainfo = load_metainfo((TORRENTS / name / "release.torrent").read_bytes())
            yield from ((metainfo.release or b"", dict(metainfo.signatures)[key]) for key in keys)
        else:
            path = layout.CHANNEL if role == "channel" else manifest
            for key in keys:
                yield (folder / path).read_bytes(), (folder / layout.signature_path(path, key)).read_bytes()


async def judge(name: str, state: Path) -> Accepted:
    """What our client makes of a vector; raises what refuses it."""
    expected = expectation(name)
    folder, clock = TORRENTS / name, StillClock(expected.now)
    _prepare(folder, state)
    places = [] if expected.request is None else [folder / "channel"]
    async with Catalog(
        places, root=folder / "root.json", config=FetchConfig(), clock=clock, state_folder=state
    ) as catalog:
        if expected.request is None:
            torrent = (folder / "release.torrent").read_bytes()
            release, _ = await catalog.accept_torrent(torrent, document="release.torrent")
            return _accepted(release, {})
        channel = await catalog.channel()
        release = await catalog.resolve(expected.request.name, expected.request.version)
        torrents = await catalog.torrents(release)
        assert set(torrents) == set(Swarm)
        root = model.encode(catalog.root)
    for file in release.release.files:
        place = folder / "channel" / layout.file_path(release.release.name, release.release.version, file.path)
        check_upstream(release.release, {file.path: place}, clock=clock)
        report = verify_file(
            place,
            release=folder / "channel" / layout.release_path(release.release.name, release.release.version),
            root=root,
            path=file.path,
            channel=folder / "channel" / layout.CHANNEL,
            clock=clock,
        )
        _require_passed(report, file)
    signers: dict[model.RoleName, list[str]] = {"channel": list(channel.signed_by.keys)}
    return _accepted(release, signers)


def _accepted(release: TrustedRelease, signers: dict[model.RoleName, list[str]]) -> Accepted:
    return Accepted(
        release=Identity(release.release.name, release.release.version),
        files={file.path: file.sha256 for file in release.release.files},
        signers={**signers, "release": list(release.signed_by.keys)},
    )


def _prepare(folder: Path, state: Path) -> None:
    """Remembers what ``memory.json`` says."""
    place = folder / "memory.json"
    if not place.exists():
        return
    memory = msgspec.json.decode(place.read_bytes(), type=_Memory)
    roots = [(folder / path).read_bytes() for path in memory.roots]
    channel = None
    if memory.channel is not None:
        document = (folder / memory.channel / layout.CHANNEL).read_bytes()
        pages = [(folder / memory.channel / page.path).read_bytes() for page in decode_channel(document).index]
        channel = ChannelMemory(document, tuple(pages))
    name = model.decode_root(roots[-1]).channel
    store = TrustFile(state / "channels" / f"{name}.json")
    store.save(TrustMemory(roots[-1], tuple(map(mark, roots)), channel))


def _require_passed(report: VerificationReport, signed: model.File) -> None:
    """As a client does that installs the file: a report is no error, a file that differs is."""
    failed = {check.name: check.detail for check in report.checks if check.outcome is Outcome.FAIL}
    for what, expected in (("length", signed.length), ("sha256", signed.sha256)):
        if what in failed:
            raise FileHashError(signed.path, what=what, expected=expected, actual=failed[what])
    assert report.passed, report
