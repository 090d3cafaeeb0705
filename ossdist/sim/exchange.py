"""How a torrent in memory exchanges pieces over its connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from ossdist.sim.links import Counter, Link, PeerLink, SourceFailedError, WebSeedLink
from ossdist.sim.picker import PiecePicker
from ossdist.transfer.session import PieceDemand
from ossdist.transfer.torrent_events import (
    PeerBanned,
    PeerDisconnected,
    PieceFailed,
    WebSeedFailed,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ossdist.sim.network import Host, MemoryNetwork
    from ossdist.store.piece_store import PieceStore
    from ossdist.transfer.metainfo import Address, Metainfo
    from ossdist.transfer.torrent_events import TorrentEvent


class Owner(Protocol):
    """What an exchange asks of its torrent."""

    @property
    def running(self) -> bool:
        """It speaks to others, and what is on disk was checked."""
        ...

    def publish(self, event: TorrentEvent) -> None:
        """Tells the subscribers."""
        ...

    def keep(self, index: int, data: bytes) -> bool:
        """Keeps a piece, unless its hash is wrong; returns whether it was right."""
        ...

    def learn(self, metainfo: Metainfo) -> None:
        """Takes the metadata, if they are missing."""
        ...

    def fail(self, error: OSError) -> None:
        """Stops, since the disk refuses."""
        ...

    def distrust(self) -> None:
        """Checks everything again."""
        ...

    def dropped(self, link: Link) -> None:
        """A source was banned."""
        ...


class Exchange:
    """A torrent's connections, and what goes over them.

    Args:
        owner: The torrent.
        host: Where it is.
        network: Where all are.

    Attributes:
        host: See above.
        down: Payload received.
        up: Payload sent.
        failed_bytes: Received and thrown away because a piece's hash was wrong.
        redundant_bytes: Received although it was here already.
        bans: How many sources were banned.
        serves_only: It takes no pieces, even if some are missing.
    """

    def __init__(self, owner: Owner, host: Host, network: MemoryNetwork) -> None:
        self.host = host
        self.down, self.up = Counter(network.clock), Counter(network.clock)
        self.failed_bytes = self.redundant_bytes = 0
        self.serves_only = False
        self._owner = owner
        self._rng = network.rng
        self._store: PieceStore | None = None
        self._picker = PiecePicker((), network.rng)
        self._unproven: set[int] = set()
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._banned: set[Address] = set()
        self.bans = 0

    # --- pieces ----------------------------------------------------------------------------------------

    @property
    def store(self) -> PieceStore:
        """What is on disk.

        Raises:
            ValueError: There are no metadata yet.
        """
        if self._store is None:
            raise ValueError("there are no metadata yet")
        return self._store

    @property
    def complete(self) -> bool:
        """Every piece is here."""
        return self._store is not None and self._store.complete

    @property
    def wants_more(self) -> bool:
        """It would take a piece."""
        return not self.serves_only and self._owner.running and self._store is not None and not self._store.complete

    @property
    def distributed_copies(self) -> float:
        """See `TorrentStatus.distributed_copies`."""
        return -1.0 if self.complete else self._picker.distributed_copies()

    def open(self, store: PieceStore, *, sequential: bool, unproven: bool) -> None:
        """There are metadata now.

        Args:
            store: What is on disk.
            sequential: Ask for pieces in order.
            unproven: Check each piece when it is read for the first time.
        """
        self._store = store
        self._picker.sequential = sequential
        self._renew_picker(store)
        self._unproven = set(range(len(store.have))) if unproven else set()
        for link in self._peer_links():
            self._picker.peer_came(link.far.have)
            link.far.hear_of(store.metainfo)

    def set_sequential(self, *, enabled: bool) -> None:
        """Asks for pieces in order, or rarest first."""
        self._picker.sequential = enabled

    @property
    def preferred(self) -> Sequence[bool]:
        """See `PiecePicker.preferred`."""
        return self._picker.preferred

    def prefer(self, pieces: Sequence[bool]) -> None:
        """Asks for some pieces before others that are about as rare."""
        self._picker.preferred = tuple(pieces)

    @property
    def demand(self) -> PieceDemand:
        """What peers are doing about pieces that are missing."""
        return PieceDemand(self._picker.requested, self._picker.lacking if self._peer_links() else ())

    def claim(self, pieces: Collection[int]) -> None:
        """Asks peers for these pieces last."""
        self._picker.claimed = frozenset(pieces)
        self.wake()

    def trust_nothing(self) -> None:
        """No piece counts as here until it was checked; nobody may be connected."""
        self._unproven.clear()
        for index in range(len(self.store.have)):
            self.store.set_have(index, here=False)
        self._renew_picker(self.store)

    def note_piece(self, index: int) -> None:
        """A piece is here now; tells the peers."""
        self.store.set_have(index, here=True)
        self._picker.got(index)
        for link in self._peer_links():
            link.far.note_copy(index)
            link.far_end.news.set()

    def note_copy(self, index: int) -> None:
        """A peer has one piece more."""
        if self._store is not None:
            self._picker.peer_got(index)

    # --- what peers see --------------------------------------------------------------------------------

    @property
    def have(self) -> tuple[bool, ...]:
        """Which pieces are here; empty without metadata."""
        return tuple(self._store.have) if self._store is not None else ()

    @property
    def offer(self) -> Sequence[bool]:
        """Which pieces it gives; empty for none. It changes as pieces come."""
        gives = self._owner.running and not self.host.uplink.closed
        return self._store.have if gives and self._store is not None else ()

    def serve(self, index: int) -> bytes:
        """A piece for a peer.

        Raises:
            SourceFailedError: It is not to be had.
        """
        try:
            data = self.store.read(index)
        except OSError as error:
            self._owner.fail(error)
            raise SourceFailedError(error.strerror or str(error)) from error
        if index in self._unproven and not self.store.is_right(index, data):
            self._owner.publish(PieceFailed(index))
            self._owner.distrust()
            raise SourceFailedError("End of file")
        self._unproven.discard(index)
        self.up.add(len(data))
        self.host.sent_bytes += len(data)
        return bytes(byte ^ 0xFF for byte in data) if self.host.poisons else data

    def hear_of(self, metainfo: Metainfo) -> None:
        """A peer has the metadata."""
        if self._store is None:
            self._owner.learn(metainfo)

    # --- connections -----------------------------------------------------------------------------------

    @property
    def links(self) -> tuple[Link, ...]:
        """Who is connected."""
        return tuple(self._links)

    def link_to(self, address: Address) -> Link | None:
        """The connection to the peer that listens there, whoever dialled."""
        return next((link for link in self._peer_links() if address in {link.address, link.far.host.address}), None)

    def has_banned(self, address: Address | None) -> bool:
        """Nobody there is spoken to any more."""
        return address in self._banned

    def begin(self, link: Link) -> None:
        """Uses a new connection."""
        self._links[link] = asyncio.create_task(self._pull(link))
        if isinstance(link, PeerLink) and self._store is not None:
            self._picker.peer_came(link.far.have)
            link.far.hear_of(self._store.metainfo)

    def end(self, link: Link, reason: str) -> asyncio.Task[None] | None:
        """Ends a connection at both ends; returns what is still ending at this one."""
        task = self._links.pop(link, None)
        if task is None:
            return None
        link.ended.set()
        if isinstance(link, PeerLink) and self._store is not None:
            self._picker.peer_left(link.far.have)
        self._owner.publish(PeerDisconnected(link.address, reason))
        if isinstance(link, PeerLink):
            link.far.end(link.far_end, "End of file")
        if task is asyncio.current_task():
            return None
        task.cancel()
        return task

    def end_all(self, reason: str) -> list[asyncio.Task[None]]:
        """Ends all connections; returns what is still ending."""
        ending = [self.end(link, reason) for link in self.links]
        return [task for task in ending if task is not None]

    def wake(self) -> None:
        """Looks again at what everybody offers, and lets everybody look at what is offered here."""
        for link in self._links:
            link.news.set()
        for link in self._peer_links():
            link.far_end.news.set()

    # --- inside ----------------------------------------------------------------------------------------

    def _peer_links(self) -> list[PeerLink]:
        return [link for link in self._links if isinstance(link, PeerLink)]

    def _renew_picker(self, store: PieceStore) -> None:
        before = self._picker
        self._picker = PiecePicker(store.have, self._rng)
        self._picker.sequential, self._picker.preferred = before.sequential, before.preferred
        self._picker.claimed = before.claimed

    async def _pull(self, link: Link) -> None:
        """Takes one piece after the other over a connection, as long as there are any."""
        while not link.ended.is_set():
            offer = link.offer if self.wants_more and not self.host.downlink.closed else ()
            index = self._picker.take(offer) if offer else None
            if index is None:
                link.news.clear()
                await link.news.wait()
                continue
            link.busy = True
            data = None
            try:
                data = await link.fetch(index)
            except SourceFailedError as error:
                self._give_up(link, str(error))
            finally:
                link.busy = False
                self._picker.release(index)
                if data is None:
                    self.wake()  # others may bring it
            if data is not None:
                self._take(link, index, data)

    def _take(self, link: Link, index: int, data: bytes) -> None:
        self.down.add(len(data))
        self.host.received_bytes += len(data)
        link.down.add(len(data))
        if self.store.have[index]:
            self.redundant_bytes += len(data)
        elif not self._owner.keep(index, data):
            self.failed_bytes += len(data)
            self._ban(link)
            self._owner.publish(PieceFailed(index))
            if isinstance(link, WebSeedLink):
                self._owner.publish(WebSeedFailed(link.url, "peer banned", banned=True))
            self.wake()

    def _ban(self, link: Link) -> None:
        """One source sends whole pieces here, so that a wrong one shows who is to blame."""
        self._banned.add(link.address)
        self.bans += 1
        if isinstance(link, PeerLink) and (address := link.far.host.address) is not None:
            self._banned.add(address)
        self._owner.dropped(link)
        self._owner.publish(PeerBanned(link.address))
        self.end(link, "too many corrupt pieces")

    def _give_up(self, link: Link, reason: str) -> None:
        if isinstance(link, WebSeedLink):
            self._owner.publish(WebSeedFailed(link.url, reason))
        self.end(link, reason)
