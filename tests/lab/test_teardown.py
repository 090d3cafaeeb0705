"""Nothing of the lab stays, however it ends, and nothing outside of it is touched."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.links import Link, mbit
from tests.lab.namespaces import LabError, Namespace
from tests.lab.traffic import start_service

if TYPE_CHECKING:
    from tests.lab.network import Network

SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs us may have turned it off
sys.path.insert(0, sys.argv[1])
from tests.lab.links import Link
from tests.lab.network import Network
from tests.lab.traffic import start_service
with Network() as network:
    host = network.host("host", Link(delay_s=0.01))
    service = start_service(host, "sink")
    print(host.pid, network.pid, service.pid, flush=True)
    try:
        sys.stdin.read()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_programs_and_namespaces_end_with_the_network(network: Network) -> None:
    host = network.host("host", Link(delay_s=0.01, up_bps=mbit(1)))
    service = start_service(host, "sink")
    inside = str(Path(f"/proc/{host.pid}/ns/net").readlink())
    assert inside in namespaces()
    assert inside != str(Path("/proc/self/ns/net").readlink())
    network.close()
    assert service.returncode is not None
    assert inside not in namespaces()
    network.close()  # it may be called twice


def test_this_machines_own_interfaces_stay_as_they_are(network: Network) -> None:
    before = Path("/proc/net/dev").read_text("ascii").count(":")
    network.site("site", Link(up_bps=mbit(1)), nat=True).host("host", Link(delay_s=0.01))
    assert Path("/proc/net/dev").read_text("ascii").count(":") == before
    assert network.run("ip", "-o", "link", "show", "up").count("\n") == 2  # loopback, and the way to the site


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.usefixtures("network")
def test_nothing_stays_when_its_process_is_ended(number: signal.Signals) -> None:
    root = str(Path(__file__).resolve().parents[2])
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SCRIPT, root], stdin=pipe, stdout=pipe, text=True) as owner:
        assert owner.stdout is not None
        watched = [os.pidfd_open(int(pid)) for pid in owner.stdout.readline().split()]
        assert len(watched) == 3
        owner.send_signal(number)
        for ended in watched:
            with os.fdopen(ended, "rb", closefd=True):
                wait_for(ended)


def test_a_failure_inside_is_not_hidden(network: Network) -> None:
    with pytest.raises(LabError, match=r"host: false"):
        network.host("host").run("false")
    with pytest.raises(LabError, match="nft -f -"):
        network.run("nft", "-f", "-", given="nonsense")


def test_without_the_right_to_make_one_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.lab.namespaces._WITH_US", ("false",))
    with pytest.raises(LabError, match="no network namespace for x"):
        Namespace("x")


def namespaces() -> set[str]:
    """Those that any process is in."""
    found: set[str] = set()
    for place in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(str(place.readlink()))
        except OSError:
            continue
    return found


def wait_for(process: int) -> None:
    """Waits until a process has ended, by its descriptor."""
    ready, _, _ = select.select([process], [], [], 20)
    assert ready
