"""Signatures of the projects whose files a channel distributes: published, checked again by every client, reported."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist.client import Client
from ossdist.errors import FormatError, NotFoundError, SigningError, UpstreamSignatureError
from ossdist.publisher import ReleaseSpec
from ossdist.release import layout
from ossdist.release.report import Outcome
from ossdist.release_spec import check_spec
from ossdist.upstream import not_signed
from ossdist.verification import verify_file
from tests.asynchronous import asynchronous
from tests.channels import CONFIG, WITH_MIRRORS, listed, make_channel, noise, port_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ossdist.release.report import Check, DownloadReport
    from tests.keys import Keys

CONTENT = noise(200_000)
NAME = "tool.tar.gz"


def spec_of(tmp_path: Path, signature: bytes, *keys: str, content: bytes = CONTENT) -> ReleaseSpec:
    source, signature_file = tmp_path / NAME, tmp_path / f"{NAME}.asc"
    source.write_bytes(content)
    (tmp_path / "NEWS").write_bytes(b"news")
    signature_file.write_bytes(signature)
    return ReleaseSpec(
        name="tool",
        version="1.0",
        files={NAME: source, "NEWS": tmp_path / "NEWS"},
        upstream_signatures={NAME: signature_file},
        upstream_keys=keys,
    )


def upstream_checks(report: DownloadReport) -> dict[str, tuple[Outcome, str]]:
    return {
        file.report.file: (check.outcome, check.detail)
        for file in report.files
        for check in file.report.checks
        if check.name == "upstream signature"
    }


@pytest.mark.parametrize("armored", [True, False])
@asynchronous
async def test_published_and_checked_by_client_and_verifier(tmp_path: Path, keys: Keys, *, armored: bool) -> None:
    channel, out = await make_channel(tmp_path, keys), tmp_path / "out"
    signature = keys.sign_oddly(CONTENT, key=keys.bob, armor=armored)
    release = (await channel.publisher.publish(spec_of(tmp_path, signature, keys.bob, keys.carol))).release
    assert release.upstream_keys.keys() == {keys.bob, keys.carol}
    async with (
        Client(channel.folder, root=channel.root, config=CONFIG) as seed,
        Client(channel.folder, root=channel.root, config=CONFIG) as client,
    ):
        await seed.seed("tool", folder=channel.payload("tool", "1.0"))
        fresh = await client.download("tool", to=out, peers=[port_of(seed)])
        again = await client.download("tool", to=out)
    for report in (fresh, again):
        found = upstream_checks(report)
        assert found[NAME][0] is Outcome.PASS
        assert f"signed by {keys.bob}" in found[NAME][1]
        assert found["NEWS"][0] is Outcome.SKIPPED
        assert all(file.verified for file in report.files)
    report = verify_file(
        out / NAME, release=channel.folder / layout.release_path("tool", "1.0"), root=channel.root, path=NAME
    )
    assert report.passed
    assert [check.outcome for check in report.checks if check.name == "upstream signature"] == [Outcome.PASS]


@pytest.mark.parametrize("who", ["stranger", "other bytes", "sha1", "text"])
@asynchronous
async def test_what_upstream_did_not_sign_is_not_published(tmp_path: Path, keys: Keys, who: str) -> None:
    channel = await make_channel(tmp_path, keys)
    signature, key, says = {
        "stranger": (keys.sign_oddly(CONTENT, key=keys.mallory), keys.bob, "not one of the keys that may sign"),
        "other bytes": (keys.sign_oddly(CONTENT + b"x", key=keys.bob), keys.bob, "the signature is bad"),
        "sha1": (keys.sign_oddly(CONTENT, "--digest-algo", "SHA1", key=keys.bob), keys.bob, "hash algorithm"),
        "text": (keys.sign_oddly(CONTENT, "--textmode", key=keys.bob), keys.bob, "class 01"),
    }[who]
    before = listed(channel.folder)
    with pytest.raises(UpstreamSignatureError, match=says) as refusal:
        await channel.publisher.publish(spec_of(tmp_path, signature, key))
    assert refusal.value.path == NAME
    assert listed(channel.folder) == before
    assert not channel.payload("tool", "1.0").exists()


@asynchronous
async def test_a_publisher_who_does_not_look_is_not_believed(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, out = await make_channel(tmp_path, keys), tmp_path / "out"
    monkeypatch.setattr("ossdist.publisher.check_upstream", _look_away)
    signature = keys.sign_oddly(CONTENT, key=keys.bob)
    await channel.publisher.publish(spec_of(tmp_path, signature, keys.bob, content=b"evil" + CONTENT[4:]))
    async with Client(channel.folder, root=channel.root, config=WITH_MIRRORS) as client:
        with pytest.raises(UpstreamSignatureError, match=rf"tool 1\.0.*{NAME}.*the signature is bad"):
            await client.download("tool", to=out)
        assert not (out / NAME).exists()
        assert not (out / "NEWS").exists()
        assert not [path for path in out.rglob("*") if path.is_file() and path.stat().st_size]  # it can never do
        # The defence: without it the file gets its final name.
        monkeypatch.setattr("ossdist.delivery.check_upstream", _look_away)
        await client.download("tool", to=out)
        assert (out / NAME).exists()
        monkeypatch.undo()
        with pytest.raises(UpstreamSignatureError):
            await client.download("tool", to=out)
    manifest = channel.folder / layout.release_path("tool", "1.0")
    report = verify_file(out / NAME, release=manifest, root=channel.root)
    assert not report.passed
    assert [check.name for check in report.checks if check.outcome is Outcome.FAIL] == ["upstream signature"]


def _look_away(_: object, files: Mapping[str, Path], **__: object) -> dict[str, Check]:
    return {path: not_signed() for path in files}


@asynchronous
async def test_a_key_that_the_keyring_does_not_hold(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    with pytest.raises(SigningError, match="does not hold it"):
        await channel.publisher.publish(spec_of(tmp_path, keys.sign_oddly(CONTENT, key=keys.bob), "AB" * 20))
    assert not channel.payload("tool", "1.0").exists()


def test_a_malformed_request_is_refused_at_once(tmp_path: Path, keys: Keys) -> None:
    good = keys.sign_oddly(b"x", key=keys.bob)
    spec = spec_of(tmp_path, good, keys.bob)
    check_spec(spec)
    for signature, says in (
        (b"", "is empty"),
        (b"hello", "not exactly one armored"),
        (good + good, "not exactly one armored"),
        (b"\x80" * 20_000, "more than 16384 bytes"),
        (base64.b64decode(b"iA=="), "is cut off"),
        (keys.block(keys.bob).encode(), "not a PGP SIGNATURE"),
    ):
        with pytest.raises(FormatError, match=says):
            check_spec(spec_of(tmp_path, signature, keys.bob))
    (tmp_path / f"{NAME}.asc").write_bytes(good)
    with pytest.raises(FormatError, match="no upstream key"):
        check_spec(replace(spec, upstream_keys=()))
    with pytest.raises(FormatError, match="no upstream signature"):
        check_spec(replace(spec, upstream_signatures={}))
    with pytest.raises(FormatError, match="there is no file 'other'"):
        check_spec(replace(spec, upstream_signatures={"other": tmp_path / f"{NAME}.asc"}))
    with pytest.raises(NotFoundError):
        check_spec(replace(spec, upstream_signatures={NAME: tmp_path / "missing.asc"}))
