"""Whom a peer serves: BitTorrent's choking, with classes before everything else. Pure.

Who is complete serves in turn: a peer keeps its place until it has got its share, then the next one comes
(libtorrent's round-robin choker for seeds). Who is not serves those from whom most came (tit for tat, BEP 3). A fifth
of the places is given by chance, so that everybody is found, whatever the classes are (optimistic unchoking).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Choking:
    """How often places are given anew, and how many by chance; the defaults are those of `ossdist.swarm.settings`.

    Attributes:
        interval_s: Between two rounds.
        optimistic_s: Between two drawings of those who are served by chance.
        optimistic_share: The part of the places that is given by chance; at least one.
        quota_pieces: After so many pieces a seed's place goes to the next one.
    """

    interval_s: float = 3.0
    optimistic_s: float = 6.0
    optimistic_share: float = 0.2
    quota_pieces: int = 20


def optimistic_slots(slots: int, choking: Choking) -> int:
    """How many of a peer's places are given by chance."""
    return 0 if slots == 0 else min(slots, max(1, int(slots * choking.optimistic_share)))


def choose(
    interested: Sequence[int],
    *,
    slots: int,
    tier: Mapping[int, int],
    merit: Mapping[int, float],
    keep: AbstractSet[int],
    rng: Random,
    choking: Choking,
) -> tuple[list[int], set[int]]:
    """Gives a peer's places.

    Args:
        interested: Who wants something.
        slots: How many places there are.
        tier: The class of each of them: higher is served first.
        merit: What decides within a class: higher is served first.
        keep: Who is served by chance now, and stays so.
        rng: Decides between equals, and who else is served by chance.
        choking: See there.

    Returns:
        Who is served, and who of them by chance.
    """
    chance = optimistic_slots(slots, choking)
    if len(interested) <= slots:  # nobody has to be left out
        return list(interested), set([peer for peer in interested if peer in keep][:chance])
    order = list(interested)
    rng.shuffle(order)
    order.sort(key=lambda peer: (tier[peer], merit.get(peer, 0.0)), reverse=True)
    regular = order[: max(0, slots - chance)]
    rest = [peer for peer in interested if peer not in set(regular)]
    lucky = [peer for peer in rest if peer in keep][:chance]
    others = [peer for peer in rest if peer not in keep]
    lucky += rng.sample(others, min(len(others), chance - len(lucky)))
    return [*regular, *lucky], set(lucky)
