"""Links have the rates, delays and faults that they were given.

Upper bounds of speed are sure: a link never gives more than its rate. Lower ones are generous, since the machine may be
busy; how exact they are on a quiet one is measured by the benchmarks.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest

from tests.lab.firewall import HANDSHAKE, Rule, loss
from tests.lab.links import Link, mbit
from tests.lab.traffic import PORT, line_of, received, round_trips, start, start_service, transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.network import Host, Network

PAYLOAD = 1448 / 1514
"""Of each full packet."""
BURST = 1.1
"""What a full bucket and queue add to a short transfer."""


def test_each_direction_has_its_rate(network: Network) -> None:
    fast = network.host("fast")
    slow = network.host("slow", Link(up_bps=mbit(5), down_bps=mbit(20)))
    up, down = transfer(slow, fast, 1_000_000), transfer(fast, slow, 4_000_000)
    assert mbit(5) * PAYLOAD * 0.6 < up.bps < mbit(5) * BURST
    assert mbit(20) * PAYLOAD * 0.6 < down.bps < mbit(20) * BURST


def test_hosts_of_a_site_share_its_link(network: Network) -> None:
    outside = network.host("outside")
    site = network.site("site", Link(up_bps=mbit(10), down_bps=mbit(10)))
    sinks = [start_service(outside, "sink", PORT + number) for number in range(2)]
    for number in range(2):
        start(site.host(f"inside {number}"), "send", outside.address, PORT + number, 1_000_000)
    got = [received(sink) for sink in sinks]
    # From the first byte of either to the last of either: on a busy machine one may begin well after the other.
    seconds = max(one.begun_s + one.seconds for one in got) - min(one.begun_s for one in got)
    assert sum(one.bytes for one in got) * 8 / seconds < mbit(10) * BURST
    assert transfer(site.host("a"), site.host("b"), 5_000_000).bps > mbit(
        20
    )  # what stays inside does not pass the link


def test_what_went_over_a_link_is_counted(network: Network) -> None:
    one, other = network.host("one"), network.host("other")
    before = one.sent_bytes, one.received_bytes, other.received_bytes
    transfer(one, other, 1_000_000)
    assert 1_000_000 < one.sent_bytes - before[0] < 1_200_000
    assert 0 < one.received_bytes - before[1] < 200_000
    assert 1_000_000 < other.received_bytes - before[2] < 1_200_000


def test_delay_is_what_was_asked_for(network: Network) -> None:
    near = network.host("near")
    for delay_s in (0.001, 0.02, 0.3):
        far = network.host(f"far {delay_s}", Link(delay_s=delay_s))
        trips = round_trips(far, near, 10)
        assert min(trips) >= 2 * delay_s
        assert statistics.median(trips) < 2 * delay_s + 0.01


def test_jitter_spreads_around_the_delay_and_keeps_the_order(network: Network) -> None:
    near, far = network.host("near"), network.host("far", Link(delay_s=0.02, jitter_s=0.01))
    trips = round_trips(far, near, 40)
    assert min(trips) >= 0.02
    assert statistics.stdev(trips) > 0.003
    assert transfer(far, near, 500_000).bytes == 500_000


def test_a_delayed_link_has_a_rate_too(network: Network) -> None:
    near, far = network.host("near"), network.host("far", Link(delay_s=0.01, up_bps=mbit(10), down_bps=mbit(50)))
    up, down = transfer(far, near, 2_000_000), transfer(near, far, 10_000_000)
    assert mbit(10) * PAYLOAD * 0.5 < up.bps < mbit(10) * BURST
    assert mbit(50) * PAYLOAD * 0.5 < down.bps < mbit(50) * BURST


def test_hosts_behind_nat_reach_out_and_cannot_be_reached(network: Network) -> None:
    outside = network.host("outside")
    home = network.site("home", nat=True)
    inside = home.host("inside")
    assert transfer(inside, outside, 1000).sender == home.address
    start_service(inside, "sink")
    assert start(outside, "send", inside.address, PORT, 1000).wait(30) != 0


def test_packets_are_lost_at_random(network: Network) -> None:
    one, other = network.host("one"), network.host("other")
    with other.rules(loss(0.3)):
        trips = round_trips(one, other, 30, length=64)
    assert 3 < len(trips) < 30
    with other.rules(loss(0.01)):
        assert transfer(one, other, 500_000).bytes == 500_000  # TCP sends again
    assert len(round_trips(one, other, 20)) == 20


def test_a_port_is_dropped_in_silence_or_refused(network: Network) -> None:
    one, other = network.host("one"), network.host("other")
    start_service(other, "sink")
    start_service(other, "sink", PORT + 1)
    with other.rules(Rule(action="reject", protocol="tcp", port=PORT)):
        refused = start(one, "send", other.address, PORT, 1000)
        assert refused.wait(5) != 0  # at once: a silent drop would last for ten seconds
        assert start(one, "send", other.address, PORT + 1, 1000).wait(30) == 0
    assert start(one, "send", other.address, PORT, 1000).wait(30) == 0
    start_service(other, "echo")
    with other.rules(Rule(action="reject", protocol="udp", port=PORT)):
        assert line_of(start(one, "ping", other.address, PORT, 1, 100)) == "refused"
    with other.rules(Rule(protocol="udp")):
        assert line_of(start(one, "ping", other.address, PORT, 1, 100)) == "[]"
        assert start(one, "send", other.address, PORT, 1000).wait(30) == 0


def test_what_is_said_can_be_filtered_on_its_way(network: Network) -> None:
    outside = network.host("outside")
    campus = network.site("campus")
    inside = campus.host("inside")
    script = (
        "import socket, sys; c = socket.create_connection((sys.argv[1], int(sys.argv[2])));"
        "c.settimeout(2); c.sendall(bytes.fromhex(sys.argv[3])); c.shutdown(socket.SHUT_WR); c.recv(1)"
    )
    sink = start_service(outside, "sink")
    words = ("python3", "-c", script, outside.address, str(PORT))
    with campus.rules(Rule(action="reject", protocol="tcp", payload=HANDSHAKE)):
        assert inside.start(*words, (b"GET / HTTP/1.1\r\n" + bytes(60)).hex()).wait(30) == 0
        assert received(sink).bytes == 76
        assert inside.start(*words, (HANDSHAKE + bytes(48)).hex()).wait(30) != 0


def test_a_cut_link_holds_a_transfer_and_a_restored_one_lets_it_go_on(network: Network) -> None:
    one, other = network.host("one", Link(up_bps=mbit(20))), network.host("other")
    sink = start_service(other, "sink")
    sending = start(one, "send", other.address, PORT, 5_000_000)  # two seconds of it
    other.cut()
    assert round_trips_stop(one, other)
    assert sending.poll() is None
    other.restore()
    assert received(sink).bytes == 5_000_000


def round_trips_stop(one: Host, other: Host) -> bool:
    """Nothing goes from one host to another."""
    return line_of(start(one, "ping", other.address, PORT, 1, 100)) == "[]"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Link(delay_s=0.01, jitter_s=0.02), "a delay of at least that"),
        (lambda: Rule(port=80), "needs a protocol"),
        (lambda: Rule(share=0), "more than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()
