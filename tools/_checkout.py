"""Lets the scripts use the package beside them, whether or not it is installed. To be imported before it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder."""

sys.path.insert(0, str(ROOT))
