"""A network for tests: hosts and routers in namespaces of their own, with links of any rate and delay between them.

    with Network() as network:
        seed = network.host("seed", Link(up_bps=mbit(25), down_bps=mbit(100)))
        campus = network.site("campus", Link(down_bps=mbit(50)), nat=True)
        client = campus.host("client")
        client.start("curl", f"http://{seed.address}/")

Every host reaches every other one through its site's router and the core's; hosts behind NAT cannot be reached from
outside. Nothing here is connected to this machine's own network.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from tests.lab.firewall import LOSES_EVERYTHING, Firewall
from tests.lab.links import FAST, Link, lay
from tests.lab.namespaces import LabError, Namespace

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.lab.firewall import Rule

_GATEWAY = "10.77.0.1"
_UPLINK = "up0"
_BRIDGE = "br0"
_ROUTES = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects"
_MASQUERADE = f"""
table ip lab_nat {{
  chain out {{ type nat hook postrouting priority srcnat; oifname "{_UPLINK}" masquerade; }}
}}
"""


class Host(Namespace):
    """A machine in the network. Programs run in it (`start`, `run`); the lab ends them.

    Attributes:
        address: Its IPv4 address.
        firewall: What it drops, refuses or loses.
    """

    def __init__(self, name: str, address: str) -> None:
        super().__init__(name)
        self.address = address
        self.firewall = Firewall(self)

    @contextmanager
    def rules(self, *rules: Rule) -> Generator[None]:
        """Lets rules hold for a while."""
        self.firewall.add(*rules)
        try:
            yield
        finally:
            self.firewall.remove(*rules)

    def cut(self) -> None:
        """From now on nothing goes in or out, and nobody is told."""
        self.firewall.add(LOSES_EVERYTHING)

    def restore(self) -> None:
        """Mends what `cut` has cut."""
        self.firewall.remove(LOSES_EVERYTHING)


class Router(Host):
    """A machine that other machines are connected to.

    Args:
        name: For messages.
        address: Its own, or the one that its machines know it by.
        subnet: The first three numbers of its machines' addresses.
        stack: Ends what it makes.
    """

    def __init__(self, name: str, address: str, subnet: str, stack: ExitStack) -> None:
        super().__init__(name, address)
        self.subnet = subnet
        self._stack = stack
        self._machines = 0
        self._bridge: str | None = None
        try:
            self.run("sh", "-c", _ROUTES)
        except BaseException:
            self.close()
            raise

    def host(self, name: str, link: Link = FAST) -> Host:
        """A new host.

        Args:
            name: For messages.
            link: Between it and this router.
        """
        host = Host(name, self._next_address())
        self._stack.enter_context(host)
        self.connect(host, link)
        return host

    def connect(self, machine: Host, link: Link) -> None:
        """Connects a machine that has an address of this router's."""
        far = f"to{machine.address.rpartition('.')[2]}"
        gateway = _GATEWAY if self._bridge is None else f"{self.subnet}.1"
        lay(
            link,
            machine,
            self,
            near=_UPLINK,
            far=far,
            address=machine.address,
            gateway=gateway,
            bridge=self._bridge,
        )

    def bridge(self) -> None:
        """From now on its machines are connected to one switch: they hear each other's broadcasts."""
        self.run("ip", "link", "add", _BRIDGE, "type", "bridge", "mcast_snooping", "0")
        self.run("ip", "address", "add", f"{self.subnet}.1/24", "dev", _BRIDGE)
        self.run("ip", "link", "set", _BRIDGE, "up")
        self._bridge = _BRIDGE

    def move(self, host: Host, address: str) -> None:
        """Gives a host another address; what was connected to the old one hears nothing of it.

        Args:
            host: One of this router's.
            address: One that nobody has.
        """
        far = f"to{host.address.rpartition('.')[2]}"
        host.run("ip", "address", "delete", host.address, "peer", f"{_GATEWAY}/32", "dev", _UPLINK)
        host.run("ip", "address", "add", address, "peer", f"{_GATEWAY}/32", "dev", _UPLINK)
        host.run("ip", "route", "replace", "default", "via", _GATEWAY, "dev", _UPLINK)
        self.run("ip", "address", "delete", _GATEWAY, "peer", f"{host.address}/32", "dev", far)
        self.run("ip", "address", "add", _GATEWAY, "peer", f"{address}/32", "dev", far)
        host.address = address

    def _next_address(self) -> str:
        self._machines += 1
        if self._machines > 250:
            raise LabError(f"{self.name} has no more addresses")
        return f"{self.subnet}.{self._machines + 1}"


class Network(Router):
    """The core: everything else is connected to it, directly or through a site. A context manager."""

    def __init__(self) -> None:
        super().__init__("core", _GATEWAY, "10.77.0", ExitStack())
        self._sites = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every program and removes everything."""
        try:
            self._stack.close()
        finally:
            super().close()

    def site(self, name: str, link: Link = FAST, *, nat: bool = False, bridged: bool = False) -> Router:
        """A router of its own, whose hosts share its link.

        Args:
            name: For messages.
            link: Between it and the core: a bottleneck that its hosts share.
            nat: Its hosts have its address outside, and cannot be reached from there.
            bridged: Its hosts are connected to one switch, see `Router.bridge`; their links have no delay then.
        """
        self._sites += 1
        subnet = f"192.168.{self._sites}" if nat else f"10.77.{self._sites}"
        site = Router(name, self._next_address(), subnet, self._stack)
        self._stack.enter_context(site)
        self.connect(site, link)
        if bridged:
            site.bridge()
        if nat:
            site.run("nft", "-f", "-", given=_MASQUERADE)
        else:
            self.run("ip", "route", "add", f"{subnet}.0/24", "via", site.address)
        return site
