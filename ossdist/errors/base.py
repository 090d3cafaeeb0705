"""The base of all errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class OssdistError(Exception):
    """Base of all errors of this library. They can be pickled, so they come back from worker processes."""

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[OssdistError], args: tuple[object, ...], data: Mapping[str, object]) -> OssdistError:
    # Exception's own way would call __init__ with the finished message.
    error = kind.__new__(kind, *args)
    error.__dict__.update(data)
    return error
