"""Real programs in the lab's hosts: our own scripts, other clients, servers, and peers that break the rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tests.lab.namespaces import LabError

if TYPE_CHECKING:
    from tests.lab.network import Host

ROOT = Path(__file__).resolve().parents[2]
PEER_PORT = 6881
TRACKER_PORT = 6969
MIRROR_PORT = 8080
_READY_S = 20.0
_DEADLINE_S = 120.0
_ALLOWED = "allowed"

_UNTIL_IT_LISTENS = """
import socket, sys, time
for _ in range(int(float(sys.argv[3]) / 0.05)):
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
    except OSError:
        time.sleep(0.05)
    else:
        sys.exit(0)
sys.exit(f"{sys.argv[1]}:{sys.argv[2]} does not listen")
"""


def until_it_listens(host: Host, port: int) -> None:
    """Waits until something in a host takes connections.

    Raises:
        LabError: Nothing does in time.
    """
    host.run(sys.executable, "-c", _UNTIL_IT_LISTENS, host.address, str(port), str(_READY_S))


def run_tracker(host: Host, folder: Path, info_hashes: tuple[str, ...]) -> None:
    """Opentracker, over HTTP and UDP; Debian's build serves no torrent that is not on its list."""
    folder.mkdir()
    folder.chmod(0o755)
    (folder / _ALLOWED).write_text("".join(f"{text}\n" for text in info_hashes), "ascii")
    port = str(TRACKER_PORT)
    where = ("-i", host.address, "-p", port, "-P", port, "-d", str(folder), "-w", _ALLOWED)
    host.start("opentracker", *where, "-u", "nobody")
    until_it_listens(host, TRACKER_PORT)


def run_mirror(host: Host, folder: Path, root: Path) -> None:
    """Nginx, serving a channel."""
    folder.mkdir(exist_ok=True)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    listen = f"{host.address}:{MIRROR_PORT}"
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr warn; events {{}}"
        f"http {{ {temporary} access_log off; server {{ listen {listen}; root {root}; }} }}",
        "utf-8",
    )
    host.start("nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf"))
    until_it_listens(host, MIRROR_PORT)


def run_seed(host: Host, channel: Path, state: Path, *words: str) -> None:
    """tools/seed.py, sharing everything that a channel's folder holds; returns when it does."""
    listen = ("--listen", f"{host.address}:{PEER_PORT}", "--no-dht", "--no-lsd", "--state", str(state))
    told = (str(channel), "--root", str(channel / "root.json"), "--store", str(channel), "--interval", "1", "--json")
    process = host.start(sys.executable, str(ROOT / "tools" / "seed.py"), *told, *listen, *words)
    assert process.stdout is not None
    if not process.stdout.readline():  # the first look is over
        raise LabError(f"{host.name}: the seed has ended")


def start_fetch(host: Host, channel: str, name: str, *words: str, root: Path, to: Path) -> subprocess.Popen[str]:
    """tools/fetch.py; `answer_of` tells what came of it."""
    listen = ("--listen", f"{host.address}:{PEER_PORT}", "--no-dht", "--no-lsd", "--state", str(to.parent / "state"))
    what = (channel, name, "--root", str(root), "--to", str(to), "--json")
    return host.start(sys.executable, str(ROOT / "tools" / "fetch.py"), *what, *listen, *words, stderr=subprocess.PIPE)


def answer_of(process: subprocess.Popen[str]) -> tuple[dict[str, object], str]:
    """The JSON on the last line of a script's standard output, and all of its standard error."""
    out, err = process.communicate(timeout=_DEADLINE_S)
    if not out:
        raise LabError(f"a script said nothing: {err}")
    return cast("dict[str, object]", json.loads(out.splitlines()[-1])), err


def start_aria2(host: Host, torrent: Path, folder: Path) -> None:
    """Aria2, which finds peers through the torrent's tracker alone, and shares on; ``folder/done`` tells the end."""
    folder.mkdir()
    hook = folder / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {folder}/done\n", "utf-8")
    hook.chmod(0o755)
    options = ("--no-conf", "--quiet", "--seed-ratio=0.0", "--enable-dht=false", "--bt-enable-lpd=false")
    options += (f"--listen-port={PEER_PORT}", f"--dir={folder}", f"--on-bt-download-complete={hook}")
    host.start("aria2c", *options, str(torrent))


def start_qbittorrent(host: Host, torrent: Path, folder: Path) -> None:
    """qBittorrent, likewise; it is done when nothing in the folder is called ``.!qB`` any more."""
    config = folder / "profile/qBittorrent/config/qBittorrent.conf"
    config.parent.mkdir(parents=True)
    session = {
        "Port": str(PEER_PORT),
        "Interface": "up0",
        "InterfaceName": "up0",
        "InterfaceAddress": host.address,
        "DHTEnabled": "false",
        "LSDEnabled": "false",
        "AddExtensionToIncompleteFiles": "true",
        "DefaultSavePath": str(folder),
        "BTProtocol": "TCP",
        "QueueingSystemEnabled": "false",
    }
    lines = ["[LegalNotice]", "Accepted=true", "[BitTorrent]", *(f"Session\\{key}={session[key]}" for key in session)]
    lines += ["[Network]", "PortForwardingEnabled=false", "[Preferences]", "WebUI\\Enabled=true", ""]
    config.write_text("\n".join(lines), "utf-8")
    words = (f"--profile={folder / 'profile'}", f"--save-path={folder}", "--skip-dialog=true", str(torrent))
    host.start("qbittorrent-nox", *words, env={"HOME": str(folder)})


def run_hostile(host: Host, behaviour: str, torrent: Path, payload: Path) -> str:
    """One of `tests.hostile`; returns where it can be dialled."""
    where = ("--torrent", str(torrent), "--payload", str(payload), "--listen", f"{host.address}:{PEER_PORT}")
    process = host.start(sys.executable, "-m", "tests.hostile", behaviour, *where, env={"PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise LabError(f"{host.name}: the hostile peer has ended")
    return str(json.loads(line)["listening"])
