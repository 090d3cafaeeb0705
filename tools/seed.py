"""Shares every release of a channel, and new ones as they appear, until SIGTERM or Ctrl-C.

What is missing in the store is downloaded first. Each interval one line of JSON on stdout says how it goes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import _script
from _progress import ProgressDisplay

from ossdist.client import Client
from ossdist.config import ClientConfig
from ossdist.seeder import Seeder, SeederStatus

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Arguments(_script.NetworkArguments):
    root: Path
    store: Path
    interval: float
    only: str | None
    upload_limit: int
    metrics_port: int | None


def _parse(argv: Sequence[str]) -> _Arguments:
    parser = argparse.ArgumentParser(prog="seed.py", description=__doc__)
    parser.add_argument("channel", type=_script.channel, metavar="CHANNEL", help="address or folder")
    parser.add_argument("--root", type=_script.file, required=True, help=_script.ROOT_HELP)
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="may be the channel's own folder")
    parser.add_argument("--interval", type=_script.seconds, default=60.0, metavar="S", help="default: %(default)g")
    parser.add_argument("--only", metavar="NAME", help="share the releases of this name alone")
    parser.add_argument("--upload-limit", type=_script.byte_count, default=0, metavar="BYTES_PER_S", help="0 for none")
    parser.add_argument(
        "--metrics-port", type=_script.port, metavar="PORT", help="answer Prometheus at 127.0.0.1:PORT; 0 for any"
    )
    _script.add_network_arguments(parser)
    _script.add_json_argument(parser)
    return parser.parse_args(argv, namespace=_Arguments())


def _tell(status: SeederStatus) -> str:
    return f"{status.releases} release(s) were shared, {status.upload_bytes} bytes sent"


def _print(status: SeederStatus) -> None:
    _script.write_line(json.dumps(dataclasses.asdict(status)))


async def _seed(args: _Arguments) -> SeederStatus:
    """Shares until a signal comes; gives the last status."""
    sharing = asyncio.create_task(_share(args))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, sharing.cancel)
    try:
        return await sharing
    except asyncio.CancelledError:  # before anything was shared
        return SeederStatus(ready=False, port=0, releases=0, peers=0, upload_bytes=0)


async def _share(args: _Arguments) -> SeederStatus:
    swarm = dataclasses.replace(_script.swarm_config(args), upload_bytes_per_s=args.upload_limit)
    config = ClientConfig(
        swarm=swarm,
        transfer=_script.transfer_config(args),
        rates=_script.rates_config(args),
        state_folder=args.state,
    )
    with ProgressDisplay(repeating=True) as display:
        async with Client(_script.channels(args), root=args.root, config=config) as client:
            seeder = Seeder(client, args.store, only=args.only, on_event=display)
            async with contextlib.AsyncExitStack() as stack:
                if args.metrics_port is not None:
                    from ossdist.prometheus import serve_metrics  # noqa: PLC0415  # an extra

                    url = await stack.enter_async_context(serve_metrics(client, port=args.metrics_port))
                    display.say(f"metrics are at {url}")
                with contextlib.suppress(asyncio.CancelledError):
                    await seeder.run(interval_s=args.interval, on_status=_print)
            return await seeder.status()


def _keys(status: SeederStatus) -> dict[str, object]:
    return {"ok": True, **dataclasses.asdict(status)}


def main(argv: Sequence[str]) -> int:
    """Runs the script and gives its exit code."""
    args = _parse(argv)
    return _script.run(lambda: asyncio.run(_seed(args)), as_json=args.json, keys=_keys, tell=_tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
