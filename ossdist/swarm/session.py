"""A libtorrent session on an asyncio event loop.

libtorrent wakes the loop through a socket pair when its queue of alerts goes from empty to not empty; the pump then
takes all of them, copies each into an event (`ossdist.swarm.alerts`) and hands it to its torrent. Calls that wait
for libtorrent's network thread run in the session's own two threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import libtorrent as lt

from ossdist.errors import SwarmError
from ossdist.swarm.alerts import ListenFailed, PublicAddress, Routed, StatsReady, TorrentRemoved, convert
from ossdist.swarm.metainfo import info_hashes_of
from ossdist.swarm.settings import everybody_is_global, limit_settings, new_peer_id, session_params, transport_settings
from ossdist.swarm.torrent import LibtorrentTorrent
from ossdist.tasks import run_to_end
from ossdist.transfer.metainfo import Metainfo
from ossdist.transfer.session import require_transport
from ossdist.transfer.torrent_events import EventsLost

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ossdist.config import SwarmConfig, Transport
    from ossdist.transfer.session import AddTorrent, NetworkCounters

_T = TypeVar("_T")

log = logging.getLogger(__name__)


class LibtorrentSession:
    """See `ossdist.transfer.session.Session`. Made by `open`; an asynchronous context manager."""

    def __init__(self, config: SwarmConfig) -> None:
        self._config = config
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ossdist-swarm")
        self._session: lt.session | None = None
        self._wake_read, self._wake_write = socket.socketpair()
        self._torrents: dict[str, LibtorrentTorrent] = {}
        self._listen_failures: list[ListenFailed] = []
        self._listen_port = 0
        self._public_address: str | None = None
        self._peer_id = new_peer_id()
        self._stats: asyncio.Future[NetworkCounters] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._adding: set[asyncio.Task[LibtorrentTorrent]] = set()

    @classmethod
    async def open(cls, config: SwarmConfig) -> Self:
        """Starts a session and waits until it listens.

        Raises:
            SwarmError: It can listen on none of the interfaces.
        """
        session = cls(config)
        try:
            await session._start()
        except BaseException:
            await session.close()
            raise
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def listen_port(self) -> int:
        """The port on which peers may connect; 0 if it listens nowhere."""
        return self._listen_port

    @property
    def peer_id(self) -> bytes:
        """By which peers know it."""
        return self._peer_id

    @property
    def public_address(self) -> str | None:
        """What others say that its address is."""
        return self._public_address

    async def add(self, request: AddTorrent) -> LibtorrentTorrent:
        """Starts on a torrent.

        Raises:
            SwarmError: It is there already, or libtorrent refuses it.
        """
        if self._session is None or self._closing is not None:
            raise SwarmError("the session is closed")
        adding = asyncio.create_task(self._add(request))
        self._adding.add(adding)
        adding.add_done_callback(self._adding.discard)
        try:
            return await asyncio.shield(adding)
        except asyncio.CancelledError:
            # libtorrent cannot be stopped half-way: nobody would ever take this torrent out again.
            await run_to_end(_take_out(adding))
            raise

    async def counters(self) -> NetworkCounters:
        """What it has seen of its network."""
        session = self._opened()
        stats = self._stats
        if stats is None:  # whoever asks meanwhile gets the same answer
            stats = self._stats = asyncio.get_running_loop().create_future()
            # A caller who is cancelled here would leave a question that was never asked, for which others wait.
            await run_to_end(self._run(session.post_session_stats))
        try:
            async with asyncio.timeout(self._config.event_deadline_s):
                counters = await asyncio.shield(stats)
        except TimeoutError:
            self._stats = None
            raise SwarmError("libtorrent does not say what it has counted") from None
        return counters if self._config.dht else replace(counters, dht_nodes=-1)

    async def set_limits(self, *, upload_bytes_per_s: float, download_bytes_per_s: float) -> None:
        """Limits all torrents together from now on."""
        pack = limit_settings(upload_bytes_per_s, download_bytes_per_s, self._config)
        await self._apply(pack)

    @property
    def transports(self) -> tuple[Transport, ...]:
        """By which it can dial, the one that it begins with first."""
        return self._config.transports

    async def set_transport(self, transport: Transport) -> None:
        """Dials peers so from now on; connections that stand stay."""
        self._opened()
        require_transport(transport, self.transports)
        await self._apply(transport_settings(transport, self._config))

    async def close(self) -> None:
        """Leaves all swarms and frees every thread, socket and file."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await run_to_end(asyncio.wait([self._closing]))
        self._closing.result()

    # --- inside ----------------------------------------------------------------------------------------

    async def _add(self, request: AddTorrent) -> LibtorrentTorrent:
        session = self._session
        if session is None:
            raise SwarmError("the session is closed")
        params = await self._run(lambda: _params(request, self._config))
        # libtorrent's own complaint about a duplicate comes too late: the first one would lose its events.
        hashes = info_hashes_of(params.info_hashes)
        keys = [key for key in (hashes.v1, hashes.v2) if key is not None]
        if any(key in self._torrents for key in keys):
            raise SwarmError(f"torrent {hashes} is in the session already")
        torrent = LibtorrentTorrent(
            hashes, request.save_path, self._run, event_deadline_s=self._config.event_deadline_s
        )
        torrent.prepare(request, params)
        for key in keys:
            self._torrents[key] = torrent
        try:
            handle = await self._run(lambda: session.add_torrent(params))
        except RuntimeError as error:
            self._forget(torrent)
            raise SwarmError(f"torrent {hashes}: {error}") from error
        torrent.attach(handle, session.remove_torrent)
        return torrent

    def _opened(self) -> lt.session:
        session = self._session
        if session is None or self._closing is not None:
            raise SwarmError("the session is closed")
        return session

    async def _apply(self, pack: lt.settings_pack) -> None:
        session = self._opened()
        await run_to_end(self._run(lambda: session.apply_settings(pack)))

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._wake_read.setblocking(False)  # noqa: FBT003
        self._wake_write.setblocking(False)  # noqa: FBT003
        params = session_params(self._config, peer_id=self._peer_id)
        self._session = await self._run(lambda: lt.session(params))
        self._session.set_peer_class_filter(everybody_is_global())
        loop.add_reader(self._wake_read, self._pump)
        self._session.set_alert_fd(self._wake_write.fileno())
        self._pump()
        if self._config.listen:
            self._listen_port = await self._run(self._session.listen_port)
            self._pump()
            if not self._listen_port:
                failures = [f"{failure.interface}: {failure.reason}" for failure in self._listen_failures]
                reasons = "; ".join(failures) or f"there is no {' or '.join(self._config.listen)}"
                raise SwarmError(f"cannot listen anywhere ({reasons}). Choose other ports or interfaces.")

    async def _close(self) -> None:
        if self._adding:  # what is half in would otherwise be there when everything else is gone
            await asyncio.wait(self._adding)
        session, self._session = self._session, None
        if self._stats is not None and not self._stats.done():
            self._stats.set_exception(SwarmError("the session was closed"))
            self._stats.exception()  # whoever waits sees it; if nobody does, that is fine
        for torrent in set(self._torrents.values()):
            torrent.detach("the session was closed")
        self._torrents.clear()
        if session is not None:
            asyncio.get_running_loop().remove_reader(self._wake_read)
            # Destroying a session holds the interpreter's lock until its threads have ended: up to seconds,
            # but next to nothing after a pause.
            await self._run(session.pause)
            await self._run(session.pop_alerts)
            holder = [session]
            del session
            await self._run(holder.clear)
        self._wake_read.close()
        self._wake_write.close()
        await asyncio.to_thread(self._executor.shutdown)

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _pump(self) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            pass
        session = self._session
        if session is None:
            return
        # libtorrent rings only when its queue was empty, so take everything. The list must not outlive this call.
        for alert in session.pop_alerts():
            try:
                routed = convert(alert)
                if routed is not None:
                    self._route(routed)
            except Exception:
                # One bad alert (its texts come from the network) must not cost those behind it.
                log.exception("an alert of type %s could not be used", type(alert).__name__)
                self._lose_events()

    def _route(self, routed: Routed) -> None:
        match routed.event:
            case ListenFailed(interface, reason) as failure:
                log.warning("cannot listen on %s: %s", interface, reason)
                self._listen_failures.append(failure)
            case PublicAddress(host):
                self._public_address = host
            case StatsReady(counters):
                stats, self._stats = self._stats, None
                if stats is not None and not stats.done():
                    stats.set_result(counters)
            case EventsLost():
                log.warning("libtorrent dropped alerts; reading the status instead")
                self._lose_events()
            case event:
                torrent = self._find(routed.hashes)
                if torrent is not None:
                    torrent.feed(event)
                    if isinstance(event, TorrentRemoved):
                        self._forget(torrent)

    def _lose_events(self) -> None:
        if self._stats is not None and self._session is not None:  # what was asked for may be among what is lost
            self._executor.submit(self._session.post_session_stats)
        for torrent in set(self._torrents.values()):
            torrent.feed(EventsLost())

    def _find(self, hashes: tuple[str, ...]) -> LibtorrentTorrent | None:
        found = next((self._torrents[key] for key in hashes if key in self._torrents), None)
        if found is not None:
            for key in hashes:  # a magnet link's torrent may turn out to have a second info-hash
                self._torrents.setdefault(key, found)
        return found

    def _forget(self, torrent: LibtorrentTorrent) -> None:
        self._torrents = {key: other for key, other in self._torrents.items() if other is not torrent}


async def _take_out(adding: asyncio.Task[LibtorrentTorrent]) -> None:
    with contextlib.suppress(SwarmError):
        await (await adding).remove()


def _params(request: AddTorrent, config: SwarmConfig) -> lt.add_torrent_params:
    """libtorrent's parameters for a torrent. Blocks: it looks at the disk."""
    flag = lt.torrent_flags
    try:
        params = _base_params(request)
    except RuntimeError as error:
        raise SwarmError(f"libtorrent refuses the torrent: {error}") from error
    params.save_path = str(request.save_path)
    params.trackers = list(request.trackers) if config.trackers else []
    params.tracker_tiers = list(range(len(params.trackers)))
    params.url_seeds = list(request.web_seeds)
    params.http_seeds = []
    params.renamed_files = {index: str(path) for index, path in request.rename}
    params.flags = flag.apply_ip_filter | flag.duplicate_is_error
    if request.seed:
        # In seed mode a piece is checked when it is first read; if it is wrong, the torrent leaves that mode and would
        # fetch it again, over a file that may meanwhile be another release's. In upload mode it never writes.
        params.flags |= flag.seed_mode | flag.upload_mode
    if request.sequential:
        params.flags |= flag.sequential_download
    if not (request.dht and config.dht):
        params.flags |= flag.disable_dht
    if not (request.lsd and config.lsd):
        params.flags |= flag.disable_lsd
    if not (request.pex and config.pex):
        params.flags |= flag.disable_pex
    peers = [(peer.host, peer.port) for peer in request.peers]
    if not isinstance(request.source, Metainfo):
        params.peers = [*params.peers, *peers]  # while there is nothing to check, it dials at the next tick
    elif peers and not request.seed and not _has_files(request.source, request):
        params.peers = [*params.peers, *peers]
        params.flags |= flag.paused  # see `LibtorrentTorrent.prepare`
    return params


def _base_params(request: AddTorrent) -> lt.add_torrent_params:
    if not isinstance(request.source, Metainfo):
        return lt.parse_magnet_uri(request.source)
    params = lt.load_torrent_buffer(request.source.data)
    resumed = _read_resume_data(request.resume_data, request.source) if request.resume_data is not None else None
    if resumed is None:
        return params
    if not request.resume_peers:
        resumed.peers = []
    if request.resume_trusted:
        resumed.ti = params.ti
        return resumed
    params.peers = resumed.peers
    return params


def _read_resume_data(data: bytes, metainfo: Metainfo) -> lt.add_torrent_params | None:
    """None if they are of no use: the files tell as well what is here."""
    try:
        resumed = lt.read_resume_data(data)
    except RuntimeError as error:
        log.warning("%s: the resume data are damaged, the files are checked instead: %s", metainfo.info_hashes, error)
        return None
    if info_hashes_of(resumed.info_hashes) != metainfo.info_hashes:
        log.warning("%s: the resume data are another torrent's, the files are checked instead", metainfo.info_hashes)
        return None
    return resumed


def _has_files(metainfo: Metainfo, request: AddTorrent) -> bool:
    renamed = dict(request.rename)
    paths = (renamed.get(file.index, Path(file.path)) for file in metainfo.files)
    return any((request.save_path / path).exists() for path in paths)
