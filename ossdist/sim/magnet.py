"""Magnet links (BEP 9, BEP 52). Pure."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from ossdist.errors import SwarmError
from ossdist.transfer.metainfo import InfoHashes

_V1 = re.compile(r"urn:btih:([0-9a-f]{40})", re.IGNORECASE)
_V2 = re.compile(r"urn:btmh:1220([0-9a-f]{64})", re.IGNORECASE)


def info_hashes_in(link: str) -> InfoHashes:
    """The info-hashes that a magnet link names.

    Raises:
        SwarmError: It is no magnet link, or names none.
    """
    parts = urlsplit(link)
    topics = [value for key, value in parse_qsl(parts.query) if key.split(".")[0] == "xt"]
    v1 = next((match[1].lower() for topic in topics if (match := _V1.fullmatch(topic))), None)
    v2 = next((match[1].lower() for topic in topics if (match := _V2.fullmatch(topic))), None)
    if parts.scheme != "magnet" or (v1 is None and v2 is None):
        raise SwarmError(f"{link!r} is no magnet link of a torrent")
    return InfoHashes(v1=v1, v2=v2)
