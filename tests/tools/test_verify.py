"""tools/verify.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from ossdist.release import layout
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, make_channel, noise, publish
from tests.tools.scripts import Json, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys


async def prepared(tmp_path: Path, keys: Keys) -> tuple[TestChannel, tuple[Path, str, Path, str, Path]]:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": noise(100_000)})
    release = channel.folder / layout.release_path("tool", "1.0")
    file = channel.payload("tool", "1.0") / "tool.bin"
    return channel, (file, "--release", release, "--root", channel.root)


@asynchronous
async def test_a_good_file_passes_with_every_check_listed(tmp_path: Path, keys: Keys) -> None:
    channel, args = await prepared(tmp_path, keys)
    done = run("verify", *args, "--channel", channel.folder / layout.CHANNEL, "--json")
    assert done.code == 0, done
    assert (done.answer["ok"], done.answer["verdict"]) == (True, "pass")
    checks = cast("list[Json]", done.answer["checks"])
    assert {check["name"]: check["outcome"] for check in checks} == {"upstream signature": "skipped"} | dict.fromkeys(
        (
            *("root", "release signature", "release format", "path", "length", "sha256"),
            *("torrent", "pieces v1", "pieces v2", "channel"),
        ),
        "pass",
    )
    assert all(check["detail"] for check in checks)


@asynchronous
async def test_a_changed_file_fails(tmp_path: Path, keys: Keys) -> None:
    channel, args = await prepared(tmp_path, keys)
    (channel.payload("tool", "1.0") / "tool.bin").write_bytes(noise(100_000, 1))
    done = run("verify", *args, "--json")
    assert "sha256" in done.refused("VerificationFailed")
    assert done.answer["verdict"] == "fail"
    outcomes = {check["name"]: check["outcome"] for check in cast("list[Json]", done.answer["checks"])}
    assert outcomes["sha256"] == outcomes["pieces v2"] == "fail"


@asynchronous
async def test_for_people_each_check_is_a_line(tmp_path: Path, keys: Keys) -> None:
    channel, args = await prepared(tmp_path, keys)
    good = run("verify", *args)
    assert good.code == 0, good
    assert "skipped channel: no channel was given" in good.out
    assert good.out.rstrip().endswith("tool.bin: pass")
    (channel.payload("tool", "1.0") / "tool.bin").write_bytes(b"")
    bad = run("verify", *args)
    assert bad.code == 1
    assert "fail    length: is 0 bytes, signed is 100000 bytes" in bad.out
    assert bad.out.rstrip().endswith("tool.bin: fail (length, sha256 failed)")
    signature = args[2].with_name(layout.signature_path("release.json", keys.alice))
    signature.unlink()
    unsigned = run("verify", *args)
    assert unsigned.code == 1
    summary = "tool.bin: fail (release signature failed; release format, path, length, sha256 skipped)"
    assert unsigned.out.rstrip().endswith(summary)


@asynchronous
async def test_what_cannot_be_verified_at_all_is_refused(tmp_path: Path, keys: Keys) -> None:
    _, args = await prepared(tmp_path, keys)
    other = tmp_path / "root.json"
    other.write_text("[]")
    assert "root.json" in run("verify", *args[:3], "--root", other, "--json").refused("FormatError")


@asynchronous
async def test_wrong_usage(tmp_path: Path, keys: Keys) -> None:
    _, args = await prepared(tmp_path, keys)
    done = run("verify", tmp_path / "missing", *args[1:], "--json")
    assert (done.code, done.out) == (2, "")
    assert "is no file" in done.err


@asynchronous
async def test_a_report_can_be_kept_and_signed(tmp_path: Path, keys: Keys) -> None:
    _, args = await prepared(tmp_path, keys)
    kept = tmp_path / "report.json"
    done = run("verify", *args, "--report", kept, "--sign-key", keys.bob, "--gnupghome", keys.home)
    assert done.code == 0, done
    report = json.loads(kept.read_bytes())
    assert report["verdict"] == "pass"
    assert {"name": "root", "outcome": "pass"}.items() <= report["checks"][0].items()
    keys.gpg("--verify", str(tmp_path / layout.signature_path("report.json", keys.bob)), str(kept))
    assert run("verify", *args, "--sign-key", keys.bob).code == 2
    (args[0]).write_bytes(b"changed")
    assert run("verify", *args, "--report", kept).code == 1
    assert json.loads(kept.read_bytes())["verdict"] == "fail"
