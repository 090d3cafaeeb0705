"""How people use a client: small classes, each the life of one host in the swarm.

A behaviour says what a host does and when; what its client does (whom it serves, where it asks) is policy's part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator
    from random import Random

    import simpy

Life = "Generator[simpy.Event, object, None]"


class Member(Protocol):
    """What a behaviour can do with its host."""

    @property
    def env(self) -> simpy.Environment:
        """Virtual time."""
        ...

    @property
    def rng(self) -> Random:
        """Its randomness."""
        ...

    @property
    def completed(self) -> simpy.Event:
        """Happens when everything is here."""
        ...

    @property
    def banned(self) -> simpy.Event:
        """Happens when somebody has banned it."""
        ...

    @property
    def upload_bytes(self) -> float:
        """What it has sent."""
        ...

    def join(self) -> None:
        """Takes part, from where it was."""
        ...

    def leave(self) -> None:
        """Takes part no more; what is here stays."""
        ...

    def rename(self) -> None:
        """Comes back as somebody whom nobody knows, with what is here; while it takes no part."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The default user: downloads, shares meanwhile and for a while afterwards, and goes.

    Attributes:
        seeds_for_s: How long it shares what is complete; infinite for ever.
        slots: To how many peers at a time it sends; 0 for none.
        up_share: The part of its line's upload that it gives.
        dialable: Others can connect to it.
        poison: The share of pieces that it sends wrong.
        identities: As how many peers one host takes part.
    """

    seeds_for_s: float = 600.0
    slots: int = 8
    up_share: float = 1.0
    dialable: bool = True
    poison: float = 0.0
    identities: int = 1

    def __post_init__(self) -> None:
        """Refuses what no host can be."""
        for each in fields(self):
            if not getattr(self, each.name) >= 0:
                raise ValueError(f"{each.name} must be a number, and not negative")
        if not 0 < self.up_share <= 1 or self.poison > 1:
            raise ValueError(
                "up_share and poison are shares of 1, and up_share is more than 0; slots = 0 sends nothing"
            )
        if type(self.dialable) is not bool:
            raise ValueError("dialable is true or false")
        whole = (type(each) is int for each in (self.slots, self.identities))  # TOML has floats too
        if not all(whole) or not 1 <= self.identities <= 1000:
            raise ValueError("slots and identities are whole numbers, the latter from 1 to 1000")

    @property
    def most_peers(self) -> int:
        """As how many peers one host takes part in all."""
        return self.identities

    def live(self, member: Member) -> Generator[simpy.Event, object, None]:
        """The host's life, from its arrival on."""
        member.join()
        yield member.completed
        if not math.isinf(self.seeds_for_s):
            yield member.env.timeout(self.seeds_for_s)
            member.leave()


@dataclass(frozen=True, slots=True, kw_only=True)
class Altruist(Behaviour):
    """Shares for ever."""

    seeds_for_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedBox(Altruist):
    """A server that shares for ever, with many at a time."""

    slots: int = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavesAtCompletion(Behaviour):
    """Shares as long as it downloads, and not a second longer."""

    seeds_for_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeRider(LeavesAtCompletion):
    """Sends nothing."""

    slots: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowUplink(Behaviour):
    """Gives a twentieth of its upload, so that the line stays usable."""

    up_share: float = 0.05
    slots: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Natted(Behaviour):
    """Behind an address translator of its own: it dials, and nobody can dial it."""

    dialable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedMobile(Behaviour):
    """Sends until its cap is reached, and then nothing any more; nobody can dial it.

    Attributes:
        cap_bytes: The most that it sends.
        look_s: How often it looks at what it has sent.
    """

    seeds_for_s: float = 60.0
    slots: int = 2
    dialable: bool = False
    cap_bytes: float = 50e6
    look_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuses what no host can be."""
        Behaviour.__post_init__(self)
        if not 0.1 <= self.look_s < math.inf:
            raise ValueError("look_s must be 0.1 or more")

    def live(self, member: Member) -> Generator[simpy.Event, object, None]:
        """Leaves as soon as it is complete and has sent its share."""
        member.join()
        yield member.completed
        until_s = member.env.now + self.seeds_for_s
        while member.env.now < until_s and member.upload_bytes < self.cap_bytes:
            yield member.env.timeout(self.look_s)
        member.leave()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaky(Behaviour):
    """Loses its connection again and again.

    Attributes:
        up_s: How long it stays at a time, on average.
        down_s: How long it is away, on average.
    """

    up_s: float = 60.0
    down_s: float = 15.0

    def __post_init__(self) -> None:
        """Refuses what no host can be."""
        Behaviour.__post_init__(self)
        if not 0.1 <= self.up_s < math.inf or not 0.1 <= self.down_s < math.inf:
            raise ValueError("up_s and down_s must be 0.1 or more")

    def live(self, member: Member) -> Generator[simpy.Event, object, None]:
        """Comes and goes until it is complete."""
        while not member.completed.triggered:
            member.join()
            away = member.env.timeout(member.rng.expovariate(1 / self.up_s))
            yield member.env.any_of([away, member.completed])
            if not member.completed.triggered:
                member.leave()
                yield member.env.timeout(member.rng.expovariate(1 / self.down_s))
        yield member.env.timeout(self.seeds_for_s)
        member.leave()


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoner(Altruist):
    """Claims to have everything, and sends nothing but wrong data."""

    poison: float = 1.0

    def live(self, member: Member) -> Generator[simpy.Event, object, None]:
        """Stays for ever."""
        member.join()
        yield member.env.event()


@dataclass(frozen=True, slots=True, kw_only=True)
class Whitewasher(Poisoner):
    """A poisoner who comes back under a new name when somebody has banned the old one.

    Attributes:
        pause_s: How long that takes.
        poison: The share of pieces that it sends wrong.
        names: How many names it has; when the last one is banned, it stays away.
    """

    poison: float = 0.5
    pause_s: float = 5.0
    names: int = 20

    def __post_init__(self) -> None:
        """Refuses what no host can be."""
        Behaviour.__post_init__(self)
        if not 0.1 <= self.pause_s < math.inf:
            raise ValueError("pause_s must be 0.1 or more")
        if type(self.names) is not int or not 1 <= self.names <= 1000:
            raise ValueError("names is a whole number from 1 to 1000")

    @property
    def most_peers(self) -> int:
        """Each of its names is one."""
        return self.identities * self.names

    def live(self, member: Member) -> Generator[simpy.Event, object, None]:
        """Comes back again and again."""
        for left in reversed(range(self.names)):
            member.join()
            yield member.banned
            member.leave()
            if left:
                yield member.env.timeout(self.pause_s)
                member.rename()


@dataclass(frozen=True, slots=True, kw_only=True)
class SybilGroup(FreeRider):
    """One host that takes part as many peers, to be unchoked by chance more often."""

    identities: int = 10


PROFILES: dict[str, type[Behaviour]] = {
    "default": Behaviour,
    "altruist": Altruist,
    "seed box": SeedBox,
    "leaves at completion": LeavesAtCompletion,
    "free rider": FreeRider,
    "slow uplink": SlowUplink,
    "nat": Natted,
    "capped mobile": CappedMobile,
    "flaky": Flaky,
    "poisoner": Poisoner,
    "whitewasher": Whitewasher,
    "sybil group": SybilGroup,
}
"""By the names that scenarios use."""


def profile_of(behaviour: Behaviour) -> str:
    """The name of a behaviour's profile; its class's, if it is none of ours."""
    names = {kind: name for name, kind in PROFILES.items()}
    return names.get(type(behaviour), type(behaviour).__name__)
