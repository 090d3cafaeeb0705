"""What a client remembers of mirrors, in one file on this machine's disk.

It is of use, and no more than that: a file that is damaged, foreign or too large is begun anew.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from ossdist.errors import FormatError, StorageError
from ossdist.mirrors.health import Health  # noqa: TC001  # msgspec looks at it
from ossdist.store.files import read_file, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

MAX_MIRRORS = 2000
_MAX_BYTES = 4 << 20


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["ossdist-mirrors-1"]
    mirrors: dict[Annotated[str, msgspec.Meta(max_length=2048)], Health]


def load_health(path: Path) -> dict[str, Health]:
    """What is known of each mirror, by its address; nothing if the file is not there or cannot be used. Blocks."""
    try:
        return msgspec.json.decode(read_file(path, limit_bytes=_MAX_BYTES), type=_Stored).mirrors
    except (StorageError, FormatError, msgspec.MsgspecError, ValueError) as error:
        if path.exists():
            log.warning("%s is begun anew: %s", path, error)
        return {}


def save_health(path: Path, mirrors: Mapping[str, Health]) -> None:
    """Keeps it; of too many mirrors those that were asked last. Blocks.

    Raises:
        StorageError: It cannot be written.
    """
    newest = sorted(mirrors.items(), key=lambda pair: pair[1].at, reverse=True)[:MAX_MIRRORS]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.encode(_Stored("ossdist-mirrors-1", dict(newest))))
