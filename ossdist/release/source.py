"""Where documents come from, as the client sees it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class DocumentSource(Protocol):
    """A channel's folder: on a disk, or behind an HTTP server. Adapters: `ossdist.mirrors.documents`."""

    @property
    def address(self) -> str:
        """What to call it in messages."""
        ...

    async def fetch(self, path: str, *, limit_bytes: int) -> bytes:
        """Reads one document.

        Args:
            path: Relative to the folder, with ``/``.
            limit_bytes: The most that is read.

        Raises:
            NotFoundError: There is no such document.
            TooLargeError: It is longer than ``limit_bytes``.
            MirrorError: It cannot be had.
        """
        ...

    async def close(self) -> None:
        """Frees connections."""
        ...
