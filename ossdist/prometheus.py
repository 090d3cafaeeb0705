"""A client's metrics for Prometheus: a collector, and an endpoint on this machine. Needs the extra ``metrics``.

Names and units are those of https://prometheus.io/docs/practices/naming: base units, ``_total`` for what only grows.
docs/metrics.md lists them.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from ossdist.errors import SwarmError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from prometheus_client.core import Metric

    from ossdist.client import Client
    from ossdist.metrics import Metrics

LOOPBACK = "127.0.0.1"
_ANSWER_S = 10.0

_NETWORK_COUNTERS = {
    "dials": ("peer_dials", "Attempts to connect to peers."),
    "dial_timeouts": ("peer_dial_timeouts", "Attempts to connect to peers that nobody answered."),
    "incoming": ("peer_incoming", "Connections that peers made to us."),
    "received_bytes": ("received_bytes", "Payload received through the session, right or wrong."),
    "sent_bytes": ("sent_bytes", "Payload sent."),
    "failed_bytes": ("failed_bytes", "Payload thrown away because a piece's hash was wrong."),
    "redundant_bytes": ("redundant_bytes", "Payload that came twice."),
    "banned_peers": ("banned_peers", "Peers banned for wrong data."),
}


class MetricsCollector(Collector):
    """Gives a client's metrics each time that it is asked.

    Args:
        take: Takes them; called in the thread of whoever asks.
    """

    def __init__(self, take: Callable[[], Metrics]) -> None:
        self._take = take

    def describe(self) -> list[Metric]:
        """Nothing: a registry would otherwise ask at once, when there may be no client yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of them, as of now."""
        taken = self._take()
        yield from _of_network(taken)
        yield from _of_shared(taken)
        yield from _of_transfers(taken)
        yield from _of_mirrors(taken)


def collector_of(client: Client, loop: asyncio.AbstractEventLoop) -> MetricsCollector:
    """A collector for a registry of one's own.

    Args:
        client: Whose metrics.
        loop: Where it runs. The registry must be asked in another thread.
    """
    return MetricsCollector(lambda: asyncio.run_coroutine_threadsafe(client.metrics(), loop).result(_ANSWER_S))


@asynccontextmanager
async def serve_metrics(client: Client, *, port: int = 0, host: str = LOOPBACK) -> AsyncGenerator[str]:
    """Answers Prometheus, as long as it is open.

    Args:
        client: Whose metrics.
        port: 0 for any.
        host: Where to listen; whoever reaches it can read what the client does.

    Returns:
        The address to ask.

    Raises:
        SwarmError: It cannot listen there.
    """
    registry = CollectorRegistry()
    registry.register(collector_of(client, asyncio.get_running_loop()))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise SwarmError(f"metrics cannot be served at {host}:{port}: {error}. Choose another port.") from error
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"ossdist_{name}", text, value=value)


def _of_network(taken: Metrics) -> Iterator[Metric]:
    network = taken.network
    for attribute, (name, text) in _NETWORK_COUNTERS.items():
        yield _counter(name, text, getattr(network, attribute))
    peers = GaugeMetricFamily(
        "ossdist_connected_peers", "Peers that are connected, web seeds counted.", labels=["protocol"]
    )
    peers.add_metric(["tcp"], network.tcp_peers)
    peers.add_metric(["utp"], network.utp_peers)
    yield peers
    if network.dht_nodes >= 0:
        yield GaugeMetricFamily("ossdist_dht_nodes", "Nodes of the DHT that are known.", value=network.dht_nodes)
    if taken.transport is not None:
        dialled = GaugeMetricFamily(
            "ossdist_transport", "1 for the way in which peers are dialled.", labels=["transport"]
        )
        dialled.add_metric([taken.transport.value], 1)
        yield dialled


def _of_shared(taken: Metrics) -> Iterator[Metric]:
    labels = ["name", "version"]
    yield GaugeMetricFamily("ossdist_shared_releases", "Releases that are shared.", value=taken.shared_releases)
    length = GaugeMetricFamily("ossdist_shared_bytes", "Length of a shared release.", labels=labels)
    sent = CounterMetricFamily(
        "ossdist_shared_sent_bytes", "Payload sent of a release since sharing began.", labels=labels
    )
    peers = GaugeMetricFamily("ossdist_shared_peers", "Peers connected for a release.", labels=labels)
    copies = GaugeMetricFamily(
        "ossdist_shared_copies", "Full copies among connected peers, ours not counted.", labels=labels
    )
    for release in taken.shared:
        where = [release.name, release.version]
        length.add_metric(where, release.length)
        sent.add_metric(where, release.sent_bytes)
        peers.add_metric(where, release.peers)
        if release.copies >= 0:
            copies.add_metric(where, release.copies)
    yield from (length, sent, peers, copies)


def _of_transfers(taken: Metrics) -> Iterator[Metric]:
    labels = ["name", "version"]
    length = GaugeMetricFamily("ossdist_transfer_bytes", "Length of a release that is being fetched.", labels=labels)
    done = GaugeMetricFamily("ossdist_transfer_done_bytes", "Bytes of it that are here.", labels=labels)
    received = CounterMetricFamily(
        "ossdist_transfer_received_bytes", "Payload of it that came, by where it came from.", labels=[*labels, "source"]
    )
    peers = GaugeMetricFamily("ossdist_transfer_peers", "Peers connected for it.", labels=labels)
    condition = GaugeMetricFamily(
        "ossdist_swarm_condition", "1 for the condition of its swarm.", labels=[*labels, "condition"]
    )
    for transfer in taken.transfers:
        where = [transfer.name, transfer.version]
        length.add_metric(where, transfer.length)
        done.add_metric(where, transfer.done_bytes)
        received.add_metric([*where, "swarm"], transfer.from_peers_bytes)
        received.add_metric([*where, "mirror"], transfer.from_mirrors_bytes)
        peers.add_metric(where, transfer.peers)
        condition.add_metric([*where, transfer.condition], 1)
    yield from (length, done, received, peers, condition)


def _of_mirrors(taken: Metrics) -> Iterator[Metric]:
    rate = GaugeMetricFamily("ossdist_mirror_bytes_per_second", "A mirror's rate, a moving mean.", labels=["url"])
    connect = GaugeMetricFamily("ossdist_mirror_connect_seconds", "To a connection with it, the same.", labels=["url"])
    first = GaugeMetricFamily(
        "ossdist_mirror_first_byte_seconds", "To the first byte of an answer, the same.", labels=["url"]
    )
    reliability = GaugeMetricFamily(
        "ossdist_mirror_reliability_ratio", "Part of requests that it fulfils.", labels=["url"]
    )
    breaker = GaugeMetricFamily(
        "ossdist_mirror_breaker", "1 for the state of its circuit breaker.", labels=["url", "state"]
    )
    for mirror in taken.mirrors:
        for family, value in ((rate, mirror.bytes_per_s), (connect, mirror.connect_s), (first, mirror.first_byte_s)):
            if value is not None:
                family.add_metric([mirror.url], value)
        reliability.add_metric([mirror.url], mirror.reliability)
        breaker.add_metric([mirror.url, mirror.breaker.value], 1)
    yield from (rate, connect, first, reliability, breaker)
