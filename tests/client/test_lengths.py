"""A file's length is looked at even if nobody asks for its whole hash."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist.client import Client
from ossdist.errors import FileHashError
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, QUICK, make_channel, noise, port_of, publish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys

UNHASHED = replace(CONFIG, transfer=replace(QUICK, whole_file_hash=False))
FILES = {"a.bin": noise(100_000), "b.bin": noise(300_000, seed=1)}


@asynchronous
async def test_file_that_is_too_long_is_refused_though_its_hash_is_not_asked_for(tmp_path: Path, keys: Keys) -> None:
    channel, out = await make_channel(tmp_path, keys), tmp_path / "out"
    await publish(channel, FILES)
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=UNHASHED) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        release = (await client.catalog.resolve("tool")).release
        begun = out / f".ossdist-{release.hybrid.info_hash_v2[:16]}" / "data" / "tool-1.0" / "b.bin"
        begun.parent.mkdir(parents=True)
        begun.write_bytes(FILES["b.bin"] + b"more")
        with pytest.raises(FileHashError, match=r"b\.bin: length is 300004.* signed is 300000"):
            await client.download("tool", to=out, peers=[port_of(seed)])
        assert not list(out.rglob("*.bin"))
        report = await client.download("tool", to=out, peers=[port_of(seed)])
    assert {path.name: path.read_bytes() for path in out.glob("*.bin")} == FILES
    assert not any(file.verified for file in report.files)
