"""Shows how a transfer goes, on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

from ossdist import events

if TYPE_CHECKING:
    from typing import NoReturn, Self

_LINE_EVERY_S = 5.0


class ProgressDisplay:
    """Shows a transfer on stderr: a bar on a terminal, otherwise a line now and then. A context manager.

    Args:
        stream: Where to.
        repeating: The same is tried again and again: say a line another time only after something was completed.
    """

    def __init__(self, stream: TextIO | None = None, *, repeating: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._repeating = repeating
        self._said: set[str] = set()
        self._bar: tqdm[NoReturn] | None = None
        self._last_line_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()

    def __call__(self, event: events.TransferEvent) -> None:
        """Takes an event."""
        match event:
            case events.Resolved():
                self._close_bar()
            case events.Progress():
                self._progress(event)
            case events.FileCommitted():
                self._said.clear()
            case _:
                pass
        for line in _lines(event):
            self.say(line)

    def _progress(self, event: events.Progress) -> None:
        sources = f"{event.peers} peer(s), {event.mirrors} mirror(s)"
        rate = f"{event.bytes_per_s / 1e6:.1f} MB/s"
        left = f"{event.eta_s:.0f} s left" if event.eta_s is not None else "no rate yet"
        if not self._stream.isatty():
            if time.monotonic() - self._last_line_s >= _LINE_EVERY_S:
                self._last_line_s = time.monotonic()
                self.say(f"{event.bytes_done} of {event.bytes_total} bytes, {rate}, {left}, {sources}")
            return
        if self._bar is None:
            self._bar = tqdm(
                total=event.bytes_total,
                unit="B",
                unit_scale=True,
                file=self._stream,
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar}| {n_fmt}B/{total_fmt}B{postfix}",
            )
        self._bar.n = event.bytes_done
        self._bar.set_postfix_str(f"{rate}, {left}, {sources}")

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def say(self, line: str) -> None:
        """Says something beside."""
        if self._repeating:
            if line in self._said:
                return
            self._said.add(line)
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            print(line, file=self._stream, flush=True)


def _lines(event: events.TransferEvent) -> list[str]:  # noqa: C901, PLR0911  # a table
    """What is said of an event, however often it comes."""
    match event:
        case events.Resolved(name, version, total, withdrawn):
            gone = [f"{name} {newer} was withdrawn: {reason}" for newer, reason in withdrawn]
            return [*gone, f"{name} {version}: {total} bytes"]
        case events.Resumed(done, _, copied):
            found = {"were copied from the channel's folder": copied, "were here already": done}
            return [f"{count} bytes {how}" for how, count in found.items() if count]
        case events.SwarmAssessed(condition, _, evidence):
            return [f"the swarm is {condition}: {evidence}"] if evidence else []
        case events.TransportChanged(transport, reason):
            return [f"peers are dialled over {transport}: {reason}"]
        case events.SwarmSwitched(swarm, reason):
            return [f"going on in the {swarm} swarm: {reason}"]
        case events.SourceFailed(source, reason):
            return [f"{source}: {reason}"]
        case events.PeerBanned(address):
            return [f"{address} sent wrong data and is not used any more"]
        case events.PieceRefused(index, paths):
            return [f"piece {index} of {', '.join(paths)} came with wrong data and was refused"]
        case events.FileCommitted(path):
            return [f"{path} is complete and verified"]
        case events.MirrorsSwitched(asked, reason):
            return [f"mirrors are asked{'' if asked else ' no more'}: {reason}"]
        case events.MirrorStarted(url):
            return [f"asking {url}"]
        case events.Progress() | events.FileVerified():
            return []
