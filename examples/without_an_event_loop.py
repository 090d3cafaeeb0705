"""Publishes a file and downloads it again with plain calls; everything on this machine, out of the channel's folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ossdist import ClientConfig, Publisher, ReleaseSpec, blocking
from ossdist.release.signing import temporary_signer


def main(folder: Path) -> None:
    """Plays a publisher and a user below ``folder``."""
    channel, file = folder / "channel", folder / "hello.bin"
    file.write_bytes(bytes(1_000_000))
    with temporary_signer() as signer:  # your own keys: GpgSigner()
        key = signer.create_key("Releases <releases@example.org>")
        publisher = Publisher(channel, signer=signer, keys=[key])
        blocking.create(publisher, "example.org-stable")
        blocking.publish(publisher, ReleaseSpec(name="hello", version="1.0", files={file.name: file}))
        serial = blocking.refresh(publisher)  # once a day, so that the channel does not expire
    print(f"the channel's serial is {serial}")
    # Without peers nothing listens: the bytes come from mirrors, or from the folder itself.
    config = ClientConfig(peers_enabled=False, state_folder=folder / "state")
    root = channel / "root.json"
    report = blocking.download(channel, "hello", root=root, to=folder / "downloads", config=config)
    print(report.name, report.version, "verified" if all(file.verified for file in report.files) else "refused")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
