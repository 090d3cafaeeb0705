"""A download in a process of its own, to be killed: ``python -m tests.client.downloader CHANNEL TO LIMIT PORT ...``.

Prints ``resumed BYTES``, then ``done BYTES`` for each look, then ``finished``.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from ossdist import events
from ossdist.client import Client
from ossdist.transfer.metainfo import Address
from tests.channels import CONFIG


def say(event: events.TransferEvent) -> None:
    match event:
        case events.Resumed(bytes_done):
            print("resumed", bytes_done, flush=True)
        case events.Progress(bytes_done):
            print("done", bytes_done, flush=True)
        case _:
            pass


async def main() -> None:
    channel, to, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    peers = [Address("127.0.0.1", int(port)) for port in sys.argv[4:]]
    config = replace(
        CONFIG,
        swarm=replace(CONFIG.swarm, download_bytes_per_s=limit),
        transfer=replace(CONFIG.transfer, poll_s=0.02),
        seed_after=False,
    )
    async with Client(channel, root=channel / "root.json", config=config) as client:
        await client.download("tool", to=to, peers=peers, on_event=say)
    print("finished", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
