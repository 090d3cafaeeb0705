"""Whom a torrent in memory speaks to: it dials peers, asks trackers and visits web seeds, as long as it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ossdist.sim.links import PeerLink, WebSeedLink
from ossdist.sim.network import address_of
from ossdist.transfer.session import (
    PeerConnected,
    PeerDisconnected,
    TrackerFailed,
    TrackerReplied,
    WebSeedFailed,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from ossdist.sim.network import MemoryNetwork
    from ossdist.sim.torrent import MemoryTorrent
    from ossdist.transfer.metainfo import Address

REFUSED = "Connection refused"


class Contacts:
    """A torrent's known peers, trackers and web seeds.

    Args:
        torrent: Whose.
        network: Where they are.
        peers: Known from the start.
        trackers: Announce addresses.
        web_seeds: BEP 19 addresses.
    """

    def __init__(
        self,
        torrent: MemoryTorrent,
        network: MemoryNetwork,
        *,
        peers: Iterable[Address],
        trackers: Iterable[str],
        web_seeds: Iterable[str],
    ) -> None:
        self._torrent = torrent
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
        if self._torrent.wants_more:
            for url in self._web_seeds:
                self._run(url, self._visit(url))

    def stop(self) -> list[asyncio.Task[None]]:
        """Goes to nobody any more, and tells the trackers; returns what is still ending."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()
        for url in self._trackers:
            if (tracker := self._network.tracker(url)) is not None:
                tracker.leave(self._torrent.info_hashes, self._torrent.address)
        return list(tasks.values())

    def dial(self, address: Address) -> None:
        """Dials a peer now, even if it was to be tried later."""
        self._peers[address] = None
        self._end(address)
        self._run(address, self._dial(address))

    def forget(self, address: Address) -> None:
        """Never dials a peer again."""
        self._peers.pop(address, None)
        self._end(address)

    def add_web_seed(self, url: str) -> None:
        """Visits a web seed, unless it is known."""
        if url not in self._web_seeds:
            self._web_seeds[url] = None
            if self._torrent.wants_more:
                self._run(url, self._visit(url))

    def remove_web_seed(self, url: str) -> None:
        """Forgets a web seed."""
        self._web_seeds.pop(url, None)
        self._end(url)

    def announce(self) -> None:
        """Tells all trackers now how it stands."""
        for url in self._trackers:
            self._end(("tracker", url))
            self._run(("tracker", url), self._announce(url))

    # --- inside ----------------------------------------------------------------------------------------

    def _run(self, key: object, work: Coroutine[object, object, None]) -> None:
        if key in self._tasks or not self._torrent.running:
            work.close()
        else:
            self._tasks[key] = asyncio.create_task(work)

    def _end(self, key: object) -> None:
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def _dial(self, address: Address) -> None:
        """Keeps up a connection to a peer."""
        torrent, timing = self._torrent, self._network.timing
        failures = 0
        while failures < timing.reconnects:
            await asyncio.sleep(0)
            link = torrent.link_to(address)
            if link is None:
                torrent.publish(PeerConnected(address))
                outcome = self._connect(address)
                if isinstance(outcome, str):
                    torrent.publish(PeerDisconnected(address, outcome))
                    failures += 1
                else:
                    link = outcome
            if link is not None:
                failures = 0
                await link.ended.wait()
            await self._network.clock.sleep(timing.reconnect_s * (failures + 1))

    def _connect(self, address: Address) -> PeerLink | str:
        """A connection, or why there is none."""
        torrent = self._torrent
        session = self._network.session_at(address)
        if session is None:
            return REFUSED
        other = session.torrent_of(torrent.info_hashes)
        if other is torrent:
            return "connected to ourselves"
        if other is None or not other.takes_peers or other.is_linked_with(torrent):
            return "End of file"
        since = torrent.dials_from()
        link = PeerLink.pair(torrent, other, at=address, since=since, network=self._network)
        torrent.begin(link)
        other.begin(link.far_end)
        other.publish(PeerConnected(since))
        return link

    async def _announce(self, url: str) -> None:
        """Tells a tracker again and again that we are there, and takes the peers that it names."""
        torrent, timing = self._torrent, self._network.timing
        while True:
            await asyncio.sleep(0)
            tracker = self._network.tracker(url)
            failure = REFUSED if tracker is None else tracker.failure
            if tracker is None or failure:
                torrent.publish(TrackerFailed(url, failure))
                await self._network.clock.sleep(timing.announce_retry_s)
                continue
            peers = tracker.announce(torrent.info_hashes, torrent.address)
            torrent.publish(TrackerReplied(url, len(peers)))
            for peer in peers:
                if not torrent.has_banned(peer):
                    self._peers[peer] = None
                    self._run(peer, self._dial(peer))
            await self._network.clock.sleep(timing.announce_s)

    async def _visit(self, url: str) -> None:
        """Connects to a web seed; one that refuses the connection is tried again, one that answers wrongly is not."""
        torrent = self._torrent
        address = address_of(url)
        while True:
            await asyncio.sleep(0)
            torrent.publish(PeerConnected(address))
            server = self._network.web_server(url)
            if server is not None and not server.refuses:
                torrent.begin(WebSeedLink(url, server, torrent.metainfo, self._network, torrent.downlink))
                return
            torrent.publish(PeerDisconnected(address, REFUSED))
            torrent.publish(WebSeedFailed(url, REFUSED))
            await self._network.clock.sleep(self._network.timing.web_seed_retry_s)
