"""BitTorrent through libtorrent: the only package that imports it. Nothing of libtorrent leaks out of here."""

from ossdist.swarm.metainfo import load_metainfo
from ossdist.swarm.session import LibtorrentSession

__all__ = ["LibtorrentSession", "load_metainfo"]
