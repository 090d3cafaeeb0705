"""A channel's documents in a folder, signed with real keys by the test itself: also such as no publisher would make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.release import layout
from ossdist.release.channel import paginate
from ossdist.release.model import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ossdist.release.channel import Channel
    from ossdist.release.model import Root
    from tests.keys import Keys


@dataclass(frozen=True)
class Documents:
    """Writes to one folder."""

    folder: Path
    keys: Keys

    def put(self, path: str, data: bytes, *signers: str) -> None:
        """A document and these keys' signatures."""
        signed = {
            layout.signature_path(path, key): signature
            for key, signature in zip(signers, self.keys.sign(data, *signers), strict=True)
        }
        for name, content in {path: data, **signed}.items():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def put_root(self, root: Root, *signers: str) -> bytes:
        """A root under its number."""
        data = encode(root)
        self.put(layout.numbered_root(root.serial), data, *signers)
        return data

    def put_channel(self, channel: Channel, *signers: str) -> None:
        """A channel's document and index."""
        document, pages = paginate(channel)
        self.put_pages(pages)
        self.put(layout.CHANNEL, encode(document), *signers)

    def put_pages(self, pages: Mapping[str, bytes]) -> None:
        """Pages of an index, which nobody signs."""
        for path, data in pages.items():
            self.put(path, data)

    def remove(self, paths: Sequence[str]) -> None:
        """Takes documents away."""
        for path in paths:
            (self.folder / path).unlink()
