"""Lets the scripts use the package beside them, whether or not it is installed. To be imported before it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder."""

_NEEDED = ("gnupg", "libtorrent", "msgspec", "packageurl", "packaging", "requests", "tqdm")


def _require_dependencies() -> None:
    """Ends the script with one line instead of a traceback if this is not the environment that `dev.py` makes."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if sys.version_info >= (3, 11) and not missing:
        return
    why = f"this Python has no {', '.join(missing)}" if missing else "Python 3.11 or newer is needed"
    script = Path(sys.argv[0]).name
    print(f"{why}: run `python3 tools/dev.py setup`, then `.venv/bin/python tools/{script}`", file=sys.stderr)
    sys.exit(2)


sys.path.insert(0, str(ROOT))
_require_dependencies()
