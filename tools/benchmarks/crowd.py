"""A crowd in namespaces: seeds, downloaders who share, and perhaps a mirror, each on a link of its own."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.links import FAST, Link
from tests.lab.network import Network
from tests.lab.peers import MIRROR_PORT, run_mirror
from tools.benchmarks.bed import FILE, NAME
from tools.benchmarks.links import answer, start

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.lab.network import Host
    from tools.benchmarks.bed import Bed

PORT = 6881
_DEADLINE_S = 600.0
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who takes part, and on which lines; rates in bits a second.

    Attributes:
        name: What to call it.
        size: Of the file, in bytes.
        seeds: How many.
        seed_link: Of each seed.
        leechers: How many download, and share meanwhile and afterwards.
        link: Of each of them.
        mirror_link: Of a mirror; None for none.
    """

    name: str
    size: int
    seeds: int
    seed_link: Link
    leechers: int
    link: Link
    mirror_link: Link | None = None

    @property
    def fluid_s(self) -> float:
        """The least time in which all can be done, as if files were fluid and headers nothing.

        It is the longest of: one seed's upload of one copy, the slowest line's download, and all copies by everybody's
        upload together (Kumar and Ross, "Peer-Assisted File Distribution: The Minimum Distribution Time", 2006).
        """
        bits = self.size * 8.0
        sources = self.seeds * _rate(self.seed_link.up_bps)
        if self.mirror_link is not None:
            sources += _rate(self.mirror_link.up_bps)
        all_up = sources + self.leechers * _rate(self.link.up_bps)
        return max(bits / sources, bits / _rate(self.link.down_bps), self.leechers * bits / all_up)


@dataclass(frozen=True, slots=True)
class Took:
    """What a crowd took.

    Attributes:
        seconds: Each downloader, in order.
        seed_copies: What the seeds' links carried until the last one was done, in copies of the file, headers counted.
    """

    seconds: list[float]
    seed_copies: float


def mirror_address() -> str:
    """Where `run` puts the mirror: the first host of the network."""
    return f"http://10.77.0.2:{MIRROR_PORT}/"


def run(crowd: Crowd, bed: Bed, party: str) -> Took:
    """Lets everybody begin at once.

    Args:
        crowd: Who takes part.
        bed: The channel; with a mirror, its release names `mirror_address`.
        party: ``ours``, ``bare`` (libtorrent with our settings), ``defaults`` (libtorrent as it comes), ``aria2``.

    Returns:
        How long it took, and what it cost the seeds.
    """
    with Network() as network:
        mirror = network.host("mirror", crowd.mirror_link or FAST)
        if crowd.mirror_link is not None:
            run_mirror(mirror, bed.folder / "nginx", bed.channel)
        seeds = [network.host(f"seed {number}", crowd.seed_link) for number in range(crowd.seeds)]
        leechers = [network.host(f"leecher {number}", crowd.link) for number in range(crowd.leechers)]
        torrents = [str(bed.torrent(v1=v1)) for v1 in (False, True)]
        for seed in seeds:
            listen = ("--listen", f"{seed.address}:{PORT}")
            answer(start(seed, "seed", *listen, "--save-path", str(bed.payload), *torrents))
        targets = [bed.folder / "crowd" / str(number) / "it" for number in range(crowd.leechers)]
        for target in targets:
            target.mkdir(parents=True, exist_ok=True)
        everybody = [word for host in (*seeds, *leechers) for word in ("--peer", f"{host.address}:{PORT}")]
        if party == "aria2":
            tracker = network.host("tracker")
            answer(start(tracker, "tracker", "--listen", f"{tracker.address}:{PORT}", *everybody))
            announce = f"http://{tracker.address}:{PORT}/announce"
            return _took(crowd, _run_aria2(bed, leechers, targets, announce), seeds)
        processes: list[subprocess.Popen[str]] = []
        for host, target in zip(leechers, targets, strict=True):
            what = _words(party, bed, target, mirrors=crowd.mirror_link is not None)
            processes.append(start(host, *what, "--stay", "--listen", f"{host.address}:{PORT}", *everybody))
        return _took(crowd, [float(answer(process)["seconds"]) for process in processes], seeds)


def _took(crowd: Crowd, seconds: list[float], seeds: list[Host]) -> Took:
    links = [json.loads(seed.run("ip", "-j", "-s", "link", "show", "up0")) for seed in seeds]
    sent = sum(link["stats64"]["tx"]["bytes"] for (link,) in links)
    return Took(sorted(seconds), sent / crowd.size)


def _words(party: str, bed: Bed, target: Path, *, mirrors: bool) -> tuple[str, ...]:
    if party == "ours":
        # From a folder the payload would be copied, and no mirror asked.
        channel = mirror_address() if mirrors else str(bed.channel)
        where = ("--channel", channel, "--root", str(bed.root), "--name", NAME, "--to", str(target))
        return ("ours", *where, *(("--mirrors",) if mirrors else ()))
    words = ("bare", "--torrent", str(bed.torrent(v1=False)), "--save-path", str(target))
    return (*words, "--defaults") if party == "defaults" else words


def _run_aria2(bed: Bed, hosts: list[Host], targets: list[Path], announce: str) -> list[float]:
    options = ("--no-conf", "--seed-ratio=0.0", "--enable-dht=false", "--bt-enable-lpd=false", "--summary-interval=0")
    options += ("--enable-peer-exchange=false", "--file-allocation=none", "--bt-max-peers=0", "--quiet")
    options += (f"--listen-port={PORT}", "--bt-exclude-tracker=*", f"--bt-tracker={announce}")
    hook = bed.folder / "done"
    hook.write_text('#!/bin/sh\ntouch "$3.done"\n', "utf-8")
    hook.chmod(0o755)
    begin_s = time.monotonic()
    for host, target in zip(hosts, targets, strict=True):
        host.start(
            "aria2c", *options, f"--on-bt-download-complete={hook}", f"--dir={target}", str(bed.torrent(v1=True))
        )
    took: dict[Path, float] = {}
    while len(took) < len(targets):
        if time.monotonic() - begin_s > _DEADLINE_S:
            raise SystemExit("aria2 took too long")
        time.sleep(_LOOK_S)
        for target in targets:
            if target not in took and (target / f"{FILE}.done").exists():
                took[target] = time.monotonic() - begin_s
    return [took[target] for target in targets]


def _rate(bps: float | None) -> float:
    return float("inf") if bps is None else bps
