"""The report of a finished download. Pure."""

from __future__ import annotations

from itertools import accumulate
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
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ossdist.release.trust import SignedBy, TrustedRelease
    from ossdist.transfer.run import Transfer


def download_report(
    release: TrustedRelease, to: Path, transfer: Transfer | None, *, upstream: Mapping[str, Check], seconds: float
) -> DownloadReport:
    """What was downloaded, from where, and what was checked.

    Args:
        release: The release.
        to: The folder of its files.
        transfer: The transfer that brought them; None if they were there already.
        upstream: What came of the files' upstream signatures, by their paths in the release.
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
                *trust_checks(release),
                Check("length", Outcome.PASS, f"{file.length} bytes"),
                *_pieces_checks(transfer),
                Check("sha256", Outcome.PASS, file.sha256)
                if hashed
                else Check("sha256", Outcome.SKIPPED, "turned off by the configuration"),
                upstream[file.path],
                Check("delta", Outcome.SKIPPED, "the file was brought in full", required=False),
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
        sources=_sources(total, transfer),
        seconds=seconds,
        swarm=transfer.swarm.value if transfer is not None else "",
    )


def trust_checks(release: TrustedRelease) -> tuple[Check, ...]:
    """What was decided before a byte of the payload came: root, channel and release signature."""
    root, listing = release.root, release.listing
    if listing is None:
        reason = "no channel was asked: whether it is the newest, or was withdrawn, is not known"
        channel = Check("channel", Outcome.SKIPPED, reason, required=False)
    else:
        detail = f"channel {listing.serial} lists it, valid until {listing.expires}; {_signers(listing.signed_by)}"
        channel = Check("channel", Outcome.PASS, detail)
    return (
        Check("root", Outcome.PASS, f"root {root.serial} of channel {root.channel}, valid until {root.expires}"),
        channel,
        signature_check("release signature", release.signed_by),
    )


def signature_check(name: str, signed_by: SignedBy) -> Check:
    """A document's signatures as a check that passed."""
    return Check(name, Outcome.PASS, _signers(signed_by))


def _signers(signed_by: SignedBy) -> str:
    keys = ", ".join(signed_by.keys)
    return f"role {signed_by.role}, {signed_by.threshold} needed, signed by {keys}"


def _bytes_from(length: int, transfer: Transfer | None) -> BytesFrom:
    """Where all files' bytes came from; what was copied from a folder of the channel counts as a mirror's."""
    if transfer is None:
        return BytesFrom(reuse=length)
    # Sources' counters include wasted bytes, and miss what came just before a connection's end. So they are bounded by
    # what was missing, and the rest goes to the swarm, unless no peer gave anything.
    copied, reuse = _from_disk(length, transfer)
    missing = length - copied - reuse
    mirrors = sum(transfer.bytes_from_mirrors.values())
    mirror = min(missing, mirrors) if transfer.tally.total(PeerKind.PEER) else missing
    return BytesFrom(swarm=missing - mirror, mirror=mirror + copied, reuse=reuse)


def _from_disk(length: int, transfer: Transfer) -> tuple[int, int]:
    """What was copied from folders of the channel, as far as it was right, and what was here before."""
    there = min(length, transfer.reused_bytes)
    copied = min(there, sum(transfer.job.copied.values()))
    return copied, there - copied


def _sources(total: BytesFrom, transfer: Transfer | None) -> tuple[SourceReport, ...]:
    """Each source's part of the files; together they are all that was not here before."""
    if transfer is None:
        return ()
    length = total.swarm + total.mirror + total.reuse
    copied, _ = _from_disk(length, transfer)
    by_url, failures = transfer.bytes_from_mirrors, transfer.mirror_failures
    urls = list(by_url)
    counts = list(by_url.values()) if any(by_url.values()) else [int(not failures[url]) for url in urls]
    return (
        SourceReport("swarm", total.swarm),
        *(
            SourceReport(url, part, failures[url])
            for url, part in zip(urls, _split(total.mirror - copied, counts), strict=True)
        ),
        *(
            SourceReport(str(folder), part)
            for folder, part in zip(
                transfer.job.copied, _split(copied, list(transfer.job.copied.values())), strict=True
            )
        ),
    )


def _split(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of ``total`` in proportion to weights, or equal ones where there are none."""
    weights = weights if any(weights) else [1] * len(weights)
    ends = [total * end // sum(weights) for end in accumulate(weights)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _pieces_checks(transfer: Transfer | None) -> tuple[Check, Check]:
    """The session takes no piece that is not the torrent's; so all that came were, by each of its kinds of hashes."""
    if transfer is None:
        there = "the file was there already; its whole hash decides"
        return _no_pieces("v1", there), _no_pieces("v2", there)
    detail = f"{transfer.metainfo.num_pieces} pieces"
    v1 = Check("pieces v1", Outcome.PASS, f"{detail}, SHA-1")
    if transfer.metainfo.info_hashes.v2 is None:
        return v1, _no_pieces("v2", "it was completed in the v1 swarm")
    if not transfer.checks_v2:
        return v1, _no_pieces("v2", "mirrors alone brought them: SHA-1 checked each, SHA-256 the whole file")
    return v1, Check("pieces v2", Outcome.PASS, f"{detail}, SHA-256")


def _no_pieces(kind: str, reason: str) -> Check:
    return Check(f"pieces {kind}", Outcome.SKIPPED, reason, required=False)


def _provenance(share: BytesFrom) -> str:
    return f"swarm {share.swarm}, mirror {share.mirror}, delta {share.delta}, reuse {share.reuse} bytes"
