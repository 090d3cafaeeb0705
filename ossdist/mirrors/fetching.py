"""What the engine needs of HTTP: parts of files, as streams. The adapter is `ossdist.mirrors.ranges`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFile:
    """A file that mirrors have.

    Attributes:
        path: Its path below a mirror's address.
        sha256: Its signed SHA-256, hexadecimal.
    """

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRequest:
    """A part of a file at a mirror.

    Attributes:
        mirror: The mirror's address, by which its limits go.
        url: The file's address.
        first: The part's first byte.
        length: The part's length, 1 or more.
        total: The file's signed length.
        sha256: The file's signed SHA-256, hexadecimal: a server that announces another one is not read. Empty for any.
        ranged: Ask for the part alone (RFC 9110, section 14); otherwise for the whole file, of which what comes before
            the part is thrown away.
    """

    mirror: str
    url: str
    first: int
    length: int
    total: int
    sha256: str = ""
    ranged: bool = True


class RangeStream(Protocol):
    """One request and its body.

    Attributes:
        connect_s: To a new connection; None if an older one serves, or before there is one.
        first_byte_s: From the request to the head of the answer; None before that.
        received_bytes: What has come of the body; before a part of a whole file comes what is thrown away.
        throttled: It waits because of our own limits.
    """

    connect_s: float | None
    first_byte_s: float | None
    received_bytes: int
    throttled: bool

    async def open(self) -> None:
        """Sends the request, and waits for the head of the answer.

        Raises:
            MirrorError: There is none, or it does not promise what was asked for.
        """
        ...

    async def read_into(self, view: memoryview) -> None:
        """Fills a view with the next bytes.

        Raises:
            MirrorError: They do not come.
        """
        ...

    def stop(self) -> None:
        """Ends it at once: whoever waits for it gets a `MirrorError`."""
        ...

    async def close(self) -> None:
        """Lets go of the connection; another request uses it if the body was read to its end."""
        ...


class RangeFetcher(Protocol):
    """Asks mirrors for parts of files."""

    def request(self, request: RangeRequest) -> RangeStream:
        """A request that is not sent yet."""
        ...

    def limit(self, bytes_per_s: float) -> None:
        """Sets how much all streams together may bring from now on; infinite for no limit."""
        ...
