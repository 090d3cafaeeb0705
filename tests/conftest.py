"""Fixtures that every kind of test may use."""

from hypothesis import settings

from tests.keys import keys

__all__ = ["keys"]

# How long one example takes says more about the machine's other work than about the code.
settings.register_profile("ossdist", deadline=None)
settings.load_profile("ossdist")
