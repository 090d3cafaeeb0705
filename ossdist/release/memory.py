"""What a client remembers of a channel from one run to the next, and how that may change. Pure.

It is what makes rollback, freeze and equivocation visible: the root that was accepted last, and the channel. It goes
back to the root that the caller gave (`TrustMemory.history`), so that a stranger's memory is never taken for ours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ossdist.release import model
from ossdist.release.channel import decode_channel

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class RootMark:
    """A root that was accepted.

    Attributes:
        serial: Its serial.
        sha256: Of its document.
    """

    serial: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ChannelMemory:
    """The channel that was accepted last.

    Attributes:
        document: The signed document.
        index: The pages that it lists, in its order.
    """

    document: bytes
    index: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TrustMemory:
    """What is remembered of one channel.

    Attributes:
        root: The document of the root that was accepted last.
        history: Every root from the one that the caller gave first to `root`, in the order of their serials.
        channel: The channel that was accepted last under that root's channel role; None if there is none.
    """

    root: bytes
    history: tuple[RootMark, ...]
    channel: ChannelMemory | None = None

    def with_root(self, document: bytes, *, keeps_channel: bool) -> TrustMemory:
        """After a rotation.

        Args:
            document: The new root.
            keeps_channel: The same keys sign the channel as before. Otherwise it is forgotten: whoever had an old key
                may have signed a serial that no honest channel will reach (TUF: recovery from fast-forward attacks).
        """
        history = (*self.history, mark(document))
        return TrustMemory(document, history, self.channel if keeps_channel else None)

    def with_channel(self, channel: ChannelMemory) -> TrustMemory:
        """After an update."""
        return replace(self, channel=channel)

    @property
    def age(self) -> tuple[int, int]:
        """Serials of root and channel: of two memories of one channel the one with the higher pair is newer."""
        serial = decode_channel(self.channel.document).serial if self.channel is not None else 0
        return self.history[-1].serial, serial


class TrustStore(Protocol):
    """Keeps a `TrustMemory`. Adapter: `ossdist.store.trust_file`. Its methods may block."""

    @property
    def place(self) -> str:
        """Where it is kept, for messages."""
        ...

    def load(self) -> TrustMemory | None:
        """What is remembered; None if there is nothing yet.

        Raises:
            StorageError: It cannot be read.
            DamagedStateError: It is not what was saved.
        """
        ...

    def save(self, memory: TrustMemory) -> None:
        """Remembers ``memory``, unless something newer is remembered already (another process was faster).

        Raises:
            StorageError: It cannot be written.
            DamagedStateError: What is there is not what was saved.
        """
        ...


def begin(root: bytes) -> TrustMemory:
    """What is remembered at first: the caller's root."""
    return TrustMemory(root, (mark(root),))


def mark(document: bytes) -> RootMark:
    """A root by which to recognise it."""
    return RootMark(model.decode_root(document).serial, hashlib.sha256(document).hexdigest())


def unknown(history: Sequence[RootMark], given: RootMark) -> str | None:
    """Why a memory with that history does not go back to the root that the caller gives; None if it does.

    A root that is newer than all of them is no contradiction: the caller vouches for it.
    """
    if given.serial > history[-1].serial or given in history:
        return None
    if given.serial < history[0].serial:
        return f"root {given.serial} was given, but root {history[0].serial} had been given before"
    return f"another root {given.serial} was accepted before"
