"""What the quickstart publishes if it is given no files: two consecutive real releases.

They are two wheels from the package index that pip is set up for. Without one, they are this project's own source,
packed twice with a change.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import re
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from _process import ServiceError, child
from _script import ROOT

from ossdist.release.formats.filename import parse_filename

if TYPE_CHECKING:
    from collections.abc import Sequence

WHEELS = ("cryptography==50.0.1", "cryptography==50.0.2")
DOWNLOAD_S = 20.0
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--retries", "1", "--timeout", "10")
_SOURCES = ("ossdist/**/*.py", "tools/*.py", "pyproject.toml", "README.md", "requirements.txt")


@dataclass(frozen=True, slots=True)
class Sample:
    """One release to publish.

    Attributes:
        name: The package.
        version: Its version.
        purl: Its identity, if it is known.
        file: Its one file.
    """

    name: str
    version: str
    purl: str | None
    file: Path


def samples_of(files: Sequence[Path]) -> list[Sample]:
    """One release of each file: name and version as the file names tell, or else 1, 2, ... of one package."""
    if not files:
        return []
    parsed = [parse_filename(file.name) for file in files]
    names = {found.name for found in parsed if found is not None}
    versions = {found.version for found in parsed if found is not None}
    if None not in parsed and len(names) == 1 and len(versions) == len(files):
        return [Sample(p.name, p.version, p.purl, file) for p, file in zip(parsed, files, strict=True) if p is not None]
    name = re.sub(r"[^A-Za-z0-9._+-]", "-", files[0].stem).lstrip("._+-")[:100] or "package"
    return [Sample(name, str(number), None, file) for number, file in enumerate(files, 1)]


async def default_samples(folder: Path) -> list[Sample]:
    """Two releases, fetched or made below ``folder``."""
    wheels = await asyncio.gather(*(_download(wanted, folder) for wanted in WHEELS))
    found = [wheel for wheel in wheels if wheel is not None]
    if len(found) == len(WHEELS):
        return samples_of(found)
    return samples_of([_pack(folder, version) for version in ("0.1.0", "0.1.1")])


async def _download(wanted: str, folder: Path) -> Path | None:
    """A wheel in a folder of its own; None if pip cannot get it in time."""
    target = folder / wanted
    # The environment's own Python may lack pip; then the one that it was made from has it.
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in dict.fromkeys((sys.executable, str(base))):
        argv = (python, *_PIP, "download", "--no-deps", "--only-binary", ":all:", "--dest", target, wanted)
        try:
            async with child(f"pip {wanted}", argv, folder=folder, env={**os.environ, "TMPDIR": str(folder)}) as pip:
                if await pip.ended(timeout_s=DOWNLOAD_S) == 0:
                    return _wheel_in(target)
        except (ServiceError, OSError):
            return None
    return None


def _wheel_in(folder: Path) -> Path | None:
    return next(folder.glob("*.whl"), None)


def _pack(folder: Path, version: str) -> Path:
    """Packs the project's source as a source distribution, always the same bytes for the same tree."""
    stem = f"ossdist-{version}"
    target = folder / f"{stem}.tar.gz"
    with (
        target.open("wb") as stream,
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        metadata = f"Metadata-Version: 2.1\nName: ossdist\nVersion: {version}\n".encode()
        _add(archive, f"{stem}/PKG-INFO", metadata)
        for path in sorted({path for pattern in _SOURCES for path in ROOT.glob(pattern)}):
            _add(archive, f"{stem}/{path.relative_to(ROOT).as_posix()}", path.read_bytes())
    return target


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
