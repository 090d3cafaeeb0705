"""A client's mirrors for payload: which there are for a release, where they are, and what is remembered of them."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from platformdirs import user_state_path

from ossdist.errors import StorageError
from ossdist.mirrors.feed import MirrorFeed
from ossdist.mirrors.fetching import SignedFile
from ossdist.mirrors.geo import GeoDatabases, client_place, country_place, place_of_host
from ossdist.mirrors.health import HealthBook
from ossdist.mirrors.ranges import HttpPool, HttpRanges
from ossdist.mirrors.ranking import rank
from ossdist.mirrors.roster import wishes
from ossdist.mirrors.sites import NOWHERE, Serves, Site
from ossdist.release import layout
from ossdist.release.torrents import paths_in_torrent, web_seed
from ossdist.store.health_file import load_health, save_health

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from ossdist.clock import Clock
    from ossdist.config import ClientConfig, MirrorConfig
    from ossdist.events import OnEvent
    from ossdist.mirrors.health import Health
    from ossdist.mirrors.sites import Place
    from ossdist.release import model

log = logging.getLogger(__name__)


class PayloadMirrors:
    """Mirrors for payload. An asynchronous context manager: what was learnt of them is kept at its end.

    Args:
        config: What the client was told.
        clock: Time.
    """

    def __init__(self, config: ClientConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._health = HealthBook()
        self._pool = HttpPool(config.fetch)
        self._rng = random.SystemRandom()
        self._geo: GeoDatabases | None = None
        self._places: dict[str, Place] = {}

    async def __aenter__(self) -> Self:
        if self._config.mirrors_enabled:
            self._geo = await asyncio.to_thread(
                GeoDatabases, self._config.mirrors.geo_databases, clock=self._clock
            )  # fails if one that was given is of no use
            if self._config.mirrors.remember:
                known = await asyncio.to_thread(load_health, self._path)
                self._health = HealthBook(known, now=self._clock.now().timestamp())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()
        if self._geo is not None:
            self._geo.close()
        if self._config.mirrors_enabled and self._config.mirrors.remember and self._health.all:
            try:
                await asyncio.to_thread(save_health, self._path, self._health.all)
            except (StorageError, OSError) as failure:
                log.warning("what was learnt of mirrors is not kept: %s", failure)

    async def feed(
        self,
        release: model.Release,
        mirrors: Sequence[model.Mirror],
        more: Sequence[Site] = (),
        *,
        public_address: str | None,
        on_event: OnEvent,
    ) -> MirrorFeed | None:
        """What feeds a transfer of this release; None if no mirror shall be asked, or there is none.

        Args:
            release: It.
            mirrors: Copies of its channel's folder.
            more: Further mirrors; one that has the address of another one replaces it.
            public_address: The client's, if it is known.
            on_event: Is told how it goes.
        """
        config = self._config
        if not config.mirrors_enabled or config.mirrors.web_seeds or not (mirrors or more) or self._geo is None:
            return None
        inside = paths_in_torrent(release)
        sites = {site.url: site for site in (*map(_site_of, mirrors), *more)}
        return MirrorFeed(
            await self._all_placed(sites.values(), self._geo),
            files={
                inside[file.path]: SignedFile(
                    path=layout.file_path(release.name, release.version, file.path), sha256=file.sha256
                )
                for file in release.files
            },
            fetcher=HttpRanges(self._pool, mirror_bytes_per_s=config.mirrors.mirror_bytes_per_s or math.inf),
            config=self._patience(config.mirrors),
            health=self._health,
            here=await self._here(public_address, self._geo),
            clock=self._clock,
            rng=self._rng,
            on_event=on_event,
        )

    async def web_seeds(
        self, release: model.Release, mirrors: Sequence[model.Mirror], *, public_address: str | None
    ) -> tuple[str, ...]:
        """The mirrors that libtorrent asks by itself, the best first, if it shall; who rests or is banned is left out.

        Args:
            release: What they have.
            mirrors: Copies of its channel's folder.
            public_address: The client's, if it is known.
        """
        config = self._config
        wanted = config.mirrors_enabled and config.mirrors.web_seeds and config.peers_enabled
        if not wanted or self._geo is None:
            return ()
        here = await self._here(public_address, self._geo)
        sites = await self._all_placed(map(_site_of, mirrors), self._geo)
        ranking = rank(
            sites, wishes(config.mirrors, here), self._health.measured(self._clock.now().timestamp()), rng=self._rng
        )
        return tuple(web_seed(release, ranked.site.url) for ranked in ranking.mirrors)

    @property
    def known(self) -> Mapping[str, Health]:
        """How well each mirror did, by its address."""
        return self._health.all

    async def _here(self, public_address: str | None, geo: GeoDatabases) -> Place:
        return await asyncio.to_thread(client_place, self._config.mirrors.place, public_address, geo)

    async def _all_placed(self, sites: Iterable[Site], geo: GeoDatabases) -> list[Site]:
        return await asyncio.gather(*(self._placed(site, geo) for site in sites))

    async def _placed(self, site: Site, geo: GeoDatabases) -> Site:
        """With what databases know of its place."""
        host = urlsplit(site.url).hostname or ""
        if not geo.paths:  # without a database an address tells nothing
            return site
        if host not in self._places:
            self._places[host] = await place_of_host(host, geo)
        return replace(site, place=site.place | self._places[host])

    def _patience(self, mirrors: MirrorConfig) -> MirrorConfig:
        """Peers' head start must not be what exhausts a transfer."""
        most_s = self._config.transfer.exhausted_after_s / 3
        return replace(mirrors, head_start_s=min(mirrors.head_start_s, most_s))

    @property
    def _path(self) -> Path:
        return (self._config.state_folder or user_state_path("ossdist")) / "mirrors.json"


def _site_of(mirror: model.Mirror) -> Site:
    return Site(
        url=mirror.url,
        place=country_place(mirror.location) if mirror.location is not None else NOWHERE,
        priority=mirror.priority,
        weight=float(mirror.weight),
        serves=Serves(mirror.serves),
    )
