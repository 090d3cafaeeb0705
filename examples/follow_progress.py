"""Downloads the newest release of a package without an event loop, and tells how it goes.

``python examples/follow_progress.py CHANNEL NAME ROOT.json FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ossdist import OssdistError, blocking, events

if TYPE_CHECKING:
    from ossdist import ClientConfig


def tell(event: events.TransferEvent) -> None:
    """Prints what is worth a line."""
    match event:
        case events.Progress():
            print(f"{event.bytes_done} of {event.bytes_total} bytes from {event.peers} peers, {event.mirrors} mirrors")
        case events.SourceFailed(source, reason):
            print(f"{source} failed: {reason}")
        case events.FileVerified(path, sha256):
            print(f"{path} has the signed hash {sha256}")
        case _:
            pass


def main(channel: str, name: str, root: str, folder: str, *, config: ClientConfig | None = None) -> int:
    """Downloads, and gives an exit code."""
    source = channel if "://" in channel else Path(channel)
    try:
        report = blocking.download(source, name, root=Path(root), to=Path(folder), config=config, on_event=tell)
    except OssdistError as error:
        print(error)
        return 1
    print(f"{report.name} {report.version} in {report.seconds:.1f} s")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
