"""Makes the conformance vectors of torrents/, or checks that they are what this makes.

The same keys, which stand in torrents/keys/, give the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.vectors.accepted import accepted
from tools.vectors.keyring import Keyring
from tools.vectors.refused_documents import refused_documents
from tools.vectors.refused_payloads import refused_payloads
from tools.vectors.refused_signatures import refused_signatures
from tools.vectors.refused_states import refused_states
from tools.vectors.vector import EXPECT, require_distinct
from tools.vectors.workshop import Workshop

VECTORS = Path(__file__).resolve().parents[1] / "torrents"
_PARTS = (accepted, refused_signatures, refused_states, refused_documents, refused_payloads)


class _Arguments(argparse.Namespace):
    out: Path
    check: bool


def make() -> dict[str, bytes]:
    """Contents of every file of every vector, by path."""
    with Keyring(VECTORS / "keys") as keyring:
        workshop = Workshop(keyring)
        vectors = [vector for part in _PARTS for vector in part(workshop)]
        require_distinct(vectors)
        return {
            f"{vector.name}/{path}": data for vector in vectors for path, data in sorted(vector.files(keyring).items())
        }


def differences(folder: Path, files: dict[str, bytes]) -> list[str]:
    """One line for each file of a vector that is missing, changed or too much."""
    there = {
        path.relative_to(folder).as_posix(): path
        for vector in _vectors_in(folder)
        for path in vector.rglob("*")
        if path.is_file()
    }
    missing = [f"{path}: is missing" for path in sorted(files.keys() - there.keys())]
    extra = [f"{path}: is too much" for path in sorted(there.keys() - files.keys())]
    changed = [
        f"{path}: is another"
        for path, data in sorted(files.items())
        if path in there and there[path].read_bytes() != data
    ]
    return [*missing, *extra, *changed]


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Replaces every vector in a folder; what else stands there stays."""
    for vector in _vectors_in(folder):
        shutil.rmtree(vector)
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def main() -> int:
    """Runs the script and gives its exit code."""
    parser = argparse.ArgumentParser(prog="make_vectors.py", description=__doc__)
    parser.add_argument("--out", type=Path, default=VECTORS, metavar="DIR", help="default: torrents/")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if something differs")
    args = parser.parse_args(namespace=_Arguments())
    files = make()
    if not args.check:
        write(args.out, files)
        return 0
    found = differences(args.out, files)
    print("\n".join([*found, f"{len(files)} files, {len(found)} differ"]))
    return 1 if found else 0


def _vectors_in(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{EXPECT}"))


if __name__ == "__main__":
    sys.exit(main())
