"""The client's verbs for callers without an event loop: each runs one to its end.

A call opens a client, does one thing and closes it again; sharing ends with it. To keep sharing, use
`ossdist.client.Client` on an event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ossdist.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ossdist.config import ClientConfig
    from ossdist.events import OnEvent
    from ossdist.publisher import Published, Publisher, ReleaseSpec
    from ossdist.release.report import DownloadReport
    from ossdist.release.trust import TrustedRelease
    from ossdist.transfer.metainfo import Address


def resolve(
    channel: str | Path,
    name: str,
    *,
    root: Path | bytes,
    version: str | None = None,
    config: ClientConfig | None = None,
) -> TrustedRelease:
    """See `Client.resolve`."""

    async def run() -> TrustedRelease:
        async with Client(channel, root=root, config=config) as client:
            return await client.catalog.resolve(name, version)

    return asyncio.run(run())


def download(
    channel: str | Path,
    name: str,
    *,
    root: Path | bytes,
    to: Path,
    version: str | None = None,
    peers: Sequence[Address] = (),
    config: ClientConfig | None = None,
    on_event: OnEvent | None = None,
) -> DownloadReport:
    """See `Client.download`."""

    async def run() -> DownloadReport:
        async with Client(channel, root=root, config=config) as client:
            return await client.download(
                name, version=version, to=to, peers=peers, share=False, on_event=on_event or (lambda _: None)
            )

    return asyncio.run(run())


def publish(
    publisher: Publisher, spec: ReleaseSpec, *, on_progress: Callable[[float], None] | None = None
) -> Published:
    """See `Publisher.publish`."""
    return asyncio.run(publisher.publish(spec, on_progress=on_progress))
