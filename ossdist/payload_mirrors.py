"""A client's mirrors for payload: which there are for a release, where they are, and what is remembered of them."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from typing import TYPE_CHECKING, Self

from platformdirs import user_state_path

from ossdist.errors import StorageError
from ossdist.mirrors.feed import MirrorFeed
from ossdist.mirrors.health import HealthBook
from ossdist.mirrors.ranges import HttpPool, HttpRanges
from ossdist.mirrors.sites import NOWHERE, Place, Site
from ossdist.release import layout
from ossdist.release.torrents import paths_in_torrent
from ossdist.store.health_file import load_health, save_health

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from ossdist.clock import Clock
    from ossdist.config import ClientConfig
    from ossdist.events import OnEvent
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

    async def __aenter__(self) -> Self:
        if self._config.mirrors_enabled and self._config.mirrors.remember:
            known = await asyncio.to_thread(load_health, self._path)
            self._health = HealthBook(known, now=self._clock.now().timestamp())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()
        if self._config.mirrors_enabled and self._config.mirrors.remember and self._health.all:
            try:
                await asyncio.to_thread(save_health, self._path, self._health.all)
            except (StorageError, OSError) as failure:
                log.warning("what was learnt of mirrors is not kept: %s", failure)

    def feed(self, release: model.Release, mirrors: Sequence[model.Mirror], on_event: OnEvent) -> MirrorFeed | None:
        """What feeds a transfer of this release; None if no mirror shall be asked, or there is none.

        Args:
            release: It.
            mirrors: Copies of its channel's folder.
            on_event: Is told how it goes.
        """
        config = self._config
        sites = [_site(mirror) for mirror in mirrors]
        if not config.mirrors_enabled or config.mirrors.web_seeds or not sites:
            return None
        inside = paths_in_torrent(release)
        return MirrorFeed(
            sites,
            paths={
                inside[file.path]: layout.file_path(release.name, release.version, file.path) for file in release.files
            },
            fetcher=HttpRanges(self._pool, mirror_bytes_per_s=config.mirrors.mirror_bytes_per_s or math.inf),
            config=config.mirrors,
            health=self._health,
            here=NOWHERE,
            clock=self._clock,
            rng=self._rng,
            on_event=on_event,
        )

    @property
    def _path(self) -> Path:
        return (self._config.state_folder or user_state_path("ossdist")) / "mirrors.json"


def _site(mirror: model.Mirror) -> Site:
    return Site(url=mirror.url, place=Place(country=mirror.location), priority=mirror.priority)
