"""The import contracts look at every module: one that stands in no layer could import anything."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"ossdist", "ossdist.release", "ossdist.mirrors", "ossdist.metalink"}
"""Their own ``__init__`` holds nothing but names."""


def layers() -> list[str]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    contracts = cast("list[dict[str, list[str] | str]]", found)
    tiers = next(contract for contract in contracts if contract["name"] == "a tier imports only what stands below it")
    return [name.strip(" ()") for layer in tiers["layers"] for name in layer.split(":")]


def modules() -> set[str]:
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "ossdist").rglob("*.py")]
    return {".".join(path.parts).removesuffix(".__init__") for path in paths} - PACKAGES


def test_every_module_stands_in_one_layer() -> None:
    tiers = layers()
    places = {
        module: [tier for tier in tiers if module == tier or module.startswith(f"{tier}.")] for module in modules()
    }
    assert {module: found for module, found in places.items() if len(found) != 1} == {}
