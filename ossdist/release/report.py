"""What was checked of a file, and what came of each check."""

from __future__ import annotations

from enum import Enum

import msgspec


class Outcome(Enum):
    """What came of a check."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        name: Which.
        outcome: What came of it.
        detail: The value, the difference, or why it was skipped.
        required: A file passes only if every required check does; a skip is no pass.
    """

    name: str
    outcome: Outcome
    detail: str
    required: bool = True


class VerificationReport(msgspec.Struct, frozen=True):
    """Every check of one file.

    Attributes:
        file: Its path.
        checks: In the order in which they were made.
    """

    file: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Every required check was made and passed, and there was at least one."""
        required = [check for check in self.checks if check.required]
        return (
            bool(required)
            and all(check.outcome is Outcome.PASS for check in required)
            and all(check.outcome is not Outcome.FAIL for check in self.checks)
        )


def encode_report(report: VerificationReport) -> bytes:
    """A report as indented JSON with its verdict, the same bytes for the same report: to be kept, or signed."""
    value = {"verdict": "pass" if report.passed else "fail", **msgspec.structs.asdict(report)}
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


class BytesFrom(msgspec.Struct, frozen=True):
    """Where a file's bytes came from; the sum is its length.

    Attributes:
        swarm: From peers.
        mirror: From HTTP mirrors, or from a folder of the channel on this machine.
        delta: Made from an older version.
        reuse: On disk before the transfer began.
    """

    swarm: int = 0
    mirror: int = 0
    delta: int = 0
    reuse: int = 0


class FileReport(msgspec.Struct, frozen=True):
    """One downloaded file.

    Attributes:
        path: Where it stands now.
        bytes: Its length.
        sha256: Its hash.
        verified: The report below passes.
        bytes_from: Where its bytes came from. A transfer counts bytes for all files together; with several files
            each has its share by length.
        report: Every check.
    """

    path: str
    bytes: int
    sha256: str
    verified: bool
    bytes_from: BytesFrom
    report: VerificationReport


class SourceReport(msgspec.Struct, frozen=True):
    """One source of a download.

    Attributes:
        url: A mirror's address, the path of a channel's folder on this machine, or ``swarm`` for all peers together.
        bytes: How many of the files' bytes are from it, as far as the counters tell; wasted ones are left out.
        failures: How often it failed.
    """

    url: str
    bytes: int
    failures: int = 0


class DownloadReport(msgspec.Struct, frozen=True):
    """A finished download.

    Attributes:
        name: The package.
        version: Its version.
        files: Each file.
        sources: Where bytes came from.
        seconds: How long it took.
        swarm: The swarm in which it was completed, empty if none was needed.
    """

    name: str
    version: str
    files: tuple[FileReport, ...]
    sources: tuple[SourceReport, ...]
    seconds: float
    swarm: str


def share_bytes(total: BytesFrom, lengths: tuple[int, ...]) -> tuple[BytesFrom, ...]:
    """Shares a transfer's bytes out over its files by length; each file's sum is its length.

    Args:
        total: Of all files together; its sum is the sum of ``lengths``.
        lengths: Of each file.
    """
    remaining = [total.swarm, total.mirror, total.delta, total.reuse]
    shares: list[BytesFrom] = []
    for length in lengths:
        whole = sum(remaining)
        parts = [amount * length // whole if whole else 0 for amount in remaining]
        missing = length - sum(parts)
        for index, amount in enumerate(remaining):
            extra = min(missing, amount - parts[index])
            parts[index] += extra
            missing -= extra
        remaining = [amount - part for amount, part in zip(remaining, parts, strict=True)]
        shares.append(BytesFrom(*parts))
    return tuple(shares)
