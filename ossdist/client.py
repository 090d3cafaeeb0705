"""The client: finds a release, transfers it, checks it, puts it in place, and keeps sharing it.

Read `Client.download` from top to bottom; each step of it is one call.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

from ossdist import events
from ossdist.catalog import Catalog
from ossdist.clock import Clock, SystemClock
from ossdist.config import ClientConfig
from ossdist.delivery import Delivery, leaving_on_failure
from ossdist.errors import SwarmError
from ossdist.health.dialling import Dialling
from ossdist.metalink.document import Metalink
from ossdist.metalink.release import sites_of
from ossdist.metrics import MOST_RELEASES, Metrics, mirror_records, running_transfer, shared_releases
from ossdist.payload_mirrors import PayloadMirrors
from ossdist.rates.keeper import RateKeeper
from ossdist.sharing import Seeding, Sharing, key_of
from ossdist.store.disk_session import DiskSession
from ossdist.store.files import read_file
from ossdist.store.network_file import NetworkFile
from ossdist.store.reuse import sweep
from ossdist.store.usage_file import UsageFile
from ossdist.store.workspace import Workspace
from ossdist.swarm import LibtorrentSession
from ossdist.swarm.metainfo import MAX_TORRENT_BYTES
from ossdist.tasks import run_to_end
from ossdist.transfer.outcome import download_report
from ossdist.transfer.watch import Swarm

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
    from pathlib import Path
    from types import TracebackType

    from ossdist.catalog import Place
    from ossdist.config import SwarmConfig
    from ossdist.events import OnEvent
    from ossdist.mirrors.feed import MirrorFeed
    from ossdist.mirrors.sites import Site
    from ossdist.release import model
    from ossdist.release.report import Check, DownloadReport
    from ossdist.release.trust import TrustedRelease
    from ossdist.release.update import TrustedChannel
    from ossdist.transfer.metainfo import Address, Metainfo
    from ossdist.transfer.run import Transfer
    from ossdist.transfer.session import Session

    OpenSession = Callable[[SwarmConfig], Awaitable[Session]]


def _ignore(_: events.TransferEvent) -> None:
    pass


class Client:
    """One party to a channel: downloads its releases and shares them. An asynchronous context manager.

    Args:
        channel: The channel's address (http, https) or folder; or several copies of it, the preferred one first; or
            none, for `add_torrent` alone.
        root: The root of trust, a ``root.json``: its path or bytes. It comes from the caller, never from the channel.
        config: Everything that can be set.
        clock: Time; the machine's by default.
        open_session: Makes the session; by default libtorrent's, or without peers one that has no network at all.

    Raises:
        FormatError: The root of trust is malformed.
        StorageError: It cannot be read.
        ProgramMissingError: gpg cannot be run.
        SwarmError: The session can listen nowhere.
    """

    def __init__(
        self,
        channel: Place | Sequence[Place] = (),
        *,
        root: Path | bytes,
        config: ClientConfig | None = None,
        clock: Clock | None = None,
        open_session: OpenSession | None = None,
    ) -> None:
        self._config = config or ClientConfig()
        self._clock = clock or SystemClock()
        default = LibtorrentSession.open if self._config.peers_enabled else DiskSession.open
        self._open_session: OpenSession = open_session or default
        self._catalog = Catalog(
            channel,
            root=root,
            config=self._config.fetch,
            clock=self._clock,
            state_folder=self._config.state_folder,
        )
        self._transfers: dict[str, tuple[model.Release, Transfer]] = {}
        self._busy: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._catalog)
            self._mirrors = await stack.enter_async_context(PayloadMirrors(self._config, self._clock))
            self._session: Session = await self._open_session(_swarm_config(self._config))
            stack.push_async_callback(self._session.close)
            self._dialling = Dialling(self._session, NetworkFile(self._config.state_folder))
            await self._dialling.begin()
            self._rates = await stack.enter_async_context(self._keep_rates(self._session))
            self._sharing = Sharing(self._session)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    @property
    def catalog(self) -> Catalog:
        """The channel, for instance to see what it offers."""
        return self._catalog

    @property
    def session(self) -> Session:
        """The BitTorrent session, for instance for its port."""
        return self._session

    @property
    def seeding(self) -> tuple[Seeding, ...]:
        """What is being shared now."""
        return self._sharing.all

    # --- the story -------------------------------------------------------------------------------------

    async def download(
        self,
        name: str,
        *,
        version: str | None = None,
        to: Path,
        peers: Sequence[Address] = (),
        mirrors: Sequence[Site | Metalink] = (),
        share: bool | None = None,
        channel: TrustedChannel | None = None,
        on_event: OnEvent = _ignore,
    ) -> DownloadReport:
        """Brings a release's files into a folder, every byte checked, and keeps sharing them.

        Cancelling it keeps what was fetched; the next call goes on from there.

        Args:
            name: The package.
            version: Its version; the newest if None.
            to: The folder for its files, made if it is missing. A file of the same name is replaced in one step.
            peers: Peers that are known already.
            mirrors: Further mirrors, or Metalinks that name some for this release (`ossdist.metalink`). They are hints:
                what they send is checked like everything else.
            share: Keep sharing afterwards; as the configuration says if None.
            channel: The state of the channel to take it from, as `Catalog.channel` gave it; the present one if None.
            on_event: Is told how it goes.

        Raises:
            TrustError: A document is not signed as the root demands, has expired, or is not the listed one; or a file's
                upstream signature does not hold.
            FormatError: A document or torrent is malformed, or a Metalink describes other files.
            NotFoundError: The channel has no such release.
            SourceError: Nobody gives a document or the payload.
            IntegrityError: A torrent or a whole file is not the signed one.
            StorageError: The disk is full, or the target cannot be written to.
        """
        started_s = self._clock.monotonic_s()
        channel = channel or await self._catalog.channel()
        release = await self._catalog.release(channel, name, version)
        found = release.release
        withdrawn = channel.withdrawn_after(channel.entry(found.name, found.version))
        on_event(events.Resolved(found.name, found.version, found.length, withdrawn))
        torrents = await self._catalog.torrents(release)
        return await self._bring(release, torrents, to, peers, mirrors, share, on_event, started_s=started_s)

    async def add_torrent(
        self,
        torrent: Path | bytes,
        *,
        to: Path,
        peers: Sequence[Address] = (),
        mirrors: Sequence[Site | Metalink] = (),
        share: bool | None = None,
        on_event: OnEvent = _ignore,
    ) -> DownloadReport:
        """Brings the files of a ``.torrent`` that carries its signed release, as `download` does; no channel is asked.

        Whether the release is the newest, or was withdrawn, a torrent cannot tell; the report says that nobody asked.

        Args:
            torrent: The torrent's path or bytes, from anywhere.
            to: The folder for its files, made if it is missing. A file of the same name is replaced in one step.
            peers: Peers that are known already.
            mirrors: Further mirrors, or Metalinks that name some for this release (`ossdist.metalink`). They are hints:
                what they send is checked like everything else.
            share: Keep sharing afterwards; as the configuration says if None.
            on_event: Is told how it goes.

        Raises:
            FormatError: It is no torrent, or carries no release.
            TrustError: The release is not signed as the root demands, the root has expired, or a file's upstream
                signature does not hold.
            IntegrityError: The release signs another torrent, or a whole file is not the signed one.
            SourceError: Nobody gives the payload.
            StorageError: The torrent cannot be read, the disk is full, or the target cannot be written to.
        """
        started_s = self._clock.monotonic_s()
        name = ".torrent" if isinstance(torrent, bytes) else torrent.name
        data = torrent if isinstance(torrent, bytes) else await asyncio.to_thread(_read_torrent, torrent)
        release, metainfo = await self._catalog.accept_torrent(data, document=name)
        on_event(events.Resolved(release.release.name, release.release.version, release.release.length))
        swarm = Swarm.V1 if metainfo.info_hashes.v2 is None else Swarm.HYBRID
        return await self._bring(release, {swarm: metainfo}, to, peers, mirrors, share, on_event, started_s=started_s)

    async def _bring(
        self,
        release: TrustedRelease,
        torrents: dict[Swarm, Metainfo],
        to: Path,
        peers: Sequence[Address],
        mirrors: Sequence[Site | Metalink],
        share: bool | None,  # noqa: FBT001  # passed through
        on_event: OnEvent,
        *,
        started_s: float,
    ) -> DownloadReport:
        """Believed are release and torrents already; the bytes are not."""
        delivery = Delivery(
            session=self._session,
            config=self._config,
            clock=self._clock,
            release=release,
            torrents=torrents,
            to=to,
            peers=tuple(peers),
            mirrors=self._catalog.mirrors(release.release),
            more_mirrors=tuple(site for source in mirrors for site in _sites(source, release.release)),
            payload_mirrors=self._mirrors,
            dialling=self._dialling,
            folders=self._catalog.folders,
            on_event=on_event,
        )
        async with self._busy.setdefault(key_of(release), asyncio.Lock()):  # a session can hold a torrent once
            transfer, upstream = await self._deliver(delivery)
            if share if share is not None else self._config.seed_after:
                already = {transfer.swarm: transfer.torrent} if transfer is not None else {}
                await self._sharing.start(release, torrents, to, already)
            elif transfer is not None:
                await transfer.leave(keep_state=False)
        return download_report(release, to, transfer, upstream=upstream, seconds=self._clock.monotonic_s() - started_s)

    async def _deliver(self, delivery: Delivery) -> tuple[Transfer | None, dict[str, Check]]:
        """Brings the files to their final names.

        Returns:
            The transfer that brought them, if there had to be one, and what came of their upstream signatures.
        """
        release, to = delivery.release, delivery.to
        right = await delivery.already_right()
        if len(right) == len(release.release.files):
            transfer = None
            upstream = await delivery.check_upstream(transfer)
            await asyncio.to_thread(sweep, to, release.release.hybrid.info_hash_v2)
        else:
            await asyncio.to_thread(delivery.require_places)
            with Workspace(to, release.release.hybrid.info_hash_v2) as workspace:
                await self._sharing.stop_bytes(release)
                transfer = await delivery.plan(right, workspace)
                async with leaving_on_failure(transfer, workspace):
                    with self._watching(transfer, release):
                        await delivery.transfer_and_verify(transfer)
                    upstream = await delivery.check_upstream(transfer)
                    await run_to_end(self._replace(delivery, transfer, workspace))
        return transfer, upstream

    async def seed(
        self,
        name: str,
        *,
        version: str | None = None,
        folder: Path,
        channel: TrustedChannel | None = None,
        on_event: OnEvent = _ignore,
    ) -> Seeding:
        """Shares a release's files from a folder until the client is closed; what is missing is downloaded first.

        Args:
            name: The package.
            version: Its version; the newest if None.
            folder: Where its files stand, or shall stand.
            channel: The state of the channel to take it from; the present one if None.
            on_event: Is told how the download goes.

        Raises:
            OssdistError: As `download`.
        """
        report = await self.download(name, version=version, to=folder, share=True, channel=channel, on_event=on_event)
        seeding = self._sharing.get(f"{report.name} {report.version}")
        if seeding is None:
            raise SwarmError(f"{report.name} {report.version} was shared, and stopped again by another call")
        return seeding

    async def stop_sharing(self, release: TrustedRelease) -> None:
        """Leaves a release's swarms; the files stay."""
        await self._sharing.stop(release)

    async def metrics(self) -> Metrics:
        """What it has done and sees.

        Raises:
            SwarmError: It is closed.
        """
        seedings = self._sharing.all
        return Metrics(
            network=await self._session.counters(),
            transport=self._dialling.transport,
            shared=await shared_releases(seedings[:MOST_RELEASES]),
            shared_releases=len(seedings),
            transfers=tuple(running_transfer(*running) for running in self._transfers.values()),
            mirrors=mirror_records(self._mirrors.known, self._clock.now().timestamp()),
        )

    @asynccontextmanager
    async def _keep_rates(self, session: Session) -> AsyncGenerator[RateKeeper]:
        usage = UsageFile(self._config.state_folder)
        keeper = RateKeeper(session, self._config.rates, self._clock, mirrors=self._feeds, usage=usage)
        keeping = asyncio.create_task(keeper.run())
        try:
            yield keeper
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            await keeper.keep()

    def _feeds(self) -> tuple[MirrorFeed, ...]:
        return tuple(transfer.feed for _, transfer in self._transfers.values() if transfer.feed is not None)

    @contextmanager
    def _watching(self, transfer: Transfer, release: TrustedRelease) -> Generator[None]:
        self._transfers[key_of(release)] = release.release, transfer
        try:
            yield
        finally:
            del self._transfers[key_of(release)]

    async def _replace(self, delivery: Delivery, transfer: Transfer, workspace: Workspace) -> None:
        """Gives the verified files their final names."""
        # What others would send, and check, is about to become something else.
        await self._sharing.stop_overlapping(delivery.finals)
        await delivery.commit(transfer, workspace)


def _sites(source: Site | Metalink, release: model.Release) -> tuple[Site, ...]:
    return sites_of(source, release, document="the Metalink") if isinstance(source, Metalink) else (source,)


def _read_torrent(path: Path) -> bytes:
    return read_file(path, limit_bytes=MAX_TORRENT_BYTES)


def _swarm_config(config: ClientConfig) -> SwarmConfig:
    """The session's settings; without peers it neither listens nor looks for any."""
    if config.peers_enabled:
        return config.swarm
    return replace(
        config.swarm, listen=(), trackers=False, dht=False, lsd=False, pex=False, port_mapping=False, connections=50
    )
