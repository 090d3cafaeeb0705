"""Keeps a whole channel shared: every release that it lists, and every new one as it appears.

The files stand below a store folder as a channel's folder has them, ``files/NAME-VERSION/...``, so a channel's own
folder can be the store. What the channel does not list any more is not shared any more; its files stay.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.clock import Clock, SystemClock
from ossdist.errors import OssdistError, SwarmError, TargetNotWritableError
from ossdist.release import layout
from ossdist.transfer.session import PeerKind, TorrentState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ossdist.client import Client
    from ossdist.events import OnEvent, TransferEvent
    from ossdist.release.channel import ReleaseEntry
    from ossdist.release.update import TrustedChannel
    from ossdist.sharing import Seeding
    from ossdist.transfer.session import Torrent

_Id = tuple[str, str]
"""A release's name and version."""

_AT_ONCE = 4
"""How many releases are checked or downloaded at once."""

log = logging.getLogger(__name__)


def _ignore(_: TransferEvent) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SeederStatus:
    """How sharing goes.

    Attributes:
        ready: Everything that the channel listed at the last look is shared, and something of the wanted name is
            listed.
        port: Where peers may connect.
        releases: How many releases are shared.
        peers: Connected peers, all torrents together; web seeds are none.
        upload_bytes: Payload sent, all torrents together.
        problems: Why something is not shared, by release, by name if no release of it is listed, or by ``channel``
            if that cannot be read.
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
        self._ours: set[_Id] = set()
        self._tried: set[_Id] = set()
        self._sent: dict[Torrent, int] = {}
        self._sent_before = 0
        self._problems: dict[str, OssdistError] = {}
        self._ready = False

    async def run(self, *, interval_s: float, on_status: Callable[[SeederStatus], None]) -> None:
        """Looks at the channel every interval and shares what is new, until it is cancelled.

        Args:
            interval_s: The time between two looks.
            on_status: Called about once an interval, also while something is being downloaded.

        Raises:
            OssdistError: The channel cannot be read or believed at the first look. Later that is a problem in the
                status, and what is shared stays so.
            TargetNotWritableError: Something is missing in the store, and it cannot be written to.
        """
        trusted = await self._client.catalog.channel()
        await asyncio.to_thread(self._require_place, self._wanted(trusted.channel.releases))
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
        wanted = self._wanted(trusted.channel.releases)
        if self._only is not None:
            try:
                trusted.entry(self._only, None)
            except OssdistError as error:
                self._note_problem(self._only, error)
            else:
                self._problems.pop(self._only, None)
        await self._drop_all_but({_id(entry) for entry in wanted})
        await self._drop_damaged()
        shared = self._shared()
        missing = [entry for entry in wanted if _id(entry) not in shared]
        for entry in wanted:
            if _id(entry) in shared:
                self._problems.pop(entry.title, None)
        if missing or (self._only is not None and not wanted):
            self._ready = False
        # A few at a time, so that one without sources does not hold up the others.
        places = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._share(entry, trusted, places) for entry in missing))
        shared = self._shared()
        self._ready = all(_id(entry) in shared for entry in wanted) and (bool(wanted) or self._only is None)

    async def status(self) -> SeederStatus:
        """How it goes now."""
        shared = self._shared()
        torrents = [torrent for seeding in shared.values() for torrent in seeding.torrents.values()]
        peers = await asyncio.gather(*map(self._peers_of, torrents))
        return SeederStatus(
            ready=self._ready,
            port=self._client.session.listen_port,
            releases=len(shared),
            peers=sum(peers),
            upload_bytes=self._sent_before + sum(self._sent.values()),
            problems={what: str(error) for what, error in self._problems.items()},
        )

    def _wanted(self, entries: Sequence[ReleaseEntry]) -> list[ReleaseEntry]:
        return [entry for entry in entries if self._only in {None, entry.name} and entry.withdrawn is None]

    def _shared(self) -> dict[_Id, Seeding]:
        """What the client shares now: it alone knows, since it may be used for other downloads meanwhile."""
        found = [(seeding.release.release, seeding) for seeding in self._client.seeding]
        return {
            (release.name, release.version): seeding for release, seeding in found if self._only in {None, release.name}
        }

    async def _peers_of(self, torrent: Torrent) -> int:
        """How many peers a torrent has; notes what it has sent on the way."""
        try:
            self._sent[torrent] = (await torrent.status()).payload_upload
            return sum(peer.kind is PeerKind.PEER for peer in await torrent.peers())
        except SwarmError:  # it was left in the meantime
            return 0

    def _require_place(self, wanted: Sequence[ReleaseEntry]) -> None:
        """Refuses a store that cannot be written to, unless nothing has to be."""
        if all(self._folder(entry).is_dir() for entry in wanted):
            return
        try:
            self._store.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._store):
                pass
        except OSError as error:
            raise TargetNotWritableError(self._store, error.strerror or str(error)) from error

    async def _drop_all_but(self, listed: set[_Id]) -> None:
        """Stops sharing what was shared here and is not listed any more."""
        gone = self._ours - listed
        for one, seeding in self._shared().items():
            if one in gone:
                await self._stop_sharing(seeding)
        self._ours -= gone
        for name, version in self._tried - listed:
            self._problems.pop(f"{name} {version}", None)
        self._tried &= listed

    async def _drop_damaged(self) -> None:
        """Stops sharing what was altered, or what libtorrent cannot read; it is checked and shared anew then."""
        for one, seeding in self._shared().items():
            if one in self._ours and await self._is_damaged(seeding):
                log.warning(
                    "%s: its files in %s were altered or are gone", seeding.release.release.title, seeding.folder
                )
                await self._stop_sharing(seeding)

    async def _stop_sharing(self, seeding: Seeding) -> None:
        torrents = tuple(seeding.torrents.values())
        await asyncio.gather(*map(self._peers_of, torrents))  # the last count
        await self._client.stop_sharing(seeding.release)
        if not seeding.torrents:  # releases of the same bytes share them
            self._sent_before += sum(self._sent.pop(torrent, 0) for torrent in torrents)

    async def _is_damaged(self, seeding: Seeding) -> bool:
        if await asyncio.to_thread(seeding.is_altered):
            return True
        return any(await asyncio.gather(*map(self._has_failed, seeding.torrents.values())))

    async def _has_failed(self, torrent: Torrent) -> bool:
        """Whether libtorrent met with a bad read or a piece that is wrong; only a torrent added as a seed tells."""
        try:
            status = await torrent.status()
        except SwarmError:  # it was left in the meantime
            return False
        return bool(status.error) or status.state is TorrentState.DOWNLOADING

    async def _share(self, entry: ReleaseEntry, channel: TrustedChannel, places: asyncio.Semaphore) -> None:
        title = entry.title
        self._tried.add(_id(entry))
        try:
            async with places:
                await self._client.seed(
                    entry.name,
                    version=entry.version,
                    folder=self._folder(entry),
                    channel=channel,
                    on_event=self._on_event,
                )
        except OssdistError as error:
            self._note_problem(title, error)
            return
        self._ours.add(_id(entry))
        self._problems.pop(title, None)

    def _folder(self, entry: ReleaseEntry) -> Path:
        return self._store / "files" / layout.folder_name(entry.name, entry.version)

    def _note_problem(self, what: str, error: OssdistError) -> None:
        before = self._problems.get(what)
        # Tried again and again, the same failure differs in how long it took and how far it came.
        if before is None or type(before) is not type(error):
            log.warning("%s is not shared: %s", what, error)
        self._problems[what] = error


def _id(entry: ReleaseEntry) -> _Id:
    return entry.name, entry.version
