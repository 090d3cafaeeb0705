"""A release in the lab: our scripts, other clients, servers, a firewall, and peers that break the rules."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import pytest

from tests.lab.firewall import HANDSHAKE, Rule
from tests.lab.peers import (
    PEER_PORT,
    answer_of,
    run_hostile,
    run_seed,
    start_aria2,
    start_fetch,
    start_qbittorrent,
    until_it_listens,
)
from tests.lab.releases import CONTENT, SLOW, Scene, sources

if TYPE_CHECKING:
    from tests.lab.network import Host, Network

_DEADLINE_S = 60.0


def fetch(scene: Scene, host: Host, *words: str) -> tuple[dict[str, object], str]:
    """Our download, to its end."""
    to = scene.folder / host.name / "to"
    to.mkdir(parents=True)
    answer, said = answer_of(start_fetch(host, scene.url, "tool", *words, root=scene.channel.root, to=to))
    assert answer["ok"] is True, answer
    assert (to / "tool.bin").read_bytes() == CONTENT
    return answer, said


def test_everybody_gets_the_same_bytes_with_a_poisoner_among_them(scene: Scene, network: Network) -> None:
    aria2, qbittorrent = scene.folder / "aria2", scene.folder / "qbittorrent"
    evil = run_hostile(network.host("evil", SLOW), "wrong-always", scene.torrent(), scene.payload)
    start_aria2(network.host("aria2", SLOW), scene.torrent(v1=True), aria2)
    start_qbittorrent(network.host("qbittorrent", SLOW), scene.torrent(), qbittorrent)
    answer, said = fetch(scene, network.host("client", SLOW), "--peer", evil)
    parts = sources(answer)
    assert parts["swarm"] + parts["mirror"] == len(CONTENT)
    assert parts["mirror"] > 0
    assert f"{evil} sent wrong data" in said
    deadline_s = time.monotonic() + _DEADLINE_S
    while not (aria2 / "done").exists() or not (qbittorrent / "tool.bin").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert (aria2 / "tool.bin").read_bytes() == CONTENT
    assert (qbittorrent / "tool.bin").read_bytes() == CONTENT


def test_behind_a_firewall_that_knows_bittorrent_the_mirror_is_enough(scene: Scene, network: Network) -> None:
    campus = network.site("campus", SLOW, nat=True)
    with campus.rules(Rule(protocol="tcp", payload=HANDSHAKE)):
        answer, _ = fetch(scene, campus.host("student"))
    parts = sources(answer)
    assert parts["mirror"] > 0
    assert parts["swarm"] + parts["mirror"] == len(CONTENT)


@pytest.mark.parametrize(
    ("rule", "transport", "evidence"),
    [
        (Rule(protocol="tcp", payload=HANDSHAKE), "encrypted tcp", "ended before the handshake did"),
        (Rule(protocol="tcp", port=PEER_PORT), "utp", "were not answered"),
        (Rule(action="reject", protocol="tcp", port=PEER_PORT), "utp", "were refused"),
    ],
    ids=["filtered", "dropped", "rejected"],
)
def test_peers_are_dialled_round_a_firewall_and_the_next_time_so_from_the_start(
    network: Network, scene: Scene, rule: Rule, transport: str, evidence: str
) -> None:
    client = network.host("client", SLOW)
    words = ("--no-http", "--peer", f"{scene.seed.address}:{PEER_PORT}")
    with client.rules(rule):
        for to, found in (("first", True), ("second", False)):
            process = start_fetch(client, scene.url, "tool", *words, root=scene.channel.root, to=scene.folder / to)
            answer, said = answer_of(process)
            assert answer["ok"] is True, answer
            assert sources(answer)["swarm"] == len(CONTENT)
            changes = [line for line in said.splitlines() if line.startswith("peers are dialled over")]
            assert [line.startswith(f"peers are dialled over {transport}: ") for line in changes] == [True] * found
            assert all(evidence in line for line in changes)


def test_a_seed_that_listens_on_the_webs_port_too_is_found_there(network: Network, scene: Scene) -> None:
    client, second = network.host("client", SLOW), network.host("second seed", SLOW)
    run_seed(second, scene.channel.folder, scene.folder / "second", "--listen", f"{second.address}:443")
    with client.rules(Rule(protocol="tcp", port=PEER_PORT), Rule(protocol="udp", port=PEER_PORT)):
        answer, _ = fetch(scene, client, "--no-http")
    assert sources(answer)["swarm"] == len(CONTENT)


def test_what_no_other_transport_gets_past_a_proxy_does(network: Network, scene: Scene) -> None:
    client, proxy = network.host("client", SLOW), network.host("proxy", SLOW)
    proxy.start("microsocks", "-i", proxy.address, "-p", "1080", "-u", "user", "-P", "secret word")
    until_it_listens(proxy, 1080)
    words = ("--no-http", "--peer", f"{scene.seed.address}:{PEER_PORT}", "--exhausted-after", "100")
    words += ("--proxy", f"socks5://user:secret%20word@{proxy.address}:1080")
    reject = Rule(action="reject", protocol="tcp", port=PEER_PORT)  # soon said, and UDP is dropped
    with client.rules(reject, Rule(protocol="udp", port=PEER_PORT)):
        process = start_fetch(client, scene.url, "tool", *words, root=scene.channel.root, to=scene.folder / "to")
        answer, said = answer_of(process)
    assert answer["ok"] is True, answer
    assert sources(answer)["swarm"] == len(CONTENT)
    assert "peers are dialled over proxy: " in said
    assert "secret" not in said


@pytest.mark.parametrize("behaviour", ["goes-silent", "drip-feeds", "lies-in-bitfield"])
def test_a_hostile_peer_does_not_hold_a_download_up(behaviour: str, scene: Scene, network: Network) -> None:
    evil = run_hostile(network.host("evil"), behaviour, scene.torrent(), scene.payload)
    answer, _ = fetch(scene, network.host("client", SLOW), "--peer", evil, "--no-http")
    assert sources(answer)["swarm"] == len(CONTENT)
    assert cast("float", answer["seconds"]) < 15  # 2.5 at the link's speed; a block is waited for in bounded time
    assert int(evil.rpartition(":")[2]) == PEER_PORT


@pytest.mark.parametrize(
    ("rule", "condition", "evidence"),
    [
        (Rule(protocol="tcp", port=PEER_PORT), "blocked", "were not answered"),
        (Rule(action="reject", protocol="tcp", port=PEER_PORT), "blocked", "were refused"),
        (Rule(protocol="tcp", payload=HANDSHAKE), "blocked", "ended before the handshake did"),
    ],
    ids=["dropped", "rejected", "filtered"],
)
def test_what_is_in_the_way_of_peers_is_said(
    network: Network, scene: Scene, rule: Rule, condition: str, evidence: str
) -> None:
    client = network.host("client", SLOW)
    words = ("--no-http", "--exhausted-after", "25", "--peer", f"{scene.seed.address}:{PEER_PORT}")
    to = scene.folder / "to"
    with client.rules(rule):
        process = start_fetch(client, scene.url, "tool", *words, root=scene.channel.root, to=to)
        assert process.stderr is not None
        said = next((line for line in process.stderr if line.startswith(f"the swarm is {condition}: ")), "")
        process.kill()
        process.wait()
    assert evidence in said
