"""A session without a network: torrents whose pieces are handed in, checked, and written to their files.

Whoever uses mirrors alone gets this instead of BitTorrent: nothing listens, nothing is announced.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Self

from ossdist.errors import SwarmError
from ossdist.store import resume
from ossdist.store.disk_torrent import DiskTorrent
from ossdist.transfer.metainfo import Metainfo
from ossdist.transfer.session import NetworkCounters, require_transport

if TYPE_CHECKING:
    from types import TracebackType

    from ossdist.config import SwarmConfig, Transport
    from ossdist.transfer.session import AddTorrent

log = logging.getLogger(__name__)


class DiskSession:
    """See `ossdist.transfer.session.Session`; an asynchronous context manager.

    It passes the contract tests of the real one as far as they are about files.
    """

    def __init__(self) -> None:
        self._torrents: dict[str, DiskTorrent] = {}
        self._peer_id = secrets.token_bytes(20)
        self._closed = False

    @classmethod
    async def open(cls, config: SwarmConfig) -> Self:  # noqa: ARG003  # there is nothing to set
        """Starts a session; like the others', without their settings."""
        return cls()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def listen_port(self) -> int:
        """0: it listens nowhere."""
        return 0

    @property
    def peer_id(self) -> bytes:
        """20 random bytes, which nobody sees."""
        return self._peer_id

    @property
    def public_address(self) -> str | None:
        """None: it speaks to nobody who would know."""
        return None

    async def add(self, request: AddTorrent) -> DiskTorrent:
        """Starts on a torrent.

        Raises:
            SwarmError: It is there already, it is a magnet link, or it has no v1 piece hashes.
        """
        if self._closed:
            raise SwarmError("the session is closed")
        source, state = request.source, None
        if not isinstance(source, Metainfo):
            raise SwarmError(f"{source!r} is no torrent: a magnet link needs peers")
        hashes = source.info_hashes
        if len(source.piece_hashes) != source.num_pieces:
            raise SwarmError(f"torrent {hashes} has no v1 piece hashes")
        keys = tuple(key for key in (hashes.v1, hashes.v2) if key is not None)
        if any(key in self._torrents for key in keys):
            raise SwarmError(f"torrent {hashes} is in the session already")
        if request.resume_data is not None:
            try:
                state = resume.decode(request.resume_data, hashes)
            except SwarmError as error:
                log.warning("%s; the files are checked instead", error)
        torrent = DiskTorrent(source, request, state, on_remove=self._forget)
        self._torrents |= dict.fromkeys(keys, torrent)
        torrent.start()
        return torrent

    async def counters(self) -> NetworkCounters:
        """Nothing: it has no network.

        Raises:
            SwarmError: It is closed.
        """
        if self._closed:
            raise SwarmError("the session is closed")
        return NetworkCounters()

    async def set_limits(self, *, upload_bytes_per_s: float, download_bytes_per_s: float) -> None:  # noqa: ARG002
        """Does nothing: nothing comes or goes through it.

        Raises:
            SwarmError: It is closed.
        """
        if self._closed:
            raise SwarmError("the session is closed")

    @property
    def transports(self) -> tuple[Transport, ...]:
        """None: it dials nobody."""
        return ()

    async def set_transport(self, transport: Transport) -> None:
        """Refuses: it dials nobody.

        Raises:
            SwarmError: It is closed.
            ValueError: Always, otherwise.
        """
        if self._closed:
            raise SwarmError("the session is closed")
        require_transport(transport, self.transports)

    async def close(self) -> None:
        """Lets go of all torrents. Closing twice is fine."""
        self._closed = True
        torrents, self._torrents = dict.fromkeys(self._torrents.values()), {}
        for torrent in torrents:
            await torrent.detach()

    def _forget(self, torrent: DiskTorrent) -> None:
        self._torrents = {key: other for key, other in self._torrents.items() if other is not torrent}
