"""Rules as nft's text."""

from __future__ import annotations

from tests.lab.firewall import HANDSHAKE, LOSES_EVERYTHING, Rule, loss, ruleset


def chain(text: str, name: str) -> list[str]:
    """The rules of one chain."""
    body = text.partition(f"chain {name} {{")[2].partition("}")[0]
    return [line.strip() for line in body.splitlines()[1:] if line.strip()]


def test_no_rules_touch_nothing() -> None:
    text = ruleset([])
    assert chain(text, "input") == ["meta iifname lo accept"]
    assert chain(text, "output") == ["meta oifname lo accept"]
    assert chain(text, "forward") == []


def test_a_port_is_either_end_of_a_connection() -> None:
    assert chain(ruleset([Rule(protocol="udp", port=53)]), "forward") == ["udp sport 53 drop", "udp dport 53 drop"]


def test_losses_are_a_share_of_what_comes_in() -> None:
    text = ruleset([loss(0.025)])
    assert chain(text, "input")[1:] == ["numgen random mod 1000000 < 25000 drop"]
    assert chain(text, "output")[1:] == []


def test_payload_is_compared_in_parts() -> None:
    [rule] = chain(ruleset([Rule(protocol="tcp", payload=HANDSHAKE)]), "forward")
    assert rule == f"meta l4proto tcp @ih,0,128 0x{HANDSHAKE[:16].hex()} @ih,128,32 0x{HANDSHAKE[16:].hex()} drop"


def test_everything_is_everything_but_loopback() -> None:
    text = ruleset([LOSES_EVERYTHING])
    assert chain(text, "output") == ["meta oifname lo accept", "drop"]
