"""One measured party of a benchmark, in a process of its own, so that its CPU time and memory are its alone.

``python -m tools.benchmarks.worker seed|tracker|bare|ours|update ...``: prints one JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import resource
import sys
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import libtorrent as lt

from ossdist import events
from ossdist.client import Client
from ossdist.clock import SystemClock
from ossdist.config import ClientConfig, MirrorConfig, SwarmConfig, TransferConfig
from ossdist.mirrors.documents import FolderDocuments
from ossdist.release import layout
from ossdist.store.trust_file import TrustFile
from ossdist.swarm.settings import session_params
from ossdist.transfer.metainfo import Address
from ossdist.updater import Updater

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL = SwarmConfig(listen=("127.0.0.1:0",), dht=False, lsd=False, port_mapping=False)
DEADLINE_S = 300.0


def main() -> None:
    """Runs one party."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    seed = commands.add_parser("seed", help="a bare libtorrent seed of several torrents of the same files")
    seed.add_argument("--save-path", type=Path, required=True)
    seed.add_argument("torrents", type=Path, nargs="+")
    tracker = commands.add_parser("tracker", help="tells everybody of the same peers")
    tracker.add_argument("--peer", type=_address, action="append", required=True)
    bare = commands.add_parser("bare", help="a bare libtorrent download with our settings")
    bare.add_argument("--torrent", type=Path, required=True)
    bare.add_argument("--save-path", type=Path, required=True)
    bare.add_argument("--peer", type=_address, action="append", required=True)
    ours = commands.add_parser("ours", help="our whole download")
    ours.add_argument("--channel", required=True)
    ours.add_argument("--root", type=Path, required=True)
    ours.add_argument("--name", required=True)
    ours.add_argument("--to", type=Path, required=True)
    ours.add_argument("--peer", type=_address, action="append", default=[])
    ours.add_argument("--no-hash", action="store_true", help="without the whole-file hash")
    ours.add_argument("--download-bytes-per-s", type=int, default=0)
    ours.add_argument("--mirrors", action="store_true", help="use the release's mirrors too")
    ours.add_argument("--no-peers", action="store_true", help="use them alone")
    ours.add_argument("--web-seeds", action="store_true", help="let libtorrent ask them")
    ours.add_argument("--target-bytes-per-s", type=float, help="with so much from peers no mirror is asked")
    ours.add_argument("--announce", action="store_true", help="find peers by the release's trackers alone")
    bare.add_argument("--defaults", action="store_true", help="with libtorrent's own settings")
    for party in (bare, ours):
        party.add_argument("--stay", action="store_true", help="go on sharing until stdin ends")
        party.add_argument("--lsd", action="store_true", help="find peers in the local network")
    for party in (seed, bare, ours, tracker):
        party.add_argument("--listen", type=_address, default=Address("127.0.0.1", 0))
    update = commands.add_parser("update", help="one update of what is believed of a channel")
    update.add_argument("--channel", type=Path, required=True)
    update.add_argument("--state", type=Path, required=True)
    arguments = parser.parse_args()
    match arguments.command:
        case "seed":
            run_seed(arguments.save_path, arguments.torrents, arguments.listen)
        case "tracker":
            run_tracker(arguments.listen, arguments.peer)
        case "update":
            asyncio.run(run_update(arguments.channel, arguments.state))
        case "bare":
            run_bare(arguments)
        case _:
            asyncio.run(run_ours(arguments))


def run_seed(save_path: Path, torrents: list[Path], listen: Address) -> None:
    """Seeds until SIGTERM; says on which port, and dials the ports that it is told."""
    session = lt.session(session_params(replace(LOCAL, listen=(str(listen),))))
    handles = [session.add_torrent(_params(torrent, save_path)) for torrent in torrents]
    deadline_s = time.monotonic() + DEADLINE_S
    while not all(handle.status().is_seeding for handle in handles):
        _require_in_time(deadline_s)
        session.wait_for_alert(50)
        session.pop_alerts()
    _say({"port": session.listen_port()})
    for line in sys.stdin:  # ports to dial; ends with the pipe or SIGTERM
        for handle in handles:
            handle.connect_peer(("127.0.0.1", int(line)))


def run_tracker(listen: Address, peers: list[Address]) -> None:
    """Answers every announce (BEP 3, BEP 23) with the same peers, until SIGTERM."""
    compact = b"".join(ipaddress.ip_address(peer.host).packed + peer.port.to_bytes(2) for peer in peers)
    answer = b"d8:intervali60e5:peers%d:%be" % (len(compact), compact)

    class Announce(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Says nothing."""

    server = ThreadingHTTPServer((listen.host, listen.port), Announce)
    _say({"port": server.server_port})
    server.serve_forever()


def run_bare(arguments: argparse.Namespace) -> None:
    """Downloads with libtorrent alone, from adding the torrent to its last piece."""
    ours = session_params(replace(LOCAL, listen=(str(arguments.listen),), lsd=arguments.lsd))
    session = lt.session(_default_settings(arguments.listen, lsd=arguments.lsd) if arguments.defaults else ours)
    params = _params(arguments.torrent, arguments.save_path)
    params.flags |= lt.torrent_flags.paused
    params.peers = [(peer.host, peer.port) for peer in arguments.peer]
    before = _cpu_s()
    begin_s = time.monotonic()
    handle = session.add_torrent(params)
    finished = False
    while not finished:
        _require_in_time(begin_s + DEADLINE_S)
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_checked_alert):
                handle.resume()
            finished = finished or isinstance(alert, lt.torrent_finished_alert)
    _report(begin_s, before)
    if arguments.stay:
        sys.stdin.read()


def _default_settings(listen: Address, *, lsd: bool) -> lt.settings_pack:
    """What libtorrent takes if nobody says anything, but for ways to find peers outside."""
    return {
        "listen_interfaces": str(listen),
        "alert_mask": lt.alert_category.status | lt.alert_category.error,
        "enable_dht": False,
        "enable_lsd": lsd,
        "enable_upnp": False,
        "enable_natpmp": False,
    }


async def run_ours(arguments: argparse.Namespace) -> None:
    """Downloads with `Client.download`, from the call to its return."""
    config = ClientConfig(
        swarm=replace(
            LOCAL,
            listen=(str(arguments.listen),),
            download_bytes_per_s=arguments.download_bytes_per_s,
            lsd=arguments.lsd,
        ),
        transfer=TransferConfig(whole_file_hash=not arguments.no_hash),
        mirrors=MirrorConfig(web_seeds=arguments.web_seeds, target_bytes_per_s=arguments.target_bytes_per_s),
        mirrors_enabled=arguments.mirrors,
        peers_enabled=not arguments.no_peers,
        seed_after=arguments.stay,
        state_folder=arguments.to.parent / "state",
    )
    channel = arguments.channel if "://" in arguments.channel else Path(arguments.channel)
    async with Client(channel, root=arguments.root, config=config) as client:
        before = _cpu_s()
        begin_s = time.monotonic()
        said: list[str] = []

        def hear(event: events.TransferEvent) -> None:
            if isinstance(event, events.SwarmAssessed):
                at_s = time.monotonic() - begin_s
                said.append(f"{at_s:.1f} s: {event.condition} ({', '.join(event.troubles)})")

        await client.download(arguments.name, to=arguments.to, peers=arguments.peer, on_event=hear)
        _report(begin_s, before, assessed="; ".join(said))
        if arguments.stay:
            await asyncio.to_thread(sys.stdin.read)


class _Counting(FolderDocuments):
    """Counts what is read."""

    fetched_bytes = 0
    documents = 0

    async def fetch(self, path: str, *, limit_bytes: int) -> bytes:
        """Reads one document."""
        data = await super().fetch(path, limit_bytes=limit_bytes)
        self.fetched_bytes += len(data)
        self.documents += 1
        return data


async def run_update(channel: Path, state: Path) -> None:
    """Updates once, from the start of the client to the channel that may be believed."""
    before = _cpu_s()
    begin_s = time.monotonic()
    source = _Counting(channel)
    root = (channel / layout.ROOT).read_bytes()
    async with Updater([source], root=root, clock=SystemClock(), store=TrustFile(state / "benchmark.json")) as updater:
        await updater.update()
    _report(begin_s, before, fetched_bytes=source.fetched_bytes, documents=source.documents)


def peak_rss_bytes(pid: int | str) -> int:
    """The most memory that a process has had resident (`getrusage` would count what its parent had before)."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _params(torrent: Path, save_path: Path) -> lt.add_torrent_params:
    params = lt.load_torrent_file(str(torrent))
    params.save_path = str(save_path)
    params.flags = lt.torrent_flags.duplicate_is_error
    params.trackers, params.url_seeds = [], []
    return params


def _cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _report(begin_s: float, cpu_before_s: float, **more: float | str) -> None:
    _say(
        {
            **more,
            "seconds": time.monotonic() - begin_s,
            "cpu_s": _cpu_s() - cpu_before_s,
            "peak_rss_bytes": peak_rss_bytes("self"),
        }
    )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


def _require_in_time(deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise SystemExit("it took too long")


def _say(value: Mapping[str, float | str]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
