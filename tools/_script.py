"""What the scripts of this folder share: types of arguments, the contract of ``--json``.

Every script exits with 0 if it did what was asked, 1 if that was refused or failed, 2 if it was called wrongly, and
128 and the signal's number if it was interrupted. With ``--json`` the last line of stdout is one JSON object.
A reader that goes away (``| head``) ends a script quietly, like SIGPIPE.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
import signal
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar
from urllib.parse import urlsplit

import _checkout
import msgspec

from ossdist.config import RatesConfig, SwarmConfig, TransferConfig
from ossdist.errors import OssdistError
from ossdist.transfer.metainfo import Address

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ossdist.release.report import DownloadReport, VerificationReport

_T = TypeVar("_T")

ROOT = _checkout.ROOT
"""The project's folder."""

EXIT_REFUSED = 1
ROOT_HELP = "root.json, from a source that you trust"
_MOST_DAYS = 3650


class OutputClosedError(Exception):
    """Nobody reads our standard output any more."""


class Arguments(argparse.Namespace):
    """What every script takes."""

    json: bool


class NetworkArguments(Arguments):
    """What every script takes that joins a swarm; see `add_network_arguments`."""

    channel: str | Path
    copy: list[str | Path]
    state: Path | None
    listen: list[str] | None
    no_dht: bool
    dht_node: list[str]
    no_lsd: bool
    proxy: str
    background: bool
    monthly_upload: int
    exhausted_after: float | None


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json``."""
    parser.add_argument("--json", action="store_true", help="end stdout with one line of JSON")


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `NetworkArguments`, but for the channel itself."""
    parser.add_argument(
        "--copy", action="append", type=channel, default=[], metavar="CHANNEL", help="another copy of the channel"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="where channels are remembered; default: XDG's")
    parser.add_argument("--listen", action="append", type=listen_address, metavar="ADDR:PORT", help="port 0 for any")
    parser.add_argument("--no-dht", action="store_true", help="do not look for peers in the DHT")
    parser.add_argument(
        "--dht-node",
        action="append",
        type=dht_node,
        default=[],
        metavar="HOST:PORT",
        help="join the DHT through it; default: public ones",
    )
    parser.add_argument("--no-lsd", action="store_true", help="do not look for peers in the local network")
    parser.add_argument(
        "--proxy",
        type=proxy,
        default="",
        metavar="URL",
        help="through it peers are dialled if nothing else reaches them: socks5:// or http://[USER:PASSWORD@]HOST:PORT",
    )
    parser.add_argument(
        "--background", action="store_true", help="take what others on this machine's line leave (Linux)"
    )
    parser.add_argument(
        "--monthly-upload",
        type=byte_count,
        default=0,
        metavar="BYTES",
        help="when so much was sent in a month nothing is sent until it is over; 0 for no cap",
    )
    parser.add_argument(
        "--exhausted-after", type=seconds, metavar="S", help="give up after so many seconds without new data"
    )


def channels(args: NetworkArguments) -> list[str | Path]:
    """The channel and its copies."""
    return [args.channel, *args.copy]


def swarm_config(args: NetworkArguments) -> SwarmConfig:
    """The session's configuration. Who listens on this machine alone asks no router for a port."""
    listen = tuple(args.listen) if args.listen else SwarmConfig().listen
    local = all(ipaddress.ip_address(_host_and_port(place)[0]).is_loopback for place in listen)
    nodes = tuple(args.dht_node) or SwarmConfig().dht_nodes
    return SwarmConfig(
        listen=listen,
        dht=not args.no_dht,
        dht_nodes=nodes,
        lsd=not args.no_lsd,
        port_mapping=not local,
        proxy=args.proxy,
    )


def rates_config(args: NetworkArguments) -> RatesConfig:
    """How room is left for others."""
    return RatesConfig(background=args.background, monthly_upload_bytes=args.monthly_upload or None)


def transfer_config(args: NetworkArguments) -> TransferConfig:
    """The transfer's configuration."""
    if args.exhausted_after is None:
        return TransferConfig()
    return TransferConfig(exhausted_after_s=args.exhausted_after)


# --- types of arguments ----------------------------------------------------------------------------------


def channel(text: str) -> str | Path:
    """A channel: an http or https address, or a folder."""
    if "://" not in text:
        return folder(text)
    if urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an http or https address nor a folder")
    return text


def folder(text: str) -> Path:
    """A folder that exists."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder")
    return Path(text)


def file(text: str) -> Path:
    """A file that exists."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is no file")
    return Path(text)


def peer_address(text: str) -> Address:
    """``HOST:PORT`` or ``[IPV6]:PORT``; a host's name is looked up."""
    host, port = _host_and_port(text)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{host!r} has no address: {error.strerror}") from error
    if not port:
        raise argparse.ArgumentTypeError(f"{text!r} needs a port")
    return Address(str(found[0][4][0]), port)


def listen_address(text: str) -> str:
    """``ADDR:PORT`` or ``[IPV6]:PORT`` of this machine, port 0 for any."""
    host, port = _host_and_port(text)
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{host!r} is no IP address") from error
    return str(Address(str(address), port))


def port(text: str) -> int:
    """A port of this machine, 0 for any."""
    if re.fullmatch(r"[0-9]{1,5}", text) is None or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


def dht_node(text: str) -> str:
    """``HOST:PORT`` or ``[IPV6]:PORT``; libtorrent looks the name up."""
    if not _host_and_port(text)[1]:
        raise argparse.ArgumentTypeError(f"{text!r} needs a port")
    return text


def proxy(text: str) -> str:
    """``socks5://HOST:PORT`` or ``http://HOST:PORT``. It may hold a password, so it is not repeated."""
    try:
        return SwarmConfig(proxy=text).proxy
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def byte_count(text: str) -> int:
    """Bytes, or bytes a second; 0 for no limit."""
    if re.fullmatch(r"[0-9]{1,15}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of bytes")
    return int(text)


def fingerprint(text: str) -> str:
    """An OpenPGP fingerprint, with or without spaces, as gpg prints it."""
    plain = re.sub(r"\s", "", text).upper().removeprefix("0X")
    if re.fullmatch(r"[0-9A-F]{40}", plain) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a primary key's fingerprint of 40 hexadecimal digits")
    return plain


def seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not more than 0")
    return value


def days(text: str) -> timedelta:
    """A whole number of days, of ten years at most."""
    if re.fullmatch(r"[0-9]{1,4}", text) is None or not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to {_MOST_DAYS}")
    return timedelta(days=int(text))


def count(text: str) -> int:
    """A whole number, 1 to 64."""
    if re.fullmatch(r"[0-9]{1,2}", text) is None or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)


def _host_and_port(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\s]+)):(?P<port>\d{1,5})", text)
    if found is None or int(found["port"]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT or [IPV6]:PORT")
    return found["v6"] or found["host"], int(found["port"])


# --- the contract ----------------------------------------------------------------------------------------


def write_line(line: str, stream: TextIO | None = None) -> None:
    """Prints a line on stdout.

    Args:
        line: The line.
        stream: Where to instead.

    Raises:
        OutputClosedError: Nobody reads it any more; `run` ends the script then.
    """
    try:
        print(line, file=stream or sys.stdout, flush=True)
    except BrokenPipeError as error:
        raise OutputClosedError from error


def run(
    work: Callable[[], _T],
    *,
    as_json: bool,
    keys: Callable[[_T], dict[str, object]],
    tell: Callable[[_T], str],
) -> int:
    """Does a script's work and prints what came of it.

    Args:
        work: Does it; an `OssdistError` means that it was refused or failed.
        as_json: Print ``keys``, not ``tell``.
        keys: The JSON object of a result. If its ``ok`` is False, that was refused too.
        tell: The text of a result, for people.

    Returns:
        The exit code.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        # asyncio ends its work in good order at SIGINT, and so does a program without it.
        received.append(number)
        signal.raise_signal(signal.SIGINT)

    # A shell starts `script &` with SIGINT ignored; then neither Python nor asyncio would do anything about it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        result = work()
        found = keys(result)
        write_line(json.dumps(found) if as_json else tell(result))
    except OssdistError as error:
        return _refuse(type(error).__name__, str(error), EXIT_REFUSED, as_json=as_json)
    except KeyboardInterrupt:
        number = received[0] if received else signal.SIGINT
        return _refuse("Interrupted", f"by {signal.Signals(number).name}", 128 + number, as_json=as_json)
    except OutputClosedError:
        return _end_unread()
    return EXIT_REFUSED if found["ok"] is False else 0


def _refuse(error: str, reason: str, code: int, *, as_json: bool) -> int:
    try:
        if as_json:
            write_line(json.dumps({"ok": False, "error": error, "reason": reason}))
        else:
            write_line(f"{error}: {reason}", sys.stderr)
    except OutputClosedError:
        _end_unread()
    return code


def _end_unread() -> int:
    """Gives what is still buffered to nobody, so that Python does not complain at its end."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nobody, stream.fileno())
    os.close(nobody)
    return 128 + signal.SIGPIPE


def report_keys(report: DownloadReport) -> dict[str, object]:
    """A finished download's keys, as fetch.py and quickstart.py print them."""
    files = [
        {
            "path": found.path,
            "bytes": found.bytes,
            "sha256": found.sha256,
            "verified": found.verified,
            "bytes_from": msgspec.to_builtins(found.bytes_from),
        }
        for found in report.files
    ]
    return {
        "ok": all(found.verified for found in report.files),
        "release": {"name": report.name, "version": report.version},
        "files": files,
        "sources": msgspec.to_builtins(report.sources),
        "report": [verification_keys(found.report) for found in report.files],
        "seconds": round(report.seconds, 3),
    }


def verification_keys(report: VerificationReport) -> dict[str, object]:
    """A verification's keys, as verify.py prints them."""
    verdict = "pass" if report.passed else "fail"
    return {"file": report.file, "verdict": verdict, "checks": msgspec.to_builtins(report.checks)}
