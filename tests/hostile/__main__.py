"""Runs one hostile peer as a process, until its standard input ends.

    python -m tests.hostile BEHAVIOUR --torrent FILE --payload FOLDER --listen ADDRESS:PORT [--dial ADDRESS:PORT]

Says ``{"listening": "ADDRESS:PORT"}`` on standard output when it can be dialled, and at the end how many it has met.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from ossdist.swarm import load_metainfo
from ossdist.transfer.metainfo import Address
from tests.hostile import BEHAVIOURS, HostilePeer, Torrent
from tests.torrents import read_piece


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="tests.hostile", description="A peer that breaks the rules.")
    parser.add_argument("behaviour", choices=sorted(BEHAVIOURS))
    parser.add_argument("--torrent", type=Path, required=True)
    parser.add_argument("--payload", type=Path, required=True, help="the folder that holds the torrent's files")
    parser.add_argument("--listen", type=_address, required=True)
    parser.add_argument("--dial", type=_address, action="append", default=[])
    asyncio.run(_run(parser.parse_args()))


async def _run(args: argparse.Namespace) -> None:
    metainfo = load_metainfo(args.torrent.read_bytes())
    torrent = Torrent.of(metainfo, lambda piece: read_piece(args.payload, metainfo, piece))
    peer = HostilePeer(torrent, BEHAVIOURS[args.behaviour](), host=args.listen.host, port=args.listen.port)
    async with peer:
        print(json.dumps({"listening": str(peer.address)}), flush=True)
        dials = [asyncio.ensure_future(peer.dial(address)) for address in args.dial]
        await asyncio.to_thread(sys.stdin.read)
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        print(json.dumps({"met": peer.met, "lost": peer.lost}), flush=True)


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


if __name__ == "__main__":
    main()
