"""Swarms in memory, for tests and simulations.

`MemorySession` does what a libtorrent session does, over a `MemoryNetwork` instead of sockets; `run_virtual` runs it
in virtual time::

    network = MemoryNetwork(clock=LoopClock(), rng=Random(1))
    seeder = await MemorySession.open(SwarmConfig(upload_bytes_per_s=1_000_000), network=network)
    leecher = await MemorySession.open(SwarmConfig(), network=network)
"""

from ossdist.sim.clock import LoopClock, run_virtual
from ossdist.sim.network import MemoryNetwork, MemoryTracker, MemoryWebServer, Timing
from ossdist.sim.ranges import MemoryRanges, MemoryStream
from ossdist.sim.session import MemorySession
from ossdist.sim.torrent import MemoryTorrent

__all__ = [
    "LoopClock",
    "MemoryNetwork",
    "MemoryRanges",
    "MemorySession",
    "MemoryStream",
    "MemoryTorrent",
    "MemoryTracker",
    "MemoryWebServer",
    "Timing",
    "run_virtual",
]
