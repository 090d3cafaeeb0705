"""The report of a finished download."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from ossdist.config import SwarmConfig, TransferConfig
from ossdist.release.model import File, HybridTorrent, Release, V1Torrent
from ossdist.release.report import BytesFrom, Outcome, SourceReport
from ossdist.release.trust import Listing, SignedBy, TrustedRelease
from ossdist.sim import LoopClock, MemoryNetwork, MemorySession, run_virtual
from ossdist.transfer.job import TransferJob
from ossdist.transfer.metainfo import Address, InfoHashes, Metainfo
from ossdist.transfer.outcome import download_report
from ossdist.transfer.run import Transfer
from ossdist.transfer.session import PeerKind
from ossdist.transfer.watch import Swarm
from ossdist.upstream import not_signed
from tests.releases import root_of

if TYPE_CHECKING:
    from ossdist.events import TransferEvent

TO, FOLDER = Path("/to"), Path("/channel")
MIRROR, OTHER_MIRROR = "http://mirror.example/", "http://other.example/"
PEER = str(Address("192.0.2.1", 6881))
RELEASE = TrustedRelease(
    release=Release(
        channel="main",
        name="tool",
        version="1.0",
        purl="pkg:generic/tool@1.0",
        issued=datetime(2026, 1, 1, tzinfo=UTC),
        files=(File(path="a", length=300, sha256="aa" * 32), File(path="b/c", length=700, sha256="bb" * 32)),
        hybrid=HybridTorrent(info_hash_v1="11" * 20, info_hash_v2="22" * 32, piece_length=16384),
        v1=V1Torrent(info_hash_v1="33" * 20, piece_length=16384),
    ),
    document=b"{}",
    signed_by=SignedBy("release", 1, ("AB" * 20,)),
    root=root_of("AB" * 20),
    listing=Listing(7, datetime(2026, 2, 1, tzinfo=UTC), SignedBy("channel", 1, ("CD" * 20,))),
)
UPSTREAM = {file.path: not_signed() for file in RELEASE.release.files}


def finished(
    *,
    peer: int = 0,
    mirror: int = 0,
    reused_bytes: int = 0,
    copied: int = 0,
    config: TransferConfig | None = None,
) -> Transfer:
    """A transfer to which these sources gave so much."""

    async def make() -> Transfer:
        network = MemoryNetwork(clock=LoopClock(), rng=Random(1))
        session = await MemorySession.open(SwarmConfig(), network=network)
        hybrid = Metainfo("tool", b"", InfoHashes("11" * 20, "22" * 32), 16384, 1000, ())
        v1 = replace(hybrid, info_hashes=InfoHashes("33" * 20, None))
        job = TransferJob(
            title="tool 1.0",
            torrents={Swarm.HYBRID: hybrid, Swarm.V1: v1},
            save_path=TO,
            web_seeds=(MIRROR, OTHER_MIRROR),
            copied={FOLDER: copied} if copied else {},
        )
        return Transfer(
            session=session,
            job=job,
            config=config or TransferConfig(),
            clock=network.clock,
            on_event=_tell_nobody,
            save_resume=_keep_nothing,
            _initial_bytes=reused_bytes,
        )

    transfer = run_virtual(make())
    for source, kind, count in (
        (PEER, PeerKind.PEER, peer),
        (MIRROR, PeerKind.WEB_SEED, mirror),
    ):
        if count:
            transfer.tally.by_source[source] = count
            transfer.tally.kinds[source] = kind
    return transfer


def _tell_nobody(_: TransferEvent) -> None:
    pass


async def _keep_nothing(_: bytes) -> None:
    pass


def bytes_from(transfer: Transfer | None) -> list[BytesFrom]:
    return [file.bytes_from for file in download_report(RELEASE, TO, transfer, upstream=UPSTREAM, seconds=1).files]


def test_a_download_is_reported_file_by_file() -> None:
    transfer = finished(peer=600, mirror=400)
    transfer.notes.failures[MIRROR] = 2
    report = download_report(RELEASE, TO, transfer, upstream=UPSTREAM, seconds=12.5)
    assert (report.name, report.version, report.seconds, report.swarm) == ("tool", "1.0", 12.5, "hybrid")
    assert [(file.path, file.bytes, file.sha256) for file in report.files] == [
        ("/to/a", 300, "aa" * 32),
        ("/to/b/c", 700, "bb" * 32),
    ]
    assert all(file.verified and file.report.passed for file in report.files)
    assert bytes_from(transfer) == [BytesFrom(swarm=180, mirror=120), BytesFrom(swarm=420, mirror=280)]
    assert report.sources == (
        SourceReport("swarm", 600),
        SourceReport(MIRROR, 400, 2),
        SourceReport(OTHER_MIRROR, 0),
    )
    checks = {check.name: check for check in report.files[0].report.checks}
    passed = {name for name, check in checks.items() if check.outcome is Outcome.PASS}
    assert passed == {
        *("root", "channel", "release signature", "length", "pieces v1", "pieces v2", "sha256", "provenance")
    }
    assert set(checks) - passed == {"upstream signature", "delta"}
    assert checks["root"].detail == "root 1 of channel main, valid until 2026-01-02 00:00:00+00:00"
    assert "channel 7 lists it, valid until 2026-02-01" in checks["channel"].detail
    assert "CD" * 20 in checks["channel"].detail
    assert "AB" * 20 in checks["release signature"].detail
    assert checks["provenance"].detail == "swarm 180, mirror 120, delta 0, reuse 0 bytes"


def test_what_was_copied_from_a_folder_is_from_that_mirror() -> None:
    transfer = finished(mirror=100, reused_bytes=900, copied=700)
    report = download_report(RELEASE, TO, transfer, upstream=UPSTREAM, seconds=1)
    assert sum(file.bytes_from.mirror for file in report.files) == 800
    assert sum(file.bytes_from.reuse for file in report.files) == 200
    assert report.sources == (
        SourceReport("swarm", 0),
        SourceReport(MIRROR, 100),
        SourceReport(OTHER_MIRROR, 0),
        SourceReport(str(FOLDER), 700),
    )


def test_no_more_was_copied_from_a_folder_than_was_right() -> None:
    report = download_report(
        RELEASE, TO, finished(peer=400, reused_bytes=600, copied=1000), upstream=UPSTREAM, seconds=1
    )
    assert [source.bytes for source in report.sources] == [400, 0, 0, 600]


def test_what_nobody_saw_comes_from_a_mirror_that_did_not_fail() -> None:
    transfer = finished()
    transfer.notes.failures[MIRROR] = 1
    report = download_report(RELEASE, TO, transfer, upstream=UPSTREAM, seconds=1)
    assert [source.bytes for source in report.sources] == [0, 0, 1000]


def test_what_was_there_already_needs_no_source() -> None:
    report = download_report(RELEASE, TO, None, upstream=UPSTREAM, seconds=0.1)
    assert bytes_from(None) == [BytesFrom(reuse=300), BytesFrom(reuse=700)]
    assert (report.sources, report.swarm) == ((), "")
    assert all(file.verified for file in report.files)
    pieces = [check for check in report.files[0].report.checks if check.name.startswith("pieces")]
    assert [check.outcome for check in pieces] == [Outcome.SKIPPED, Outcome.SKIPPED]


def test_the_v1_swarms_pieces_are_named_as_such() -> None:
    transfer = finished(peer=1000)
    transfer.swarm = Swarm.V1
    report = download_report(RELEASE, TO, transfer, upstream=UPSTREAM, seconds=1)
    assert report.swarm == "v1"
    v1, v2 = [check for check in report.files[0].report.checks if check.name.startswith("pieces")]
    assert (v1.outcome, v1.detail) == (Outcome.PASS, "1 pieces, SHA-1")
    assert (v2.outcome, v2.required) == (Outcome.SKIPPED, False)


def test_without_a_channel_the_report_says_that_nobody_asked() -> None:
    alone = replace(RELEASE, listing=None)
    report = download_report(alone, TO, finished(peer=1000), upstream=UPSTREAM, seconds=1)
    (channel,) = [check for check in report.files[0].report.checks if check.name == "channel"]
    assert channel.outcome is Outcome.SKIPPED
    assert "no channel was asked" in channel.detail
    assert report.files[0].verified


def test_a_file_whose_hash_was_not_asked_for_does_not_pass() -> None:
    transfer = finished(peer=1000, config=TransferConfig(whole_file_hash=False))
    assert not any(file.verified for file in download_report(RELEASE, TO, transfer, upstream=UPSTREAM, seconds=1).files)


@pytest.mark.parametrize(
    ("counted", "reported"),
    [
        (BytesFrom(swarm=1000), BytesFrom(swarm=1000)),
        (BytesFrom(mirror=1000), BytesFrom(mirror=1000)),
        (BytesFrom(swarm=5000, mirror=300), BytesFrom(swarm=700, mirror=300)),  # peers sent wrong pieces as well
        (BytesFrom(swarm=10, mirror=9000), BytesFrom(mirror=1000)),
        (BytesFrom(mirror=900), BytesFrom(mirror=1000)),  # the last of it was not seen, but there was nobody else
        (BytesFrom(swarm=300, mirror=100, reuse=500), BytesFrom(swarm=400, mirror=100, reuse=500)),
        (BytesFrom(reuse=9999), BytesFrom(reuse=1000)),
    ],
)
def test_shares_fit_the_length_whatever_was_counted(counted: BytesFrom, reported: BytesFrom) -> None:
    shares = bytes_from(finished(peer=counted.swarm, mirror=counted.mirror, reused_bytes=counted.reuse))
    assert sum(share.swarm for share in shares) == reported.swarm
    assert sum(share.mirror for share in shares) == reported.mirror
    assert sum(share.reuse for share in shares) == reported.reuse
    assert [share.swarm + share.mirror + share.delta + share.reuse for share in shares] == [300, 700]
    sources = download_report(
        RELEASE,
        TO,
        finished(peer=counted.swarm, mirror=counted.mirror, reused_bytes=counted.reuse),
        upstream=UPSTREAM,
        seconds=1,
    ).sources
    assert sum(source.bytes for source in sources) == 1000 - reported.reuse
