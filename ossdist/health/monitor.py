"""Watches a transfer's swarm: takes samples, assesses them, and tells when the condition changes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ossdist import events
from ossdist.health.assess import NOTHING_KNOWN, Assessment, HealthConfig, HealthState, assess, step
from ossdist.health.samples import History, SwarmSample
from ossdist.transfer.session import PeerKind
from ossdist.transfer.torrent_events import PeerBanned, PeerDisconnected, TrackerFailed, TrackerReplied

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ossdist.events import OnEvent
    from ossdist.health.dialling import Dialling
    from ossdist.transfer.session import NetworkCounters, PeerStatus, TorrentStatus
    from ossdist.transfer.torrent_events import Ending, TorrentEvent

_KEEP_S = 60.0


class SwarmMonitor:
    """The eyes on one swarm.

    Args:
        on_event: Is told when its condition changes, or how peers are dialled.
        dialling: Changes how peers are dialled; None if that is not to be changed.
        config: When something counts as what.

    Attributes:
        assessment: What was seen at the last look, told or not.
    """

    def __init__(self, on_event: OnEvent, dialling: Dialling | None = None, config: HealthConfig | None = None) -> None:
        self.assessment: Assessment = NOTHING_KNOWN
        self._on_event = on_event
        self._dialling = dialling
        self._config = config or HealthConfig()
        self._history = History(_KEEP_S)
        self._state = HealthState()
        self._endings: Counter[Ending] = Counter()
        self._trackers: dict[str, bool] = {}
        self._banned = 0
        self._since_s: float | None = None

    def note(self, event: TorrentEvent) -> None:
        """Takes what happened."""
        match event:
            case PeerDisconnected(_, _, ending):
                self._endings[ending] += 1
            case PeerBanned():
                self._banned += 1
            case TrackerReplied(url, _):
                self._trackers[url] = True
            case TrackerFailed(url, _):
                self._trackers[url] = False
            case _:
                pass

    async def look(
        self,
        now_s: float,
        status: TorrentStatus,
        peers: Iterable[PeerStatus],
        counters: NetworkCounters,
        *,
        bytes_from_peers: int,
    ) -> bool:
        """Takes a sample.

        Returns:
            Peers are dialled in another way from now on: those that have failed may be reached.
        """
        self._since_s = now_s if self._since_s is None else self._since_s
        found = [peer for peer in peers if peer.kind is PeerKind.PEER]
        good = sum(self._trackers.values())
        sample = SwarmSample(
            at_s=now_s,
            peers=len(found),
            giving=sum(not peer.choking for peer in found),
            bytes_from_peers=bytes_from_peers,
            failed_bytes=status.failed_bytes,
            banned=self._banned,
            copies=status.distributed_copies,
            endings=dict(self._endings),
            dht_nodes=counters.dht_nodes,
            trackers_good=good,
            trackers_bad=len(self._trackers) - good,
        )
        self._history.add(sample)
        window = self._history.window(self._config.window_s)
        self.assessment = assess(window, now_s - self._since_s, self._config)
        self._state, changed = step(self._state, self.assessment, now_s, self._config)
        if changed:
            found_out = self.assessment.findings
            self._on_event(
                events.SwarmAssessed(
                    self.assessment.condition.value,
                    tuple(finding.trouble.value for finding in found_out),
                    "; ".join(finding.evidence for finding in found_out),
                )
            )
        change = await self._dialling.look(self, self.assessment, now_s) if self._dialling is not None else None
        if change is not None:
            self._on_event(events.TransportChanged(change.transport.value, change.cause))
        return change is not None

    def end(self) -> None:
        """Looks no more."""
        if self._dialling is not None:
            self._dialling.leave(self)
