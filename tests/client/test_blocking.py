"""`ossdist.blocking`: a whole story without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ossdist import blocking
from ossdist.publisher import Publisher, ReleaseSpec
from ossdist.release import layout, model
from tests.channels import noise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys


def test_create_publish_refresh_and_resolve(tmp_path: Path, keys: Keys) -> None:
    channel, file = tmp_path / "channel", tmp_path / "tool.bin"
    file.write_bytes(noise(10_000))
    publisher = Publisher(channel, signer=keys.signer, keys=[keys.alice])
    root = blocking.create(publisher)
    assert model.encode(root) == (channel / layout.ROOT).read_bytes()
    published = blocking.publish(publisher, ReleaseSpec(name="tool", version="1.0", files={file.name: file}))
    assert blocking.refresh(publisher) == published.channel_serial + 1
    found = blocking.resolve(channel, "tool", root=model.encode(root))
    assert found.release == published.release


def test_a_root_given_as_text_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = "root.json"
    with pytest.raises(TypeError, match=r"root must be the pathlib\.Path of a root\.json, or its bytes, not str"):
        blocking.resolve(tmp_path, "tool", root=text)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="not str"):
        blocking.download(tmp_path, "tool", root=text, to=tmp_path)  # pyright: ignore[reportArgumentType]
