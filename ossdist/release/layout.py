"""Where things stand in a channel's folder, and which paths a manifest may name.

Every path is relative to the channel's folder (or a mirror's base address) and uses ``/``. The same functions
serve the publisher, who writes the folder, and the client, who reads it through HTTP.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote

from ossdist.errors import UnsafePathError

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = "root.json"
CHANNEL = "channel.json"

MAX_PATH_BYTES = 1024
MAX_COMPONENT_BYTES = 240
"""Most file systems allow 255 bytes a name; the difference is for temporary suffixes."""

_RESERVED_CHARACTERS = frozenset('\\<>:"|?*')
"""Not allowed in a file name of Windows; a release that names them could not be installed there."""

_RESERVED_NAMES = frozenset(
    [
        *("con", "prn", "aux", "nul", "conin$", "conout$"),
        *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789\u00b9\u00b2\u00b3"),
    ]
)


def signature_path(document: str, fingerprint: str) -> str:
    """Path of one key's detached signature of ``document``."""
    return f"{document}.{fingerprint}.asc"


def numbered_root(serial: int) -> str:
    """Path of the root with that serial; `ROOT` is the newest one once more."""
    return f"{serial}.{ROOT}"


def page_path(sha256: str) -> str:
    """Path of the page of the channel's index with that hash."""
    return f"index/{sha256}.json"


def release_path(name: str, version: str) -> str:
    """Path of a release's manifest."""
    return f"releases/{name}/{_portable(version)}/release.json"


def folder_name(name: str, version: str) -> str:
    """Name of the folder (and of a multi-file torrent) that holds a release's files."""
    return f"{name}-{_portable(version)}"


def file_path(name: str, version: str, path: str) -> str:
    """Path of one payload file."""
    return f"files/{folder_name(name, version)}/{path}"


def torrent_path(name: str, version: str, *, v1: bool) -> str:
    """Path of a release's torrent: the hybrid one, or the one for clients that know v1 alone."""
    return f"torrents/{folder_name(name, version)}{'.v1' if v1 else ''}.torrent"


def url(base: str, path: str) -> str:
    """Address of ``path`` below the mirror ``base``, percent-encoded."""
    return f"{base.rstrip('/')}/{quote(path)}"


def check_path(path: str, *, document: str) -> None:
    """Refuses a path that would leave its folder or that some file system cannot hold.

    Raises:
        UnsafePathError: With the reason.
    """
    reason = _unsafe(path)
    if reason is not None:
        raise UnsafePathError(path, reason, document=document)


def check_paths(paths: Iterable[str], *, document: str) -> None:
    """Refuses unsafe paths, and paths that are the same file on some file system.

    Two paths collide when they are equal after case folding (macOS, Windows), or when one of them is a folder
    of the other.

    Raises:
        UnsafePathError: For the first offending path.
    """
    files: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        check_path(path, document=document)
        key = unicodedata.normalize("NFC", path.casefold())
        if key in files:
            raise UnsafePathError(path, "stands there twice", document=document)
        parents = key.split("/")[:-1]
        parent_keys = {"/".join(parents[: depth + 1]) for depth in range(len(parents))}
        if key in folders or parent_keys & files:
            raise UnsafePathError(path, "is a file and a folder at once", document=document)
        files.add(key)
        folders |= parent_keys


def _portable(version: str) -> str:
    # An epoch's colon may not stand in a file name of Windows; dpkg and apt write it like this too.
    return version.replace(":", "%3a")


def _unsafe(path: str) -> str | None:
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    rules = (
        (path.startswith("/"), "is absolute"),
        (length > MAX_PATH_BYTES, f"is longer than {MAX_PATH_BYTES} bytes"),
        (unicodedata.normalize("NFC", path) != path, "is not in Unicode's normal form C"),
        *(rule for component in path.split("/") for rule in _component_rules(component)),
    )
    return next((reason for broken, reason in rules if broken), None)


def _component_rules(component: str) -> tuple[tuple[bool, str], ...]:
    stem = component.partition(".")[0].rstrip(" ").casefold()
    categories = {unicodedata.category(character) for character in component}
    return (
        (component == "", "has an empty component"),
        (component in {".", ".."}, f"has the component {component!r}"),
        (
            len(component.encode()) > MAX_COMPONENT_BYTES,
            f"has a component of more than {MAX_COMPONENT_BYTES} bytes",
        ),
        (component.endswith((".", " ")), "has a component that ends in a dot or a space"),
        (stem in _RESERVED_NAMES, "has a name that Windows reserves"),
        (
            not _RESERVED_CHARACTERS.isdisjoint(component),
            f"has one of the characters {''.join(sorted(_RESERVED_CHARACTERS))}",
        ),
        (not categories.isdisjoint({"Cc", "Cf", "Zl", "Zp"}), "has a control or invisible character"),
    )
