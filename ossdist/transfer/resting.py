"""Which web seeds of a transfer rest, and until when. Pure.

libtorrent never asks a web seed again that refused once; so the transfer takes one that failed out, and puts it back
after a pause, which grows with each failure in a row. One that sent wrong data never comes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.transfer.watch import retry_pause_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ossdist.config import TransferConfig
    from ossdist.transfer.tally import Tally


@dataclass(frozen=True, slots=True)
class _Failures:
    """Failures of a web seed in a row, the last one after so many bytes of it."""

    count: int
    after_bytes: int


@dataclass(slots=True)
class RestingWebSeeds:
    """The web seeds that are taken out.

    Attributes:
        config: `TransferConfig.web_seed_retry_s` and `TransferConfig.web_seed_retry_max_s` decide.
    """

    config: TransferConfig
    _failures: dict[str, _Failures] = field(default_factory=dict[str, "_Failures"])
    _until_s: dict[str, float] = field(default_factory=dict[str, float])

    def take_out(self, url: str, tally: Tally, *, now_s: float, for_good: bool) -> None:
        """Lets a web seed rest that has failed.

        Args:
            url: Which.
            tally: What came from where so far.
            now_s: Monotonic time.
            for_good: It sent wrong data.
        """
        count = self._failures[url].count + 1 if url in self._failures else 1
        self._failures[url] = _Failures(count, tally.by_source.get(url, 0))
        self._until_s[url] = math.inf if for_good else now_s + retry_pause_s(count, self.config)

    def put_back(self, tally: Tally, *, now_s: float) -> tuple[str, ...]:
        """The web seeds that have rested long enough, and from now on do not rest.

        One that gave something since its last failure begins with a short pause at the next one.

        Args:
            tally: What came from where so far.
            now_s: Monotonic time.
        """
        for url, failed in tuple(self._failures.items()):
            if tally.by_source.get(url, 0) > failed.after_bytes:
                del self._failures[url]
        rested = tuple(url for url, until_s in self._until_s.items() if until_s <= now_s)
        for url in rested:
            del self._until_s[url]
        return rested

    def awake(self, urls: Iterable[str]) -> tuple[str, ...]:
        """Those of some web seeds that do not rest."""
        return tuple(url for url in urls if url not in self._until_s)

    def all_banned(self, urls: Iterable[str]) -> bool:
        """Whether all of some web seeds are out for good; so are none at all."""
        return all(self._until_s.get(url) == math.inf for url in urls)
