"""What each mirror has done in one transfer: who may be asked now, who failed and why, who is out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ossdist import events
from ossdist.errors import MirrorError, MirrorFault
from ossdist.mirrors.choice import Candidate, mirrors_to_start
from ossdist.mirrors.health import MOST_WRONG, STANDING, Breaker, Sample, failed, succeeded
from ossdist.mirrors.lane import Mirror
from ossdist.mirrors.ranking import Wishes, rank

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from ossdist.clock import Clock
    from ossdist.config import MirrorConfig
    from ossdist.events import OnEvent
    from ossdist.mirrors.fetching import RangeStream
    from ossdist.mirrors.health import HealthBook
    from ossdist.mirrors.sites import Place, Site


def wishes(config: MirrorConfig, here: Place) -> Wishes:
    """What the caller wants of a ranking."""
    return Wishes(ban=config.ban, order=config.order, prefer=config.prefer, place=here)


class Roster:
    """The mirrors of one transfer.

    Args:
        sites: All that there are.
        config: Whom the caller wants, and how many at once.
        health: What is known of how well they do; what is learnt is added.
        here: Where the client is.
        clock: Time.
        rng: Draws lots between them.
        on_event: Is told who is asked and who fails.

    Attributes:
        mirrors: Them, by their addresses, the best first.
        excluded: Why some are not asked, by their addresses.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        *,
        config: MirrorConfig,
        health: HealthBook,
        here: Place,
        clock: Clock,
        rng: Random,
        on_event: OnEvent,
    ) -> None:
        ranking = rank(sites, wishes(config, here), health.measured(clock.now().timestamp()), rng=rng)
        resting = [found.site for found in ranking.excluded if not math.isinf(found.rests_s)]
        chosen = [ranked.site for ranked in ranking.mirrors] + resting
        self.mirrors = {site.url: Mirror(site) for site in chosen}
        self.excluded = {found.site.url: found.reason for found in ranking.excluded if math.isinf(found.rests_s)}
        self._config = config
        self._health = health
        self._clock = clock
        self._on_event = on_event

    def to_start(self) -> list[tuple[Mirror, int]]:
        """Who is to be asked now beside those that are, each with a number of connections."""
        candidates = [
            Candidate(
                url=url,
                breaker=self._breaker(mirror),
                active=bool(mirror.lanes),
                ranged=mirror.ranged,
                failed=mirror.failures > 0,
                out=mirror.out,
            )
            for url, mirror in self.mirrors.items()
        ]
        found: list[tuple[Mirror, int]] = []
        for url in mirrors_to_start(candidates, at_once=self._config.at_once):
            mirror = self.mirrors[url]
            half_open = self._breaker(mirror) is not Breaker.CLOSED
            found.append((mirror, 1 if half_open or not mirror.ranged else self._config.connections))
            self._on_event(events.MirrorStarted(url))
        return found

    def rests(self, mirror: Mirror) -> bool:
        """It has failed, and is not asked for a while."""
        return self._breaker(mirror) is Breaker.OPEN

    def note_request(self, mirror: Mirror, stream: RangeStream, seconds: float) -> None:
        """A mirror has fulfilled a request; its body took so long."""
        if mirror.wrong or self.rests(mirror):
            return  # what came in time may be wrong all the same
        sample = Sample(
            connect_s=stream.connect_s,
            first_byte_s=stream.first_byte_s or 0.0,
            body_bytes=stream.received_bytes,
            body_s=seconds,
        )
        url = mirror.site.url
        self._health[url] = succeeded(self._health[url], sample, now=self._clock.now().timestamp())

    def fail(self, mirror: Mirror, error: MirrorError) -> None:
        """A mirror rests; so do all its connections."""
        if error.fault is MirrorFault.NO_RANGES and mirror.ranged:
            mirror.ranged = False  # it may still be of use, if nobody else is
        else:
            self._note_failure(mirror, error)
            mirror.out = mirror.out or error.fault in STANDING or mirror.wrong >= MOST_WRONG
        self._tell(mirror, error)
        for lane in mirror.lanes:
            lane.cancelled = True
            if lane.stream is not None:
                lane.stream.stop()

    def blame(self, mirror: Mirror, index: int, paths: tuple[str, ...]) -> None:
        """A mirror has sent a wrong piece.

        Raises:
            MirrorError: And not for the first time.
        """
        mirror.wrong += 1
        self._on_event(events.PieceRefused(index, paths))
        error = MirrorError(mirror.site.url, f"wrong data in piece {index}", fault=MirrorFault.WRONG_DATA)
        if mirror.wrong >= MOST_WRONG:
            raise error
        # The rest of the range is on its way already, and may be right: one flipped byte costs one piece.
        self._note_failure(mirror, error)
        self._tell(mirror, error)

    def _note_failure(self, mirror: Mirror, error: MirrorError) -> None:
        url, now = mirror.site.url, self._clock.now().timestamp()
        self._health[url] = failed(
            self._health[url], error.fault, error.reason, now=now, retry_after_s=error.retry_after_s
        )

    def _tell(self, mirror: Mirror, error: MirrorError) -> None:
        mirror.failures += 1
        mirror.note = error.reason
        self._on_event(events.SourceFailed(mirror.site.url, error.reason))

    def _breaker(self, mirror: Mirror) -> Breaker:
        return self._health[mirror.site.url].breaker(self._clock.now().timestamp())
