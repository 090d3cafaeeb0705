"""Limits by the time of the week, and by what was sent this month. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ossdist.config import Period


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may flow.

    Attributes:
        upload_bytes_per_s: Infinite for no limit, 0 for nothing at all.
        download_bytes_per_s: The same.
    """

    upload_bytes_per_s: float = math.inf
    download_bytes_per_s: float = math.inf

    def __and__(self, other: Limits) -> Limits:
        """Both hold."""
        return Limits(
            min(self.upload_bytes_per_s, other.upload_bytes_per_s),
            min(self.download_bytes_per_s, other.download_bytes_per_s),
        )


UNLIMITED = Limits()


def scheduled(periods: Iterable[Period], now: datetime) -> Limits:
    """What holds at a time: of several periods at once the lower limits.

    Args:
        periods: As they were configured.
        now: Local time.
    """
    limits = UNLIMITED
    for period in periods:
        if period.holds(now):
            limits &= Limits(period.upload_bytes_per_s, period.download_bytes_per_s)
    return limits


def capped(sent_bytes: int, monthly_upload_bytes: int | None) -> Limits:
    """What the month's cap leaves.

    Args:
        sent_bytes: What was sent this month.
        monthly_upload_bytes: The cap; None for none.
    """
    if monthly_upload_bytes is None or sent_bytes < monthly_upload_bytes:
        return UNLIMITED
    return Limits(upload_bytes_per_s=0.0)


def month_of(now: datetime) -> str:
    """The month that a cap is for, ``YYYY-MM``."""
    return f"{now:%Y-%m}"
