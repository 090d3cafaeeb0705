"""rotate.py and publish.py --withdraw, as a release engineer calls them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ossdist.release import layout, model
from tests.channels import noise
from tests.tools.scripts import Done, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys


def publish(tmp_path: Path, keys: Keys, *args: object, key: str | None = None) -> Done:
    signing = ("--key", key or keys.alice, "--gnupghome", keys.home)
    return run("publish", tmp_path / "channel", *args, *signing, "--json")


def rotate(tmp_path: Path, keys: Keys, *args: object) -> Done:
    return run("rotate", tmp_path / "channel", *args, "--gnupghome", keys.home, "--json")


def fetch(tmp_path: Path, root: Path, to: str, *args: object) -> Done:
    local = ("--listen", "127.0.0.1:0", "--no-dht", "--no-lsd", "--no-p2p")
    return run("fetch", tmp_path / "channel", "tool", "--root", root, "--to", tmp_path / to, *local, *args, "--json")


def released(tmp_path: Path, keys: Keys, version: str, *, key: str | None = None) -> Done:
    source = tmp_path / "tool.bin"
    source.write_bytes(noise(50_000, len(version)))
    return publish(
        tmp_path, keys, source, "--name", "tool", "--version", version, "--channel-name", "example.org-stable", key=key
    )


def test_users_of_an_old_root_follow_to_new_keys(tmp_path: Path, keys: Keys) -> None:
    assert released(tmp_path, keys, "1.0").code == 0
    first = tmp_path / "first.json"
    first.write_bytes((tmp_path / "channel" / layout.ROOT).read_bytes())
    assert model.decode_root(first.read_bytes()).channel == "example.org-stable"
    roles = [word for role in ("root", "channel", "release") for word in (f"--{role}-key", keys.bob)]
    done = rotate(tmp_path, keys, "--key", keys.alice, "--key", keys.bob, *roles, "--validity-days", "700")
    assert done.code == 0, done
    assert done.answer["serial"] == 2
    assert released(tmp_path, keys, "1.1", key=keys.alice).refused("SigningError")
    assert released(tmp_path, keys, "1.1", key=keys.bob).code == 0
    answer = fetch(tmp_path, first, "to").answer
    assert answer["ok"] is True
    assert answer["release"] == {"name": "tool", "version": "1.1"}


def test_a_role_that_is_not_mentioned_stays(tmp_path: Path, keys: Keys) -> None:
    assert released(tmp_path, keys, "1.0").code == 0
    done = rotate(tmp_path, keys, "--key", keys.alice, "--release-key", keys.alice, "--release-key", keys.bob)
    assert done.answer["roles"] == {
        "root": {"keys": [keys.alice], "threshold": 1},
        "channel": {"keys": [keys.alice], "threshold": 1},
        "release": {"keys": [keys.alice, keys.bob], "threshold": 1},
    }
    refused = rotate(tmp_path, keys, "--key", keys.alice, "--channel-threshold", "2").refused("FormatError")
    assert "needs 2 of 1 keys" in refused
    assert rotate(tmp_path, keys, "--key", keys.bob).refused("SigningError")
    text = run("rotate", tmp_path / "channel", "--key", keys.alice, "--gnupghome", keys.home).out
    assert "Root 3 of channel example.org-stable is valid until" in text
    for wrong in (["--channel-threshold", "0"], ["--channel-threshold", "x"], []):
        assert rotate(tmp_path, keys, *wrong).code == 2


def test_a_withdrawn_release_is_refused_with_its_reason(tmp_path: Path, keys: Keys) -> None:
    for version in ("1.0", "1.1"):
        assert released(tmp_path, keys, version).code == 0
    root = tmp_path / "channel" / layout.ROOT
    withdrawn = publish(tmp_path, keys, "--withdraw", "it loses data", "--name", "tool", "--version", "1.1")
    assert withdrawn.code == 0, withdrawn
    assert fetch(tmp_path, root, "to").answer["release"] == {"name": "tool", "version": "1.0"}
    assert "it loses data" in fetch(tmp_path, root, "other", "--version", "1.1").refused("WithdrawnError")
    for wrong in (["--name", "tool"], ["--name", "tool", "--version", "1.0", "--purl", "pkg:generic/tool@1"]):
        assert publish(tmp_path, keys, "--withdraw", "x", *wrong).code == 2


def test_a_stale_copy_keeps_nobody_from_the_newest(tmp_path: Path, keys: Keys) -> None:
    assert released(tmp_path, keys, "1.0").code == 0
    root, stale, state = tmp_path / "channel" / layout.ROOT, tmp_path / "stale", tmp_path / "state"
    shutil.copytree(tmp_path / "channel", stale)
    assert released(tmp_path, keys, "1.1").code == 0
    local = ("--root", root, "--to", tmp_path / "to", "--no-p2p", "--state", state, "--json")
    answer = run("fetch", stale, "tool", "--copy", tmp_path / "channel", *local).answer
    assert answer["release"] == {"name": "tool", "version": "1.1"}
    assert [path.name for path in (state / "channels").glob("*.json")] == ["example.org-stable.json"]
    assert run("fetch", stale, "tool", *local).refused("RollbackError")
