"""Runs one hostile peer as a process, until its standard input ends.

    python -m tests.hostile BEHAVIOUR --torrent FILE --payload FOLDER --listen ADDRESS:PORT [--dial ADDRESS:PORT]

A ``changing`` peer reads a mode a line from its standard input, and says when it has taken it.

Says ``{"listening": "ADDRESS:PORT"}`` on standard output when it can be dialled, and at the end how many it has met.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import sys
from pathlib import Path

from ossdist.swarm import load_metainfo
from ossdist.transfer.metainfo import Address
from tests.hostile import BEHAVIOURS, Changing, HostilePeer, Mode, Torrent
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

    @functools.lru_cache(maxsize=64)  # a piece is asked for in many blocks
    def read(piece: int) -> bytes:
        return read_piece(args.payload, metainfo, piece)

    torrent = Torrent.of(metainfo, read)
    behaviour = BEHAVIOURS[args.behaviour]()
    peer = HostilePeer(torrent, behaviour, host=args.listen.host, port=args.listen.port)
    async with peer:
        print(json.dumps({"listening": str(peer.address)}), flush=True)
        dials = [asyncio.ensure_future(peer.dial(address)) for address in args.dial]
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if isinstance(behaviour, Changing):
                await behaviour.change(Mode(line))
                print(json.dumps({"mode": line}), flush=True)
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        print(json.dumps({"met": peer.met, "lost": peer.lost}), flush=True)


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


if __name__ == "__main__":
    main()
