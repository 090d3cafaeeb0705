"""Peers that break the rules, written against the wire protocol, so that no library's manners are in the way.

    async with HostilePeer(torrent, WrongAlways()) as peer:
        ...  # whoever dials peer.address meets it

`python -m tests.hostile` runs one of them as a process, for the lab.
"""

from tests.hostile.behaviours import (
    BEHAVIOURS,
    Behaviour,
    Changing,
    DripFeeds,
    FloodsRequests,
    GoesSilent,
    Honest,
    LiesInBitfield,
    Malformed,
    Mode,
    NeverUnchokes,
    SamePeerId,
    WrongAlways,
    WrongBlocks,
)
from tests.hostile.peer import HostilePeer, Torrent

__all__ = [
    "BEHAVIOURS",
    "Behaviour",
    "Changing",
    "DripFeeds",
    "FloodsRequests",
    "GoesSilent",
    "Honest",
    "HostilePeer",
    "LiesInBitfield",
    "Malformed",
    "Mode",
    "NeverUnchokes",
    "SamePeerId",
    "Torrent",
    "WrongAlways",
    "WrongBlocks",
]
