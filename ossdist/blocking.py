"""The verbs of a publisher and a client for callers without an event loop: each runs one to its end.

A publisher's verbs take a `Publisher`. A client's verbs open a `Client`, do one thing and close it again, so nothing is
shared afterwards; to keep sharing, use `Client.seed` on an event loop. Where a loop runs already, every verb raises
`RuntimeError`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ossdist.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ossdist.catalog import Place
    from ossdist.config import ClientConfig
    from ossdist.events import OnEvent
    from ossdist.metalink.document import Metalink
    from ossdist.mirrors.sites import Site
    from ossdist.publisher import Published, Publisher, ReleaseSpec
    from ossdist.release import model
    from ossdist.release.report import DownloadReport
    from ossdist.release.trust import TrustedRelease
    from ossdist.transfer.metainfo import Address


def resolve(
    channel: Place | Sequence[Place],
    name: str,
    *,
    root: Path | bytes,
    version: str | None = None,
    config: ClientConfig | None = None,
) -> TrustedRelease:
    """Finds a release without downloading it; see `Catalog.resolve`.

    Raises:
        OssdistError: As `Client` and `Catalog.resolve`.
        TypeError: ``root`` is neither a path nor bytes.
    """
    _require_root(root)

    async def run() -> TrustedRelease:
        async with Client(channel, root=root, config=config) as client:
            return await client.catalog.resolve(name, version)

    return asyncio.run(run())


def download(
    channel: Place | Sequence[Place],
    name: str,
    *,
    root: Path | bytes,
    to: Path,
    version: str | None = None,
    peers: Sequence[Address] = (),
    mirrors: Sequence[Site | Metalink] = (),
    config: ClientConfig | None = None,
    on_event: OnEvent | None = None,
) -> DownloadReport:
    """Brings a release's files into a folder, and shares them no longer than that takes; see `Client.download`.

    Raises:
        OssdistError: As `Client` and `Client.download`.
        TypeError: ``root`` is neither a path nor bytes.
    """
    _require_root(root)

    async def run() -> DownloadReport:
        async with Client(channel, root=root, config=config) as client:
            return await client.download(
                name,
                version=version,
                to=to,
                peers=peers,
                mirrors=mirrors,
                share=False,
                on_event=on_event or (lambda _: None),
            )

    return asyncio.run(run())


def create(
    publisher: Publisher,
    name: str = "",
    *,
    roles: model.Roles | None = None,
    root_validity: timedelta = timedelta(days=365),
) -> model.Root:
    """Makes an empty channel and gives its root of trust; see `Publisher.create`.

    Raises:
        OssdistError: As there.
    """
    return asyncio.run(publisher.create(name, roles=roles, root_validity=root_validity))


def rotate(publisher: Publisher, roles: model.Roles, *, validity: timedelta = timedelta(days=365)) -> model.Root:
    """Replaces a channel's root of trust; see `Publisher.rotate`.

    Raises:
        OssdistError: As there.
    """
    return asyncio.run(publisher.rotate(roles, validity=validity))


def withdraw(publisher: Publisher, name: str, version: str, *, reason: str) -> int:
    """Withdraws a release and gives the channel's new serial; see `Publisher.withdraw`.

    Raises:
        OssdistError: As there.
    """
    return asyncio.run(publisher.withdraw(name, version, reason=reason))


def publish(
    publisher: Publisher, spec: ReleaseSpec, *, on_progress: Callable[[float], None] | None = None
) -> Published:
    """Adds a release to a channel; see `Publisher.publish`.

    Raises:
        OssdistError: As there.
    """
    return asyncio.run(publisher.publish(spec, on_progress=on_progress))


def refresh(publisher: Publisher) -> int:
    """Signs a channel anew, so that it does not expire, and gives its new serial; see `Publisher.refresh`.

    Raises:
        OssdistError: As there.
    """
    return asyncio.run(publisher.refresh())


def _require_root(root: object) -> None:
    """Refuses a text: it could be a path or a document, and somebody's trust hangs on which."""
    if not isinstance(root, (Path, bytes)):
        raise TypeError(f"root must be the pathlib.Path of a root.json, or its bytes, not {type(root).__name__}")
