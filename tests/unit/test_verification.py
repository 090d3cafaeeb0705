"""Offline verification: what passes, and that nothing passes which was not checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import FormatError, StorageError
from ossdist.release import layout, model
from ossdist.verification import verify_file
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, make_channel, noise, publish
from tests.keys import FixedClock, Keys

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.clock import Clock
    from ossdist.release.report import VerificationReport

SINGLE = {"tool.bin": noise(100_000)}
TREE = {
    "bin/tool": noise(50_000, 1),
    "doc/LICENSE": b"public domain\n",
    "doc/empty": b"",
    "lib/LICENSE": b"something else\n",
    "lib/data": noise(70_000, 2),
}


@dataclass(frozen=True)
class Published:
    """A release of the channel."""

    channel: TestChannel
    name: str
    version: str

    @property
    def release(self) -> Path:
        return self.channel.folder / layout.release_path(self.name, self.version)

    def file(self, path: str) -> Path:
        return self.channel.payload(self.name, self.version) / path

    def torrent(self, *, v1: bool) -> Path:
        return self.channel.folder / layout.torrent_path(self.name, self.version, v1=v1)

    def verify(
        self,
        file: Path | str,
        *,
        path: str | None = None,
        torrent: Path | None = None,
        channel: Path | None = None,
        root: Path | bytes | None = None,
        clock: Clock | None = None,
    ) -> VerificationReport:
        place = self.file(file) if isinstance(file, str) else file
        return verify_file(
            place,
            release=self.release,
            root=root or self.channel.root,
            path=path,
            torrent=torrent,
            channel=channel,
            clock=clock,
        )


async def prepared(tmp_path: Path, keys: Keys, files: dict[str, bytes], *, version: str = "1.0") -> Published:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, files, version=version)
    return Published(channel, "tool", version)


def outcomes(report: VerificationReport) -> dict[str, str]:
    return {check.name: check.outcome.value for check in report.checks}


def details(report: VerificationReport, name: str) -> str:
    return next(check.detail for check in report.checks if check.name == name)


ALL_PASS = {"upstream signature": "skipped"} | dict.fromkeys(  # nobody upstream signed these files
    (
        "root",
        "release signature",
        "release format",
        "path",
        "length",
        "sha256",
        "torrent",
        "pieces v1",
        "pieces v2",
    ),
    "pass",
)


# --- what passes -----------------------------------------------------------------------------------------


@asynchronous
async def test_every_check_of_a_good_file(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    report = one.verify("tool.bin", channel=one.channel.folder / layout.CHANNEL)
    assert outcomes(report) == {**ALL_PASS, "channel": "pass"}
    assert report.passed
    assert details(report, "sha256") == hashlib.sha256(SINGLE["tool.bin"]).hexdigest()
    assert keys.alice in details(report, "release signature")
    assert "the newest" in details(report, "channel")


@asynchronous
async def test_without_a_torrent_or_channel_these_checks_are_skipped_and_say_why(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    one.torrent(v1=False).unlink()
    report = one.verify("tool.bin")
    assert report.passed
    assert {name for name, outcome in outcomes(report).items() if outcome == "skipped"} == {
        "pieces v1",
        "pieces v2",
        "upstream signature",
        "channel",
    }
    assert "no torrent was given" in details(report, "pieces v1")
    assert "no channel was given" in details(report, "channel")


@asynchronous
async def test_every_file_of_a_tree_passes_with_both_torrents(tmp_path: Path, keys: Keys) -> None:
    tree = await prepared(tmp_path, keys, TREE)
    for path in TREE:
        for v1 in (False, True):
            report = tree.verify(path, path=path, torrent=tree.torrent(v1=v1))
            assert report.passed, (path, v1, report)
    report = tree.verify("lib/data", torrent=tree.torrent(v1=True))
    assert outcomes(report)["pieces v1"] == "pass"
    assert "shared with other files" in details(report, "pieces v1")
    assert outcomes(report)["pieces v2"] == "skipped"


@asynchronous
async def test_a_file_elsewhere_is_found_by_its_name_or_as_it_is_told(tmp_path: Path, keys: Keys) -> None:
    tree = await prepared(tmp_path, keys, TREE)
    here = tmp_path / "data"
    here.write_bytes(TREE["lib/data"])
    assert tree.verify(here).passed
    renamed = tmp_path / "renamed"
    renamed.write_bytes(TREE["lib/data"])
    assert outcomes(tree.verify(renamed))["path"] == "fail"
    assert tree.verify(renamed, path="lib/data").passed


@asynchronous
async def test_the_torrent_may_stand_beside_the_manifest(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    alone = tmp_path / "alone"
    alone.mkdir()
    for place in (one.release, *one.release.parent.glob("release.json.*"), one.torrent(v1=False)):
        (alone / place.name).write_bytes(place.read_bytes())
    report = verify_file(one.file("tool.bin"), release=alone / "release.json", root=one.channel.root)
    assert outcomes(report) == {**ALL_PASS, "channel": "skipped"}


@asynchronous
async def test_an_older_release_says_what_is_newer(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    await publish(one.channel, {"tool.bin": noise(10, 5)}, version="1.1")
    report = one.verify("tool.bin", channel=one.channel.folder / layout.CHANNEL)
    assert report.passed
    assert "not the newest, which is 1.1" in details(report, "channel")


# --- what fails ------------------------------------------------------------------------------------------


@asynchronous
async def test_a_changed_byte_fails_the_hash_and_the_pieces(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    content = bytearray(SINGLE["tool.bin"])
    content[70_000] ^= 1
    one.file("tool.bin").write_bytes(content)
    report = one.verify("tool.bin")
    assert not report.passed
    failed = {name for name, outcome in outcomes(report).items() if outcome == "fail"}
    assert failed == {"sha256", "pieces v1", "pieces v2"}
    assert "1 of 7 are wrong, the first is 4" in details(report, "pieces v1")


@pytest.mark.parametrize("content", [SINGLE["tool.bin"][:-1], SINGLE["tool.bin"] + b"x", b""])
def test_another_length_fails(tmp_path: Path, keys: Keys, content: bytes) -> None:
    @asynchronous
    async def check() -> None:
        one = await prepared(tmp_path, keys, SINGLE)
        one.file("tool.bin").write_bytes(content)
        report = one.verify("tool.bin")
        assert not report.passed
        assert outcomes(report)["length"] == outcomes(report)["sha256"] == "fail"
        assert outcomes(report)["pieces v1"] == outcomes(report)["pieces v2"] == "skipped"

    check()


@asynchronous
async def test_a_tampered_manifest_fails_and_nothing_of_it_is_used(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    other = b"another file"
    text = one.release.read_text().replace(
        hashlib.sha256(SINGLE["tool.bin"]).hexdigest(), hashlib.sha256(other).hexdigest()
    )
    one.release.write_text(text)
    one.file("tool.bin").write_bytes(other)
    report = one.verify("tool.bin")
    assert not report.passed
    assert outcomes(report) == {
        "root": "pass",
        "release signature": "fail",
        "release format": "skipped",
        "path": "skipped",
        "length": "skipped",
        "sha256": "skipped",
    }


@pytest.mark.parametrize("text", ["no JSON", "{}", None])
@asynchronous
async def test_a_malformed_manifest_that_is_well_signed_says_which_of_both(
    tmp_path: Path, keys: Keys, text: str | None
) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    climbing = one.release.read_bytes().replace(b'"tool.bin"', b'"../tool.bin"')
    document = climbing if text is None else text.encode()
    one.release.write_bytes(document)
    signature = one.release.with_name(layout.signature_path("release.json", keys.alice))
    signature.write_bytes(keys.signer.sign(document, keys.alice))
    report = one.verify("tool.bin", channel=one.channel.folder / layout.CHANNEL)
    assert not report.passed
    assert outcomes(report) == {
        "root": "pass",
        "release signature": "pass",
        "release format": "fail",
        "path": "skipped",
        "length": "skipped",
        "sha256": "skipped",
    }
    assert keys.alice in details(report, "release signature")
    assert "release.json" in details(report, "release format")
    assert "no release that may be believed" in details(report, "sha256")


@asynchronous
async def test_what_is_not_signed_is_not_even_read(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    one.release.write_bytes(b"no JSON")
    report = one.verify("tool.bin")
    assert (outcomes(report)["release signature"], outcomes(report)["release format"]) == ("fail", "skipped")
    assert "not signed" in details(report, "release format")


@asynchronous
async def test_a_manifest_that_nobody_signed_fails(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    for signature in one.release.parent.glob("*.asc"):
        signature.unlink()
    report = one.verify("tool.bin")
    assert not report.passed
    assert "none by a key of this role was found beside it" in details(report, "release signature")


@asynchronous
async def test_a_stranger_s_root_fails(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    report = one.verify("tool.bin", root=model.encode(keys.root(keys.bob)))
    assert not report.passed
    assert outcomes(report)["release signature"] == "fail"


@asynchronous
async def test_the_threshold_of_the_release_role_holds(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    root = model.encode(keys.root(keys.alice, keys.bob, threshold=2))
    assert outcomes(one.verify("tool.bin", root=root))["release signature"] == "fail"
    signature = keys.signer.sign(one.release.read_bytes(), keys.bob)
    one.release.with_name(layout.signature_path("release.json", keys.bob)).write_bytes(signature)
    assert one.verify("tool.bin", root=root).passed


@asynchronous
async def test_an_expired_root_fails(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    report = one.verify("tool.bin", clock=FixedClock(datetime(2200, 1, 1, tzinfo=UTC)))
    assert not report.passed
    assert outcomes(report)["root"] == "fail"
    assert outcomes(report)["sha256"] == "pass"


@asynchronous
async def test_a_name_that_could_be_two_files_fails_until_one_is_chosen(tmp_path: Path, keys: Keys) -> None:
    tree = await prepared(tmp_path, keys, TREE)
    here = tmp_path / "LICENSE"
    here.write_bytes(TREE["doc/LICENSE"])
    report = tree.verify(here)
    assert not report.passed
    assert "say which" in details(report, "path")
    assert outcomes(report)["sha256"] == "skipped"
    assert tree.verify(here, path="doc/LICENSE").passed
    assert not tree.verify(here, path="lib/LICENSE").passed


@asynchronous
async def test_another_release_s_torrent_fails(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    await publish(one.channel, {"tool.bin": noise(100_000, 9)}, version="1.1")
    torrent = one.channel.folder / layout.torrent_path("tool", "1.1", v1=False)
    report = one.verify("tool.bin", torrent=torrent)
    assert not report.passed
    assert outcomes(report)["torrent"] == "fail"
    torrent.write_bytes(b"no torrent")
    assert outcomes(one.verify("tool.bin", torrent=torrent))["torrent"] == "fail"


@asynchronous
async def test_a_channel_that_does_not_list_the_release_fails(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    other = await make_channel(tmp_path / "other", keys)
    report = one.verify("tool.bin", channel=other.folder / layout.CHANNEL)
    assert not report.passed
    assert outcomes(report)["channel"] == "fail"


@asynchronous
async def test_a_channel_that_nobody_signed_or_that_has_expired_fails(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    channel = one.channel.folder / layout.CHANNEL
    late = FixedClock(datetime.now(UTC) + timedelta(days=60))
    report = one.verify("tool.bin", channel=channel, clock=late)
    assert (outcomes(report)["root"], outcomes(report)["channel"]) == ("pass", "fail")
    assert not report.passed
    channel.write_bytes(channel.read_bytes() + b"\n")
    assert outcomes(one.verify("tool.bin", channel=channel))["channel"] == "fail"


# --- what cannot be verified at all ----------------------------------------------------------------------


@asynchronous
async def test_files_that_cannot_be_read(tmp_path: Path, keys: Keys) -> None:
    one = await prepared(tmp_path, keys, SINGLE)
    with pytest.raises(StorageError, match="no file"):
        one.verify(tmp_path / "missing")
    with pytest.raises(StorageError, match="no file"):
        one.verify(tmp_path)
    with pytest.raises(StorageError, match="cannot read"):
        one.verify("tool.bin", root=tmp_path / "missing")
    huge = tmp_path / "huge.json"
    huge.write_bytes(bytes(5 << 20))
    with pytest.raises(FormatError, match="longer than"):
        one.verify("tool.bin", root=huge)
    with pytest.raises(FormatError):
        one.verify("tool.bin", root=b"{}")
