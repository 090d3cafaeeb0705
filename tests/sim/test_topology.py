"""Places, the links between them, and who can dial whom."""

from __future__ import annotations

import pytest

from ossdist.sim.crowd.topology import Builder, Place, campus, clusters, star, transit


def test_in_a_star_only_delay_lies_between_hosts() -> None:
    topology = star([Place("a"), Place("b")], delay_s=0.02)
    assert topology.routes[0, 1] == topology.routes[0, 0] == ()
    assert topology.rtt_s(0, 1) == pytest.approx(0.04)
    assert topology.rtt_s(0, 0) == pytest.approx(0.04)
    assert topology.longest_route == 0


def test_clusters_share_one_line_each_in_each_direction() -> None:
    topology = clusters(4, uplink_bps=100.0, near_s=0.001, far_s=0.03, regions=2)
    assert topology.routes[1, 1] == ()
    assert len(topology.routes[0, 1]) == 2  # out of one, into the other
    assert set(topology.routes[0, 1]).isdisjoint(topology.routes[1, 0])
    assert topology.rtt_s(0, 1) == pytest.approx(0.06)
    assert topology.rtt_s(2, 2) == pytest.approx(0.002)
    assert topology.place_numbers("region0") == (0, 2)
    assert set(topology.capacities) == {100.0}


def test_in_a_hierarchy_near_networks_do_not_cross_the_backbone() -> None:
    topology = transit(backbones=2, networks=2, backbone_bps=1000.0, uplink_bps=10.0)
    near, far = topology.routes[0, 1], topology.routes[0, 2]
    assert [topology.capacities[link] for link in near] == [10.0, 10.0]
    assert [topology.capacities[link] for link in far] == [10.0, 1000.0, 10.0]
    assert topology.longest_route == 3
    assert topology.rtt_s(0, 2) > topology.rtt_s(0, 1)


def test_nobody_dials_into_a_translated_network_and_everybody_out_of_it() -> None:
    topology = campus(uplink_bps=50.0)
    assert topology.may_dial(1, 0)
    assert topology.may_dial(1, 1)
    assert not topology.may_dial(0, 1)
    assert [topology.capacities[link] for link in topology.routes[1, 0]] == [50.0]


def test_a_firewall_against_peers_lets_none_through_either_way() -> None:
    topology = campus(uplink_bps=50.0, nat=False, blocks_peers=True)
    assert not topology.may_dial(0, 1)
    assert not topology.may_dial(1, 0)
    assert topology.may_dial(1, 1)


def test_what_makes_no_sense_is_refused() -> None:
    builder = Builder()
    builder.place(Place("a"))
    with pytest.raises(ValueError, match="'a' already"):
        builder.place(Place("a"))
    builder.place(Place("b"))
    with pytest.raises(ValueError, match="no way from 'a' to 'b'"):
        builder.build()
