"""What a host or router drops, refuses or loses: nftables rules as values, applied all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.lab.namespaces import Namespace

Chain = Literal["input", "output", "forward"]

HANDSHAKE = b"\x13BitTorrent protocol"
"""How a BitTorrent connection begins (BEP 3)."""

_COMPARED = 16
"""How many bytes one comparison of nftables takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to some packets, in every direction that they take through a machine.

    Attributes:
        action: ``drop`` says nothing to the sender, ``reject`` does: a reset for TCP, an ICMP message for the rest.
        protocol: Which protocol; every one if None.
        port: Packets from or to this port; needs a protocol.
        payload: Packets whose payload begins so; needs a protocol.
        share: Of these packets, 0 to 1, chosen at random.
        chains: Where: what is for the machine itself, what it sends, what it routes.
    """

    action: Literal["drop", "reject"] = "drop"
    protocol: Literal["tcp", "udp"] | None = None
    port: int | None = None
    payload: bytes = b""
    share: float = 1.0
    chains: tuple[Chain, ...] = ("input", "output", "forward")

    def __post_init__(self) -> None:
        if self.protocol is None and (self.port is not None or self.payload or self.action == "reject"):
            raise ValueError("a rule about ports or payload, or one that refuses, needs a protocol")
        if not 0 < self.share <= 1:
            raise ValueError(f"a share of {self.share} is not more than 0 and at most 1")


LOSES_EVERYTHING = Rule()
"""A cable that was cut: nobody is told."""


def loss(share: float) -> Rule:
    """Incoming packets are lost at random."""
    return Rule(share=share, chains=("input", "forward"))


def ruleset(rules: Iterable[Rule]) -> str:
    """The text for ``nft -f -`` that replaces all rules by these. Loopback is never touched."""
    lines = ["table inet lab", "delete table inet lab", "table inet lab {"]
    given = tuple(rules)
    for chain in ("input", "output", "forward"):
        lines.append(f"  chain {chain} {{ type filter hook {chain} priority 0; policy accept;")
        if chain != "forward":
            lines.append(f"    meta {'i' if chain == 'input' else 'o'}ifname lo accept")
        lines += [f"    {text}" for rule in given if chain in rule.chains for text in _texts(rule)]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


class Firewall:
    """The rules of one namespace.

    Args:
        namespace: Where.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._rules: list[Rule] = []

    def add(self, *rules: Rule) -> None:
        """From now on these hold too."""
        self._apply([*self._rules, *rules])

    def remove(self, *rules: Rule) -> None:
        """From now on these hold no more."""
        self._apply([rule for rule in self._rules if rule not in rules])

    def _apply(self, rules: list[Rule]) -> None:
        self._namespace.run("nft", "-f", "-", given=ruleset(rules))
        self._rules = rules


def _texts(rule: Rule) -> Iterator[str]:
    """A rule in nft's words; one about a port is two: from it, and to it."""
    ends = [] if rule.port is None else [f"{rule.protocol} {end} {rule.port}" for end in ("sport", "dport")]
    for end in ends or [f"meta l4proto {rule.protocol}" if rule.protocol else ""]:
        parts = [(at, rule.payload[at : at + _COMPARED]) for at in range(0, len(rule.payload), _COMPARED)]
        payload = " ".join(f"@ih,{at * 8},{len(part) * 8} 0x{part.hex()}" for at, part in parts)
        random = f"numgen random mod 1000000 < {round(rule.share * 1_000_000)}" if rule.share < 1 else ""
        action = rule.action
        if action == "reject" and rule.protocol == "tcp":
            action = "tcp flags & rst == 0 reject with tcp reset"  # the reset itself has to get out
        yield " ".join(text for text in (end, payload, random, action) if text)
