"""What a machine says when the system says nothing. What it says otherwise is in the lab's tests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ossdist import machine

if TYPE_CHECKING:
    import pytest


def refused(*_words: object, **_options: object) -> None:
    raise PermissionError("no netlink here")


def test_other_systems_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    assert machine.network_fingerprint() is None
    assert machine.own_connections() == ()


def test_a_system_that_refuses_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "IPRoute", refused)
    monkeypatch.setattr(machine, "DiagSocket", refused)
    assert machine.network_fingerprint() is None
    assert machine.own_connections() == ()
