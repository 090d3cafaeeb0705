"""What is remembered of networks, in a file that may be missing, damaged, foreign or full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ossdist.config import Transport
from ossdist.store.network_file import MAX_NETWORKS, NetworkFile
from tests.asynchronous import asynchronous

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def file_in(folder: Path, network: str | None = "home", at: Callable[[], float] = lambda: 1e9) -> NetworkFile:
    return NetworkFile(folder, fingerprint=lambda: network, time_s=at)


@asynchronous
async def test_each_network_has_its_own(tmp_path: Path) -> None:
    await file_in(tmp_path, "home").keep(Transport.UTP)
    await file_in(tmp_path, "campus").keep(Transport.TCP_ENCRYPTED)
    await file_in(tmp_path, "home").keep(Transport.TCP)
    assert await file_in(tmp_path, "home").recall() is Transport.TCP
    assert await file_in(tmp_path, "campus").recall() is Transport.TCP_ENCRYPTED
    assert await file_in(tmp_path, "elsewhere").recall() is None


@asynchronous
async def test_a_network_that_cannot_be_told_from_others_is_not_remembered(tmp_path: Path) -> None:
    await file_in(tmp_path, None).keep(Transport.UTP)
    assert await file_in(tmp_path, None).recall() is None
    assert list(tmp_path.iterdir()) == []


@asynchronous
async def test_after_a_month_it_is_forgotten(tmp_path: Path) -> None:
    await file_in(tmp_path).keep(Transport.UTP)
    assert await file_in(tmp_path, at=lambda: 1e9 + 29 * 86400).recall() is Transport.UTP
    assert await file_in(tmp_path, at=lambda: 1e9 + 31 * 86400).recall() is None


@asynchronous
async def test_the_oldest_go(tmp_path: Path) -> None:
    for number in range(MAX_NETWORKS + 5):
        await file_in(tmp_path, f"n{number}", at=lambda number=number: 1e9 + number).keep(Transport.UTP)
    known = [await file_in(tmp_path, f"n{number}").recall() for number in range(MAX_NETWORKS + 5)]
    assert known == [None] * 5 + [Transport.UTP] * MAX_NETWORKS


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"x", b"[]", b'{"format":"other","networks":{}}', b" " * (2 << 20)),
        b'{"format":"ossdist-networks-1","networks":{"home":1}}',
        b'{"format":"ossdist-networks-1","networks":{"home":{"transport":"pigeon","at":1}}}',
    ],
)
@asynchronous
async def test_a_file_that_cannot_be_used_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "networks.json").write_bytes(content)
    assert await file_in(tmp_path).recall() is None
    await file_in(tmp_path).keep(Transport.UTP)
    assert await file_in(tmp_path).recall() is Transport.UTP


@asynchronous
async def test_a_disk_that_refuses_costs_no_more_than_that(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    await file_in(tmp_path / "file" / "folder").keep(Transport.UTP)
    assert "is not remembered" in caplog.text
