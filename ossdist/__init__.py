"""OSSDist distributes large open source packages through a BitTorrent swarm and HTTP mirrors at once.

A publisher adds a release to a channel, a folder that any static HTTP server can serve; a client that knows the
channel's root of trust brings it back, every byte checked::

    publisher = Publisher(Path("channel"), signer=GpgSigner(), keys=[fingerprint])
    await publisher.create()
    await publisher.publish(ReleaseSpec(name="tool", version="1.0", files={"tool.bin": Path("tool.bin")}))

    async with Client("https://mirror.example/channel", root=Path("root.json")) as client:
        report = await client.download("tool", to=Path("downloads"))
        assert all(file.verified for file in report.files)

`ossdist.blocking` has the same verbs for programs without an event loop, `ossdist.errors` every error,
`ossdist.events` what a transfer reports, `ossdist.config` everything that can be set.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ossdist.client import Client
    from ossdist.config import ClientConfig, FetchConfig, SwarmConfig, TransferConfig
    from ossdist.errors import OssdistError
    from ossdist.publisher import Publisher, ReleaseSpec
    from ossdist.release.report import DownloadReport, VerificationReport
    from ossdist.release.signing import GpgSigner
    from ossdist.transfer.metainfo import Address

__all__ = [
    "Address",
    "Client",
    "ClientConfig",
    "DownloadReport",
    "FetchConfig",
    "GpgSigner",
    "OssdistError",
    "Publisher",
    "ReleaseSpec",
    "SwarmConfig",
    "TransferConfig",
    "VerificationReport",
]

_HOMES = {
    "Address": "ossdist.transfer.metainfo",
    "Client": "ossdist.client",
    "ClientConfig": "ossdist.config",
    "DownloadReport": "ossdist.release.report",
    "FetchConfig": "ossdist.config",
    "GpgSigner": "ossdist.release.signing",
    "OssdistError": "ossdist.errors",
    "Publisher": "ossdist.publisher",
    "ReleaseSpec": "ossdist.publisher",
    "SwarmConfig": "ossdist.config",
    "TransferConfig": "ossdist.config",
    "VerificationReport": "ossdist.release.report",
}


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used, so that the pure parts can be had without libtorrent."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ossdist' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
