"""Whom a torrent in memory speaks to: it dials peers, asks trackers and visits web seeds, as long as it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from ossdist.sim.links import PeerLink, WebSeedLink
from ossdist.sim.network import address_of
from ossdist.transfer.metainfo import Address
from ossdist.transfer.torrent_events import (
    Ending,
    PeerConnected,
    PeerDisconnected,
    TrackerFailed,
    TrackerReplied,
    WebSeedFailed,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from ossdist.sim.exchange import Exchange
    from ossdist.sim.network import MemoryNetwork
    from ossdist.transfer.metainfo import InfoHashes
    from ossdist.transfer.torrent_events import TorrentEvent

REFUSED = "Connection refused"


class Party(Protocol):
    """What contacts ask of a torrent."""

    @property
    def info_hashes(self) -> InfoHashes:
        """Its identity."""
        ...

    @property
    def open_to_peers(self) -> bool:
        """It dials and can be dialled."""
        ...

    @property
    def exchange(self) -> Exchange:
        """Its connections."""
        ...

    def publish(self, event: TorrentEvent) -> None:
        """Tells the subscribers."""
        ...


class Contacts:
    """A torrent's known peers, trackers and web seeds.

    Args:
        party: The torrent.
        network: Where all are.
        peers: Known from the start.
        trackers: Announce addresses.
        web_seeds: BEP 19 addresses.
    """

    def __init__(
        self,
        party: Party,
        network: MemoryNetwork,
        *,
        peers: Iterable[Address],
        trackers: Iterable[str],
        web_seeds: Iterable[str],
    ) -> None:
        self._party = party
        self._network = network
        self._peers = dict.fromkeys(peers)
        self._trackers = tuple(trackers)
        self._web_seeds = dict.fromkeys(web_seeds)
        self._tasks: dict[object, asyncio.Task[None]] = {}

    @property
    def peers(self) -> tuple[Address, ...]:
        """Known peers."""
        return tuple(self._peers)

    def start(self) -> None:
        """Goes to everybody to whom nobody has gone yet."""
        for address in self._peers:
            self._run(address, self._dial(address))
        for url in self._trackers:
            self._run(("tracker", url), self._announce(url))
        for url in self._web_seeds:
            self._visit_if_wanted(url)

    def stop(self) -> list[asyncio.Task[None]]:
        """Goes to nobody any more, and tells the trackers; returns what is still ending."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        for url in self._trackers:
            if (tracker := self._network.tracker(url)) is not None:
                tracker.leave(self._party.info_hashes, self._party.exchange.host.address)
        return tasks

    def dial(self, address: Address) -> None:
        """Dials a peer now, even one that was to be tried later."""
        self._peers[address] = None
        self._end(address)
        if self._party.open_to_peers:
            self._run(address, self._dial(address))

    def announce(self) -> None:
        """Tells all trackers now how it stands."""
        for url in self._trackers:
            self._end(("tracker", url))
            self._run(("tracker", url), self._announce(url))

    def add_web_seed(self, url: str) -> None:
        """Visits a web seed, unless it is known."""
        if url not in self._web_seeds:
            self._web_seeds[url] = None
            self._visit_if_wanted(url)

    def remove_web_seed(self, url: str) -> None:
        """Forgets a web seed."""
        self._web_seeds.pop(url, None)
        self._end(url)

    def forget(self, address: Address) -> None:
        """Never dials a peer again."""
        self._peers.pop(address, None)
        self._end(address)

    # --- inside ----------------------------------------------------------------------------------------

    def _visit_if_wanted(self, url: str) -> None:
        if self._party.exchange.wants_more:
            self._run(url, self._visit(url))

    def _run(self, key: object, work: Coroutine[object, object, None]) -> None:
        if key in self._tasks:
            work.close()
        else:
            self._tasks[key] = asyncio.create_task(work)

    def _end(self, key: object) -> None:
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def _dial(self, address: Address) -> None:
        """Keeps up a connection to a peer."""
        exchange, timing = self._party.exchange, self._network.timing
        failures = 0
        while failures < timing.reconnects:
            await asyncio.sleep(0)
            link = exchange.link_to(address)
            if link is None:
                self._party.publish(PeerConnected(address))
                exchange.host.dials += 1
                blocked = self._network.blocked.get(exchange.host.transport)
                if blocked is None:
                    link, reason = self._connect(address)
                    ending = Ending.REFUSED if reason == REFUSED else Ending.OTHER
                else:
                    reason, ending = blocked.value, blocked
                    if blocked is not Ending.REFUSED:
                        await self._network.clock.sleep(timing.dial_s)
                if link is None:
                    self._party.publish(PeerDisconnected(address, reason, ending))
                    failures += 1
            if link is not None:
                failures = 0
                await link.ended.wait()
            await self._network.clock.sleep(timing.reconnect_s * (failures + 1))

    def _connect(self, address: Address) -> tuple[PeerLink | None, str]:
        """A connection, or why there is none."""
        here = self._party.exchange
        session = self._network.session_at(address)
        if session is None:
            return None, REFUSED
        other = session.torrent_of(self._party.info_hashes)
        if other is self._party:
            return None, "connected to ourselves"
        if other is None or not other.open_to_peers or other.exchange.has_banned(here.host.address):
            return None, "End of file"
        since = Address(here.host.name, self._network.free_port(here.host.name))
        link = PeerLink.pair(here, other.exchange, to=address, since=since, network=self._network)
        here.begin(link)
        other.exchange.begin(link.far_end)
        other.exchange.host.incoming += 1
        other.publish(PeerConnected(since))
        return link, ""

    async def _announce(self, url: str) -> None:
        """Tells a tracker again and again that we are there, and takes the peers that it names."""
        exchange, timing = self._party.exchange, self._network.timing
        while True:
            await asyncio.sleep(0)
            tracker = self._network.tracker(url)
            failure = REFUSED if tracker is None else tracker.failure
            if tracker is None or failure:
                self._party.publish(TrackerFailed(url, failure))
                await self._network.clock.sleep(timing.announce_retry_s)
                continue
            peers = tracker.announce(self._party.info_hashes, exchange.host.address)
            self._party.publish(TrackerReplied(url, len(peers)))
            for peer in peers:
                if not exchange.has_banned(peer):
                    self._peers[peer] = None
                    self._run(peer, self._dial(peer))
            await self._network.clock.sleep(timing.announce_s)

    async def _visit(self, url: str) -> None:
        """Connects to a web seed. One that refuses the connection is tried again, one that answers wrongly is not."""
        address = address_of(url)
        while True:
            await asyncio.sleep(0)
            self._party.publish(PeerConnected(address))
            self._party.exchange.host.dials += 1
            server = self._network.web_server(url)
            if server is not None and not server.refuses:
                self._party.exchange.begin(WebSeedLink(self._party.exchange, url, server, self._network))
                return
            self._party.publish(PeerDisconnected(address, REFUSED, Ending.REFUSED))
            self._party.publish(WebSeedFailed(url, REFUSED))
            await self._network.clock.sleep(self._network.timing.web_seed_retry_s)
