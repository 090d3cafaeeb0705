"""Drivers for the real programs that tests and the laboratory talk to.

Each driver is an async context manager: inside the block the program runs and is ready, after the block it
and its children are gone. Everything that it writes stays in the folder that it was given.

    async with Opentracker(tmp / "tracker", allow=[info_hash]) as tracker, Transmission(tmp / "tr") as client:
        key = await client.add_torrent(torrent, save_path=tmp / "out")
        await client.complete(key, timeout_s=60)
"""

from tests.programs.aria2 import Aria2
from tests.programs.client import Client, ClientStatus
from tests.programs.mktorrent import mktorrent
from tests.programs.nginx import Nginx, Request
from tests.programs.opentracker import Opentracker
from tests.programs.payload import make_file, make_tree, tree_digests
from tests.programs.ports import free_port, free_ports, listens, own_host
from tests.programs.process import Program, ProgramError, run
from tests.programs.qbittorrent import QBittorrent
from tests.programs.spawn import installed
from tests.programs.transmission import Transmission, transmission_create

__all__ = [
    "Aria2",
    "Client",
    "ClientStatus",
    "Nginx",
    "Opentracker",
    "Program",
    "ProgramError",
    "QBittorrent",
    "Request",
    "Transmission",
    "free_port",
    "free_ports",
    "installed",
    "listens",
    "make_file",
    "make_tree",
    "mktorrent",
    "own_host",
    "run",
    "transmission_create",
    "tree_digests",
]
