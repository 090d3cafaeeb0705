"""Keeps a whole channel shared: every release that it lists, and every new one as it appears.

The files stand below a store folder as a channel's folder has them, ``files/NAME-VERSION/...``, so a channel's own
folder can be the store.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.clock import Clock, SystemClock
from ossdist.errors import OssdistError
from ossdist.release import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ossdist.client import Client, Seeding
    from ossdist.events import OnEvent, TransferEvent
    from ossdist.release.model import ReleaseEntry

log = logging.getLogger(__name__)


def _ignore(_: TransferEvent) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SeederStatus:
    """How sharing goes.

    Attributes:
        ready: Everything that the channel listed at the last look is shared.
        port: Where peers may connect.
        releases: How many releases are shared.
        peers: Connected peers, all torrents together.
        upload_bytes: Payload sent, all torrents together.
        problems: Why something is not shared, by release, or by ``channel`` if that cannot be read.
    """

    ready: bool
    port: int
    releases: int
    peers: int
    upload_bytes: int
    problems: Mapping[str, str] = field(default_factory=dict[str, str])


class Seeder:
    """Shares what a channel lists.

    Args:
        client: Which channel, and how.
        store: The folder of the files; what is missing there is downloaded.
        only: Share the releases of this name alone.
        clock: Time; the machine's by default.
        on_event: Is told how downloads go.
    """

    def __init__(
        self,
        client: Client,
        store: Path,
        *,
        only: str | None = None,
        clock: Clock | None = None,
        on_event: OnEvent = _ignore,
    ) -> None:
        self._client = client
        self._store = store
        self._only = only
        self._clock = clock or SystemClock()
        self._on_event = on_event
        self._shared: dict[tuple[str, str], Seeding] = {}
        self._problems: dict[str, str] = {}
        self._ready = False

    async def run(self, *, interval_s: float, on_status: Callable[[SeederStatus], None]) -> None:
        """Looks at the channel every interval and shares what is new, until it is cancelled.

        Args:
            interval_s: The time between two looks.
            on_status: Called about once an interval, also while something is being downloaded.

        Raises:
            OssdistError: The channel cannot be read or believed at the first look. Later that is a problem in the
                status, and what is shared stays so.
        """
        await self._client.catalog.channel()
        look: asyncio.Task[None] | None = None
        pause: asyncio.Task[None] | None = None
        try:
            while True:
                pause = asyncio.create_task(self._clock.sleep(interval_s))
                look = look or asyncio.create_task(self.look())
                await asyncio.wait({look, pause}, return_when=asyncio.FIRST_COMPLETED)
                if look.done():
                    look.result()
                    look = None
                on_status(await self.status())
                await pause
        finally:
            started = [task for task in (look, pause) if task is not None]
            for task in started:
                task.cancel()
            await asyncio.gather(*started, return_exceptions=True)

    async def look(self) -> None:
        """Reads the channel once and shares what it lists; what goes wrong stands in the status."""
        try:
            trusted = await self._client.catalog.channel()
        except OssdistError as error:
            self._note_problem("channel", error)
            return
        self._problems.pop("channel", None)
        entries = [entry for entry in trusted.channel.releases if self._only in {None, entry.name}]
        missing = [entry for entry in entries if (entry.name, entry.version) not in self._shared]
        if missing:
            self._ready = False
        for entry in missing:
            await self._share(entry)
        self._ready = all((entry.name, entry.version) in self._shared for entry in entries)

    async def status(self) -> SeederStatus:
        """How it goes now."""
        torrents = [torrent for seeding in self._shared.values() for torrent in seeding.torrents.values()]
        found = await asyncio.gather(*(torrent.status() for torrent in torrents))
        return SeederStatus(
            ready=self._ready,
            port=self._client.session.listen_port,
            releases=len(self._shared),
            peers=sum(status.peers for status in found),
            upload_bytes=sum(status.payload_upload for status in found),
            problems=dict(self._problems),
        )

    async def _share(self, entry: ReleaseEntry) -> None:
        folder = self._store / "files" / layout.folder_name(entry.name, entry.version)
        title = f"{entry.name} {entry.version}"
        try:
            seeding = await self._client.seed(entry.name, version=entry.version, folder=folder, on_event=self._on_event)
        except OssdistError as error:
            self._note_problem(title, error)
            return
        self._shared[entry.name, entry.version] = seeding
        self._problems.pop(title, None)

    def _note_problem(self, what: str, error: OssdistError) -> None:
        log.warning("%s is not shared: %s", what, error)
        self._problems[what] = str(error)
