"""The state that a torrent without libtorrent leaves for its next start. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from ossdist.errors import SwarmError
from ossdist.transfer.metainfo import Address, InfoHashes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["pieces-resume-1"]
    v1: str | None
    v2: str | None
    have: tuple[bool, ...]
    peers: tuple[tuple[str, int], ...]


class ResumeState(msgspec.Struct, frozen=True):
    """What an earlier start left.

    Attributes:
        have: Which pieces were here; empty if the metadata were not.
        peers: Peers that were known.
    """

    have: tuple[bool, ...]
    peers: tuple[Address, ...]


def encode(hashes: InfoHashes, have: Sequence[bool], peers: Iterable[Address]) -> bytes:
    """The state as bytes."""
    return msgspec.json.encode(_Stored("pieces-resume-1", hashes.v1, hashes.v2, tuple(have), tuple(peers)))


def decode(data: bytes, hashes: InfoHashes) -> ResumeState:
    """The state from bytes.

    Raises:
        SwarmError: They are damaged, or belong to another torrent.
    """
    try:
        stored = msgspec.json.decode(data, type=_Stored)
    except msgspec.MsgspecError as error:
        raise SwarmError(f"the resume data are damaged: {error}") from error
    if InfoHashes(stored.v1, stored.v2) != hashes:
        raise SwarmError(f"the resume data belong to another torrent than {hashes}")
    return ResumeState(stored.have, tuple(Address(*peer) for peer in stored.peers))
