"""Nobody gives us the bytes."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from ossdist.errors.base import OssdistError

if TYPE_CHECKING:
    from collections.abc import Mapping


class SourceError(OssdistError):
    """Nobody gives us the bytes."""


class NotFoundError(SourceError):
    """Something does not exist where we looked.

    Attributes:
        what: What was looked for.
        where: Where.
    """

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} does not exist in {where}. Check the name, the version and the address.")
        self.what = what
        self.where = where


class MirrorFault(Enum):
    """What is wrong with an HTTP source."""

    UNREACHABLE = "unreachable"
    """Its name, address or port: no connection, or one that breaks."""
    TLS = "tls"
    """No TLS connection, or a certificate that is not trusted."""
    SILENT = "silent"
    """It took the connection, and says nothing."""
    SLOW = "slow"
    """Bytes drip."""
    NOT_FOUND = "not found"
    """It does not have the file (404, 410)."""
    REFUSED = "refused"
    """It does not want to give it to us (other 4xx)."""
    BUSY = "busy"
    """Not now (429, 503)."""
    BROKEN = "broken"
    """It failed (other 5xx), or what it says is no HTTP."""
    NO_RANGES = "no ranges"
    """It answers with the whole file when asked for a part."""
    WRONG_RANGE = "wrong range"
    """It gives another part than it was asked for (RFC 9110, section 14.4), or none (416)."""
    WRONG_LENGTH = "wrong length"
    """Its file has another length than the signed one."""
    CUT_SHORT = "cut short"
    """The body ended early."""
    CODED = "coded"
    """The body is compressed or otherwise coded, though nobody asked for that."""
    REDIRECT = "redirect"
    """Too many redirects, or one to where we do not go: from https to http, or to no address."""
    NOT_THE_FILE = "not the file"
    """A page instead of the file, such as a captive portal's."""
    WRONG_DATA = "wrong data"
    """A piece's hash."""


class MirrorError(SourceError):
    """One HTTP source failed.

    Attributes:
        url: The address that was asked.
        reason: What went wrong.
        fault: Its kind.
        retry_after_s: When it wants to be asked again, in seconds from now; None if it did not say.
    """

    def __init__(
        self,
        url: str,
        reason: str,
        *,
        fault: MirrorFault = MirrorFault.UNREACHABLE,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{url}: {reason}. Try again later or use another mirror.")
        self.url = url
        self.reason = reason
        self.fault = fault
        self.retry_after_s = retry_after_s


class TooLargeError(SourceError):
    """An answer is longer than it may be; the rest was not read.

    Attributes:
        url: The address that was asked.
        limit_bytes: The bound.
    """

    def __init__(self, url: str, limit_bytes: int) -> None:
        super().__init__(f"{url}: the answer is longer than the {limit_bytes} bytes allowed. Use another mirror.")
        self.url = url
        self.limit_bytes = limit_bytes


class SourcesExhaustedError(SourceError):
    """No peer and no mirror has given anything for as long as the configuration allows.

    Attributes:
        release: Which release.
        bytes_done: How much was fetched and verified; it stays on disk for the next try.
        bytes_total: How much the release has.
        attempts: What was tried, each with what came of it.
    """

    def __init__(
        self, release: str, *, bytes_done: int, bytes_total: int, waited_s: float, attempts: Mapping[str, str]
    ) -> None:
        tried = "; ".join(f"{source}: {outcome}" for source, outcome in attempts.items()) or (
            "nobody to ask: no tracker and no mirror is named, and no peer was given or found"
        )
        super().__init__(
            f"{release}: sources exhausted, no data for {waited_s:.1f} s at {bytes_done} of {bytes_total} "
            f"bytes ({tried}). What is there is kept: run it again when a seed or mirror is back."
        )
        self.release = release
        self.bytes_done = bytes_done
        self.bytes_total = bytes_total
        self.attempts = dict(attempts)
