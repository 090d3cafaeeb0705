"""What a client says of itself: as a value, and to Prometheus."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from ossdist import events
from ossdist.client import Client
from ossdist.config import ClientConfig, Transport
from ossdist.errors import SwarmError
from ossdist.metrics import MOST_RELEASES, Metrics, MirrorRecord, RunningTransfer, SharedRelease, mirror_records
from ossdist.mirrors.health import Breaker, Health
from ossdist.prometheus import MetricsCollector, serve_metrics
from ossdist.transfer.session import NetworkCounters
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, LOCAL, TestChannel, noise, port_of, published_channel

if TYPE_CHECKING:
    from tests.keys import Keys

FILES = {"a.bin": noise(1_500_000), "b.bin": noise(700_000, seed=1)}
TOTAL = sum(map(len, FILES.values()))
DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

SAMPLE = Metrics(
    network=NetworkCounters(dials=7, dial_timeouts=2, tcp_peers=3, dht_nodes=40, received_bytes=10**12, sent_bytes=5),
    transport=Transport.TCP_ENCRYPTED,
    shared=(
        SharedRelease(name="tool", version="1.0", length=100, sent_bytes=250, sent_bytes_per_s=9, peers=2, copies=1.5),
        SharedRelease(name='we"ird\n', version="\\", length=1, sent_bytes=0, sent_bytes_per_s=0, peers=0, copies=-1.0),
    ),
    shared_releases=2,
    transfers=(
        RunningTransfer(
            name="tool",
            version="2.0",
            length=200,
            done_bytes=50,
            from_peers_bytes=30,
            from_mirrors_bytes=25,
            peers=4,
            condition="degraded",
        ),
    ),
    mirrors=(
        MirrorRecord(
            url="https://m.example/",
            bytes_per_s=1e6,
            connect_s=0.02,
            first_byte_s=None,
            reliability=0.75,
            breaker=Breaker.HALF_OPEN,
        ),
    ),
)


@pytest.fixture
def channel(tmp_path: Path, keys: Keys) -> TestChannel:
    return published_channel(tmp_path, keys, FILES)


def told(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus would store."""
    answer = requests.get(url, timeout=20)
    answer.raise_for_status()
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def names_of(collector: MetricsCollector) -> set[str]:
    return {sample.name for family in collector.collect() for sample in family.samples}


# --- the value ---------------------------------------------------------------------------------------------


@asynchronous
async def test_a_seed_and_a_download_say_what_they_do(channel: TestChannel, tmp_path: Path) -> None:
    slow = replace(CONFIG, swarm=replace(LOCAL, upload_bytes_per_s=1_500_000))
    seen: list[asyncio.Task[Metrics]] = []
    async with (
        Client(channel.folder, root=channel.root, config=slow) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):

        def watch(event: events.TransferEvent) -> None:
            if isinstance(event, events.Progress) and event.bytes_from_peers and not seen:
                seen.append(asyncio.create_task(client.metrics()))

        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        await client.download("tool", to=tmp_path / "out", peers=[port_of(seed)], on_event=watch)
        (during,), after, there = [await task for task in seen], await client.metrics(), await seed.metrics()
    (running,) = during.transfers
    assert (running.name, running.version, running.length, running.peers) == ("tool", "1.0", TOTAL, 1)
    assert 0 < running.from_peers_bytes < TOTAL
    assert running.from_mirrors_bytes == 0
    assert during.shared == ()
    assert after.transfers == ()
    assert (after.shared_releases, after.transport) == (1, Transport.TCP)
    assert after.network.received_bytes >= TOTAL
    (shared,) = there.shared
    assert (shared.name, shared.version, shared.length) == ("tool", "1.0", TOTAL)
    assert shared.sent_bytes == there.network.sent_bytes >= TOTAL


@asynchronous
async def test_a_closed_client_says_nothing(channel: TestChannel) -> None:
    async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
        pass
    with pytest.raises(SwarmError):
        await client.metrics()


@asynchronous
async def test_without_peers_there_is_no_transport(channel: TestChannel, tmp_path: Path) -> None:
    config = ClientConfig(peers_enabled=False, state_folder=tmp_path / "state")
    async with Client(channel.folder, root=channel.root, config=config) as client:
        found = await client.metrics()
    assert (found.transport, found.network) == (None, NetworkCounters())


def test_what_is_known_of_mirrors() -> None:
    known = {
        "https://b/": Health(bytes_per_s=5.0, successes=1, at=100.0),
        "https://a/": Health(in_a_row=1, rests_until=200.0),
    }
    first, second = mirror_records(known, 150.0)
    assert (first.url, first.breaker, first.bytes_per_s) == ("https://a/", Breaker.OPEN, None)
    assert (second.breaker, second.bytes_per_s, second.reliability) == (Breaker.CLOSED, 5.0, 1.0)


# --- for Prometheus ----------------------------------------------------------------------------------------


@asynchronous
async def test_prometheus_is_answered(channel: TestChannel) -> None:
    async with Client(channel.folder, root=channel.root, config=CONFIG) as client:
        await client.seed("tool", folder=channel.payload("tool", "1.0"))
        async with serve_metrics(client) as url:
            assert url.startswith("http://127.0.0.1:")
            found = await asyncio.to_thread(told, url)
    release = (("name", "tool"), ("version", "1.0"))
    assert found["ossdist_shared_releases", ()] == 1
    assert found["ossdist_shared_bytes", release] == TOTAL
    assert found["ossdist_shared_sent_bytes_total", release] == 0
    assert found["ossdist_transport", (("transport", "tcp"),)] == 1


@asynchronous
async def test_a_port_that_is_taken_is_said(channel: TestChannel) -> None:
    async with Client(channel.folder, root=channel.root, config=CONFIG) as client, serve_metrics(client) as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(SwarmError, match="Choose another port"):
            async with serve_metrics(client, port=port):
                pass
    with pytest.raises(requests.ConnectionError):  # it ends with its block
        await asyncio.to_thread(told, url)


def test_every_value_is_given_with_its_labels() -> None:
    found = {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in MetricsCollector(lambda: SAMPLE).collect()
        for sample in family.samples
    }
    tool = (("name", "tool"), ("version", "2.0"))
    assert found["ossdist_received_bytes_total", ()] == 10**12
    assert found["ossdist_transfer_received_bytes_total", (*tool, ("source", "mirror"))] == 25
    assert found["ossdist_swarm_condition", (*tool, ("condition", "degraded"))] == 1
    assert found["ossdist_shared_copies", (("name", "tool"), ("version", "1.0"))] == 1.5
    mirror = ("url", "https://m.example/")
    assert found["ossdist_mirror_connect_seconds", (mirror,)] == 0.02
    assert found["ossdist_mirror_breaker", (mirror, ("state", "half-open"))] == 1
    unknown = [("ossdist_mirror_first_byte_seconds", (mirror,))]
    unknown += [("ossdist_shared_copies", (("name", 'we"ird\n'), ("version", "\\")))]
    assert not set(unknown) & set(found)


def test_the_documentation_lists_them_all() -> None:
    documented = set(re.findall(r"^\| `(ossdist_\w+)", DOCS.read_text("utf-8"), re.MULTILINE))
    whole = replace(SAMPLE, mirrors=(replace(SAMPLE.mirrors[0], first_byte_s=0.1),))
    assert documented == names_of(MetricsCollector(lambda: whole))
    assert str(MOST_RELEASES) in DOCS.read_text("utf-8")
