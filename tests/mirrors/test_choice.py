"""Which mirrors to begin with."""

from __future__ import annotations

import pytest

from ossdist.mirrors.choice import Candidate, mirrors_to_start
from ossdist.mirrors.health import Breaker


def mirror(name: str, breaker: Breaker = Breaker.CLOSED, **more: bool) -> Candidate:
    return Candidate(url=name, breaker=breaker, **more)


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([mirror("a"), mirror("b"), mirror("c")], ("a", "b")),
        ([mirror("a", active=True), mirror("b"), mirror("c")], ("b",)),
        ([mirror("a", active=True), mirror("b", active=True), mirror("c")], ()),
        ([mirror("a", Breaker.OPEN), mirror("b", Breaker.HALF_OPEN)], ("b",)),
        ([mirror("a", Breaker.HALF_OPEN), mirror("b"), mirror("c")], ("b", "c")),
        ([mirror("a", Breaker.HALF_OPEN), mirror("b")], ("b", "a")),
        ([mirror("a", out=True), mirror("b")], ("b",)),
        ([mirror("a", ranged=False), mirror("b")], ("b",)),
        # Last resorts.
        ([mirror("a", ranged=False), mirror("b", ranged=False)], ("a",)),
        ([mirror("a", ranged=False), mirror("b", active=True)], ()),
        ([mirror("a", Breaker.OPEN), mirror("b", Breaker.OPEN)], ("a",)),
        ([mirror("a", Breaker.OPEN, failed=True), mirror("b", Breaker.OPEN)], ("b",)),
        ([mirror("a", Breaker.OPEN, failed=True)], ()),
        ([mirror("a", out=True)], ()),
        ([], ()),
    ],
)
def test_who_is_asked(candidates: list[Candidate], expected: tuple[str, ...]) -> None:
    assert mirrors_to_start(candidates, at_once=2) == expected
