"""Fixtures that every kind of test may use."""

from tests.keys import keys

__all__ = ["keys"]
