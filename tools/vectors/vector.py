"""A vector: its files, and what a client has to say of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ossdist.release import layout
from tools.vectors.workshop import NOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ossdist.errors import OssdistError
    from tools.vectors.keyring import Keyring
    from tools.vectors.workshop import Mirror

ROOT, CHANNEL_FOLDER, MEMORY, TORRENT, EXPECT = "root.json", "channel", "memory.json", "release.torrent", "expect.json"


@dataclass(frozen=True)
class Remembered:
    """What the client remembers.

    Attributes:
        roots: Every root that it has accepted, the first one given first.
        channel: The channel that it accepted last.
    """

    roots: tuple[bytes, ...]
    channel: Mirror | None = None

    def files(self) -> dict[str, bytes]:
        """As they stand in a vector's folder."""
        roots = {f"memory/{number}.{ROOT}": data for number, data in enumerate(self.roots, 1)}
        channel = {f"memory/channel/{path}": data for path, data in self._channel().items()}
        index = {"roots": list(roots), "channel": "memory/channel" if channel else None}
        return {MEMORY: encode_json(index), **roots, **channel}

    def _channel(self) -> dict[str, bytes]:
        files = self.channel.files if self.channel is not None else {}
        return {path: data for path, data in files.items() if path == layout.CHANNEL or path.startswith("index/")}


@dataclass(frozen=True)
class Vector:
    """One folder of torrents/.

    Attributes:
        name: The folder's name.
        title: What it is about, one sentence.
        why: Why it is accepted or refused, one sentence.
        root: The caller's root.
        given: The mirror's folder, or one torrent's bytes.
        error: The class of our error; None if it is accepted.
        says: A part of our error's message.
        version: The version that is asked for; None for the newest.
        package: The package that is asked for.
        now: When.
        remembered: By the client; None if it is the first time.
        release: Version and payload of what is accepted.
        signers: Who signs what is accepted, by role.
    """

    name: str
    title: str
    why: str
    root: bytes
    given: Mirror | bytes
    error: type[OssdistError] | None = None
    says: str = ""
    version: str | None = None
    package: str = "tool"
    now: datetime = NOW
    remembered: Remembered | None = None
    release: tuple[str, Mapping[str, bytes]] | None = None
    signers: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def files(self, keyring: Keyring) -> dict[str, bytes]:
        """Everything that stands in its folder, by path."""
        given = (
            {TORRENT: self.given}
            if isinstance(self.given, bytes)
            else {f"{CHANNEL_FOLDER}/{path}": data for path, data in self.given.files.items()}
        )
        remembered = self.remembered.files() if self.remembered is not None else {}
        return {ROOT: self.root, **given, **remembered, EXPECT: encode_json(self._expected(keyring))}

    def _expected(self, keyring: Keyring) -> dict[str, object]:
        alone = isinstance(self.given, bytes)
        verdict: dict[str, object] = (
            {"verdict": "refuse", "error": self.error.__name__, "says": self.says, "why": self.why}
            if self.error is not None
            else {"verdict": "accept", "error": None, "why": self.why, **self._accepted(keyring)}
        )
        return {
            "kind": "torrent" if alone else "channel",
            "title": self.title,
            "request": None if alone else {"name": self.package, "version": self.version},
            "now": self.now.isoformat().replace("+00:00", "Z"),
            **verdict,
        }

    def _accepted(self, keyring: Keyring) -> dict[str, object]:
        if self.release is None or not self.signers:
            raise ValueError(f"{self.name}: what is accepted has a release and signers")
        version, payload = self.release
        return {
            "release": {"name": self.package, "version": version},
            "files": {path: hashlib.sha256(content).hexdigest() for path, content in sorted(payload.items())},
            "signers": {role: sorted(map(keyring.fingerprint, names)) for role, names in sorted(self.signers.items())},
        }


def encode_json(value: object) -> bytes:
    """A value as a file of torrents/ has it."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def require_distinct(vectors: Iterable[Vector]) -> None:
    """Refuses two vectors of one name.

    Raises:
        ValueError: There are two.
    """
    seen: set[str] = set()
    for vector in vectors:
        if vector.name in seen:
            raise ValueError(f"two vectors are called {vector.name}")
        seen.add(vector.name)
