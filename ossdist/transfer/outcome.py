"""The report of a finished download. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.release.report import (
    BytesFrom,
    Check,
    DownloadReport,
    FileReport,
    Outcome,
    SourceReport,
    VerificationReport,
    share_bytes,
)
from ossdist.transfer.session import PeerKind

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.release.trust import SignedBy, TrustedRelease
    from ossdist.transfer.run import Transfer


def download_report(release: TrustedRelease, to: Path, transfer: Transfer | None, *, seconds: float) -> DownloadReport:
    """What was downloaded, from where, and what was checked.

    Args:
        release: The release.
        to: The folder of its files.
        transfer: The transfer that brought them; None if they were there already.
        seconds: How long it took.
    """
    manifest = release.release
    total = _bytes_from(manifest.length, transfer)
    shares = share_bytes(total, tuple(file.length for file in manifest.files))
    hashed = transfer is None or transfer.config.whole_file_hash
    files: list[FileReport] = []
    for file, share in zip(manifest.files, shares, strict=True):
        report = VerificationReport(
            file=file.path,
            checks=(
                signature_check("release signature", release.signed_by),
                Check("length", Outcome.PASS, f"{file.length} bytes"),
                _pieces_check(transfer),
                Check("sha256", Outcome.PASS, file.sha256)
                if hashed
                else Check("sha256", Outcome.SKIPPED, "turned off by the configuration"),
                Check("provenance", Outcome.PASS, _provenance(share), required=False),
            ),
        )
        files.append(
            FileReport(
                path=str(to / file.path),
                bytes=file.length,
                sha256=file.sha256,
                verified=report.passed,
                bytes_from=share,
                report=report,
            )
        )
    return DownloadReport(
        name=manifest.name,
        version=manifest.version,
        files=tuple(files),
        sources=_sources(transfer),
        seconds=seconds,
        swarm=transfer.swarm.value if transfer is not None else "",
    )


def signature_check(name: str, signed_by: SignedBy) -> Check:
    """A document's signatures as a check that passed."""
    keys = ", ".join(signed_by.keys)
    return Check(name, Outcome.PASS, f"role {signed_by.role}, {signed_by.threshold} needed, signed by {keys}")


def _bytes_from(length: int, transfer: Transfer | None) -> BytesFrom:
    if transfer is None:
        return BytesFrom(reuse=length)
    # Sources' counters include wasted bytes, and miss what came just before a connection's end. So they are bounded by
    # what was missing, and the rest goes to the swarm, unless no peer gave anything.
    reuse = min(length, transfer.reused_bytes)
    missing = length - reuse
    mirror = min(missing, transfer.tally.total(PeerKind.WEB_SEED)) if transfer.tally.total(PeerKind.PEER) else missing
    return BytesFrom(swarm=missing - mirror, mirror=mirror, reuse=reuse)


def _sources(transfer: Transfer | None) -> tuple[SourceReport, ...]:
    if transfer is None:
        return ()
    tally = transfer.tally
    mirrors = {url: tally.by_source.get(url, 0) for url in transfer.job.web_seeds}
    return (
        SourceReport("swarm", tally.total(PeerKind.PEER)),
        *(SourceReport(url, count, transfer.failures.get(url, 0)) for url, count in mirrors.items()),
    )


def _pieces_check(transfer: Transfer | None) -> Check:
    if transfer is None:
        return Check("pieces", Outcome.SKIPPED, "the file was there already; its whole hash decides", required=False)
    kind = "SHA-256 (v2) and SHA-1 (v1)" if transfer.metainfo.info_hashes.v2 else "SHA-1 (v1)"
    return Check("pieces", Outcome.PASS, f"{transfer.metainfo.num_pieces} pieces, {kind}")


def _provenance(share: BytesFrom) -> str:
    return f"swarm {share.swarm}, mirror {share.mirror}, delta {share.delta}, reuse {share.reuse} bytes"
