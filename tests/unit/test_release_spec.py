"""What can be refused of a release before a channel is touched for it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ossdist.errors import FormatError, NotFoundError, StorageError, UnsafePathError
from ossdist.publisher import Publisher
from ossdist.release import model
from ossdist.release_spec import ReleaseSpec, check_spec
from tests.asynchronous import asynchronous
from tests.channels import make_channel
from tests.client.faults import before

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys


@pytest.fixture
def spec(tmp_path: Path) -> ReleaseSpec:
    """A good one."""
    (tmp_path / "full").write_bytes(b"content")
    (tmp_path / "empty").write_bytes(b"")
    return ReleaseSpec(name="tool", version="1", files={"a": tmp_path / "full", "b/c": tmp_path / "empty"})


def test_a_good_one_passes(spec: ReleaseSpec) -> None:
    check_spec(spec)
    check_spec(replace(spec, purl="pkg:pypi/tool@1", piece_length=32 << 10, trackers=("udp://t.example:1/announce",)))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "../tool"}, "name"),
        ({"version": ""}, "version"),
        ({"purl": "no purl"}, "package URL"),
        ({"trackers": ("nowhere",)}, "nowhere"),
        ({"mirrors": (model.Mirror(url="ftp://a.example/"),)}, "ftp"),
        ({"dependencies": (model.Dependency(purl="libc"),)}, "package URL"),
        ({"piece_length": 5}, "piece_length"),
        ({"files": {}}, "tool 1"),
    ],
)
def test_a_malformed_one_is_refused(spec: ReleaseSpec, change: dict[str, Any], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        check_spec(replace(spec, **change))


def test_files_that_cannot_be_published_are_refused(spec: ReleaseSpec, tmp_path: Path) -> None:
    full = tmp_path / "full"
    with pytest.raises(UnsafePathError, match="twice"):
        check_spec(replace(spec, files={"a": full, "A": full}))
    with pytest.raises(FormatError, match="all files are empty"):
        check_spec(replace(spec, files={"b": tmp_path / "empty"}))
    with pytest.raises(NotFoundError, match="missing does not exist"):
        check_spec(replace(spec, files={"a": full, "b": tmp_path / "missing"}))
    with pytest.raises(StorageError, match="cannot read"):
        check_spec(replace(spec, files={"a": full, "b": tmp_path}))
    os.mkfifo(tmp_path / "pipe")  # nobody will ever write to it
    with pytest.raises(StorageError, match="no regular file"):
        check_spec(replace(spec, files={"a": full, "b": tmp_path / "pipe"}))


@pytest.mark.parametrize("change", [{"purl": "no purl"}, {"files": None}])
@asynchronous
async def test_a_publisher_refuses_it_before_it_copies_anything(
    tmp_path: Path, keys: Keys, spec: ReleaseSpec, change: dict[str, Any]
) -> None:
    channel = await make_channel(tmp_path, keys)
    if "files" in change:
        change = {"files": {**spec.files, "z": tmp_path / "missing"}}
    with before("os.mkdir", str(channel.folder), lambda: None) as seen:
        with pytest.raises((FormatError, NotFoundError)):
            await channel.publisher.publish(replace(spec, **change))
        assert seen == []
        await Publisher(channel.folder, signer=keys.signer, keys=[keys.alice]).publish(spec)
        assert seen
