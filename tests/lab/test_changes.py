"""The network changes in the middle of a transfer, which goes on by itself: the link, the address, the tracker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.firewall import LOSES_EVERYTHING
from tests.lab.links import Link, mbit
from tests.lab.peers import PEER_PORT, answer_of, start_fetch
from tests.lab.releases import CONTENT, sources

if TYPE_CHECKING:
    import subprocess

    from tests.lab.network import Host, Network
    from tests.lab.releases import Scene

SLOW = Link(up_bps=mbit(10), down_bps=mbit(10))
"""The transfer takes five seconds."""

_DOWN_S = 20.0
_DEADLINE_S = 60.0


def start(scene: Scene, client: Host, *words: str) -> subprocess.Popen[str]:
    return start_fetch(client, scene.url, "tool", *words, root=scene.channel.root, to=scene.folder / "to")


def until_half(client: Host) -> None:
    """Waits until about half of the payload has come."""
    deadline_s = time.monotonic() + _DEADLINE_S
    while client.received_bytes < len(CONTENT) / 2:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def require_done(scene: Scene, process: subprocess.Popen[str]) -> dict[str, int]:
    answer, _ = answer_of(process)
    assert answer["ok"] is True, answer
    assert (scene.folder / "to" / "tool.bin").read_bytes() == CONTENT
    return sources(answer)


@pytest.mark.parametrize("words", [("--no-http",), ("--no-p2p",)], ids=["peers", "mirror"])
def test_the_link_is_down_for_a_while(network: Network, scene: Scene, words: tuple[str, ...]) -> None:
    client = network.host("client", SLOW)
    process = start(scene, client, *words)
    until_half(client)
    client.cut()
    time.sleep(_DOWN_S)
    assert process.poll() is None
    client.restore()
    parts = require_done(scene, process)
    assert parts["swarm"] + parts["mirror"] == len(CONTENT)


@pytest.mark.parametrize("words", [("--no-http",), ("--no-p2p",)], ids=["peers", "mirror"])
def test_the_address_changes(network: Network, scene: Scene, words: tuple[str, ...]) -> None:
    client = network.host("client", SLOW)
    process = start(scene, client, *words, "--listen", f"0.0.0.0:{PEER_PORT + 1}")
    until_half(client)
    network.move(client, "10.77.0.200")
    require_done(scene, process)


def test_a_tracker_that_is_away_at_first_is_asked_again(network: Network, scene: Scene) -> None:
    client = network.host("client", SLOW)
    scene.tracker.firewall.add(LOSES_EVERYTHING)
    process = start(scene, client, "--no-http")
    time.sleep(8.0)  # longer than it is waited for once
    assert process.poll() is None
    scene.tracker.firewall.remove(LOSES_EVERYTHING)
    assert require_done(scene, process)["swarm"] == len(CONTENT)


def test_a_tracker_that_goes_away_is_not_missed(network: Network, scene: Scene) -> None:
    client = network.host("client", SLOW)
    process = start(scene, client, "--no-http")
    until_half(client)
    scene.tracker.firewall.add(LOSES_EVERYTHING)
    assert require_done(scene, process)["swarm"] == len(CONTENT)
