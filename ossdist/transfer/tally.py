"""How many bytes came from where: sums over snapshots of connected peers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.transfer.session import PeerKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ossdist.transfer.session import PeerStatus


@dataclass(slots=True)
class Tally:
    """Payload received by source.

    A snapshot lists only the peers that are connected at the moment, each with a counter that begins at zero with
    its connection. What a peer sent between the last snapshot and its disconnection is not seen here.

    Attributes:
        by_source: Bytes by source: a web seed's address, or a peer's ``host:port``.
        kinds: What each source is.
    """

    by_source: dict[str, int] = field(default_factory=dict[str, int])
    kinds: dict[str, PeerKind] = field(default_factory=dict[str, PeerKind])
    _last: dict[str, int] = field(default_factory=dict[str, int], repr=False)

    def note(self, peers: Iterable[PeerStatus]) -> None:
        """Adds a snapshot."""
        current: dict[str, int] = {}
        for peer in peers:
            source = peer.client if peer.kind is PeerKind.WEB_SEED else str(peer.address)
            before = self._last.get(peer.key, 0)
            # A smaller counter is a new connection of the same peer.
            gained = peer.payload_download - before if peer.payload_download >= before else peer.payload_download
            current[peer.key] = peer.payload_download
            self.by_source[source] = self.by_source.get(source, 0) + gained
            self.kinds[source] = peer.kind
        self._last = current

    def total(self, kind: PeerKind) -> int:
        """Bytes from all sources of that kind."""
        return sum(count for source, count in self.by_source.items() if self.kinds[source] is kind)
