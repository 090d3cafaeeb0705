"""How a session's peers are dialled: shared by its transfers, changed when the network is in the way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from ossdist.health.assess import NOTHING_KNOWN, Condition
from ossdist.health.transports import DialConfig, DialState, step

if TYPE_CHECKING:
    from ossdist.config import Transport
    from ossdist.health.assess import Assessment
    from ossdist.health.transports import NextTransport
    from ossdist.transfer.session import Session

log = logging.getLogger(__name__)


class TransportMemory(Protocol):
    """Remembers across runs over which transport peers were reached in which network."""

    async def recall(self) -> Transport | None:
        """What worked in the network in which this machine is now; None if nothing is known."""
        ...

    async def keep(self, transport: Transport) -> None:
        """Remembers what works in it."""
        ...


class Dialling:
    """Decides how a session dials peers. `begin` before the first transfer.

    Args:
        session: Whose peers.
        memory: What worked before; None to remember nothing.
        config: When another transport is tried.

    Attributes:
        transport: How peers are dialled now; None if the session dials nobody.
    """

    def __init__(
        self, session: Session, memory: TransportMemory | None = None, config: DialConfig | None = None
    ) -> None:
        self.transport: Transport | None = next(iter(session.transports), None)
        self._session = session
        self._memory = memory
        self._config = config or DialConfig()
        self._seen: dict[object, Assessment] = {}
        self._state: DialState | None = None
        self._kept: Transport | None = None

    async def begin(self) -> None:
        """Starts with what worked in this network before."""
        if self._memory is None or self.transport is None:
            return
        known = await self._memory.recall()
        if known is not None and known in self._session.transports:
            self._kept = known
            if known is not self.transport:
                await self._session.set_transport(known)
                self.transport = known

    async def look(self, transfer: object, seen: Assessment, now_s: float) -> NextTransport | None:
        """Takes how a transfer's swarm is, and changes the transport if that may help.

        Returns:
            The change, if there is one: peers that have failed should be dialled again.
        """
        if self.transport is None:
            return None
        self._seen[transfer] = seen
        state = self._state or DialState(transport=self.transport, since_s=now_s)
        self._state, change = step(state, self._together(), now_s, self._session.transports, self._config)
        if self._state.proven and self._kept is not self.transport:
            await self._keep(self.transport)
        if change is not None:
            await self._session.set_transport(change.transport)
            self.transport = change.transport
            log.info("peers are dialled over %s: %s", change.transport.value, change.cause)
        return change

    def leave(self, transfer: object) -> None:
        """Forgets a transfer."""
        self._seen.pop(transfer, None)

    def _together(self) -> Assessment:
        """If one swarm's peers can be reached, the network is not what is in the way of the others'."""
        order = (Condition.GOOD, Condition.DEGRADED, Condition.BLOCKED)
        found = (next((seen for seen in self._seen.values() if seen.condition is wanted), None) for wanted in order)
        return next((seen for seen in found if seen is not None), NOTHING_KNOWN)

    async def _keep(self, transport: Transport) -> None:
        self._kept = transport
        if self._memory is not None and (transport is not self._session.transports[0] or await self._memory.recall()):
            await self._memory.keep(transport)
