"""No path that is accepted leaves its folder, and no two that are accepted meet."""

from __future__ import annotations

import ntpath
import os.path
import posixpath
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, find, given
from hypothesis import strategies as st

from ossdist.errors import UnsafePathError
from ossdist.release import layout

if TYPE_CHECKING:
    from types import ModuleType

awkward = st.sampled_from(
    ["..", ".", "", "/", "//", "\\", "C:", "~", "a", "B", "ß", "SS", "con", " ", "\0", "\n", "\u202e", "e\u0301", "%2e"]
)
paths = st.lists(awkward | st.text(max_size=5), max_size=6).map("/".join) | st.lists(
    awkward | st.characters(), max_size=10
).map("".join)
ordinary = st.lists(st.text("aAb.", max_size=2).map("{}a".format), min_size=1, max_size=3).map("/".join)


def accepted(path: str) -> bool:
    try:
        layout.check_path(path, document="d")
    except UnsafePathError as error:
        assert error.path == path  # noqa: PT017
        return False
    return True


tame = st.sampled_from(["a", "B", "ß", "..a", "a b", "%2e", "~", "\u0130", "$(x)", "-rf", "#?", "日本"])
mostly_fine = st.lists(tame | st.text("ab.-+ ü\\:", min_size=1, max_size=4), min_size=1, max_size=4).map("/".join)


@given(paths | mostly_fine)
@example("..")
@example("a/../..")
@example("\\..\\..")
@example("C:..")
def test_no_accepted_path_leaves_its_folder(path: str) -> None:
    if not accepted(path):
        return
    systems: list[tuple[ModuleType, str]] = [(posixpath, "/srv/base"), (ntpath, "C:\\base")]
    for system, base in systems:
        joined = system.normpath(system.join(base, path))
        assert joined.startswith(base + system.sep)
        assert len(joined) == len(base) + 1 + len(path)
    assert os.path.normpath(path) == path
    assert path.isprintable() or not any(unicodedata.category(character) == "Cc" for character in path)
    assert len(os.fsencode(path)) <= layout.MAX_PATH_BYTES


@given(st.lists(ordinary, min_size=2, max_size=5))
def test_accepted_paths_can_stand_side_by_side(listed: list[str]) -> None:
    try:
        layout.check_paths(listed, document="d")
    except UnsafePathError:
        return
    folded = [path.casefold() for path in listed]
    assert len(set(folded)) == len(folded)
    for path in folded:
        assert not any(other.startswith(path + "/") for other in folded)


@given(ordinary, st.permutations(["x/y", "x/z", "w"]))
def test_the_order_of_the_paths_changes_nothing(path: str, others: list[str]) -> None:
    assert accepted(path)
    layout.check_paths([path, *others], document="d")
    layout.check_paths([*others, path], document="d")
    for twin in (path, path.swapcase(), f"{path}/x"):
        for listed in ([path, *others, twin], [twin, *others, path]):
            with pytest.raises(UnsafePathError):
                layout.check_paths(listed, document="d")


@given(paths | mostly_fine)
def test_an_address_leads_back_to_its_path(path: str) -> None:
    if not accepted(path):
        return
    address = layout.url("https://m.example.org/pub/", path)
    assert address.isascii()
    assert unquote(urlsplit(address).path) == f"/pub/{path}"


def test_the_strategies_reach_accepted_paths() -> None:
    assert accepted(find(paths, accepted))
    assert accepted(find(mostly_fine, lambda path: "/" in path and accepted(path)))
