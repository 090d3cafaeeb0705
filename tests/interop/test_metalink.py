"""aria2 downloads by our Metalinks, apt by our list of mirrors, and our client by foreign ones; from real servers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from ossdist.client import Client
from ossdist.config import MirrorConfig
from ossdist.errors import FormatError
from ossdist.metalink import lists, xml
from ossdist.metalink.lists import ListedMirror
from ossdist.metalink.release import of_release
from ossdist.mirrors.sites import Site
from ossdist.release import layout
from ossdist.release.model import Mirror
from ossdist.swarm import load_metainfo
from tests.asynchronous import asynchronous
from tests.channels import WITH_MIRRORS, TestChannel, make_channel, noise, publish
from tests.programs.aria2 import Aria2
from tests.programs.nginx import Nginx
from tests.programs.process import ProgramError
from tests.torrents import damage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ossdist.release.model import Release
    from tests.keys import Keys

EAGER = {"realtime-chunk-checksum": "true"}
DEAD = "http://127.0.0.1:9/"
ONE = {"tool.bin": noise(2_000_000)}
SEVERAL = {"tool.bin": noise(1_500_000), "docs/Lies mich.txt": "schön\n".encode(), "z": noise(70_001)}
ALONE = replace(
    WITH_MIRRORS, peers_enabled=False, seed_after=False, mirrors=MirrorConfig(remember=False, geo_databases=())
)


async def released(tmp_path: Path, keys: Keys, files: Mapping[str, bytes]) -> tuple[TestChannel, Release]:
    channel = await make_channel(tmp_path, keys)
    return channel, (await publish(channel, files, mirrors=(Mirror(url=DEAD),))).release


def exported(channel: TestChannel, release: Release, *mirrors: str, torrents: bool = False) -> bytes:
    torrent = load_metainfo((channel.folder / layout.torrent_path("tool", "1.0", v1=False)).read_bytes())
    places = [Mirror(url=url, location="de", priority=number) for number, url in enumerate(mirrors, start=1)]
    metalink = of_release(release, mirrors=places, torrent=torrent)
    if not torrents:
        metalink = replace(metalink, files=tuple(replace(file, metaurls=()) for file in metalink.files))
    return xml.encode(metalink)


# --- aria2 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [ONE, SEVERAL], ids=["one file", "several"])
@asynchronous
async def test_aria2_downloads_by_our_metalink(tmp_path: Path, keys: Keys, files: dict[str, bytes]) -> None:
    channel, release = await released(tmp_path, keys, files)
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror, Aria2(tmp_path / "aria2") as aria2:
        downloads = await aria2.add_metalink(exported(channel, release, mirror.url), save_path=tmp_path / "to")
        for key in downloads:
            await aria2.complete(key, timeout_s=60)
    assert len(downloads) == len(files)
    assert {path: (tmp_path / "to" / path).read_bytes() for path in files} == files


@asynchronous
async def test_aria2_takes_the_torrent_that_our_metalink_names(tmp_path: Path, keys: Keys) -> None:
    channel, release = await released(tmp_path, keys, ONE)
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror, Aria2(tmp_path / "aria2") as aria2:
        # aria2 asks the preferred address alone for a torrent.
        living = msgspec.structs.replace(release, mirrors=())
        metalink = exported(channel, living, mirror.url, torrents=True)
        for key in await aria2.add_metalink(metalink, save_path=tmp_path / "to"):
            await aria2.complete(key, timeout_s=60)
        asked = {request.target for request in mirror.requests()}
    assert (tmp_path / "to" / "tool.bin").read_bytes() == ONE["tool.bin"]
    assert "/torrents/tool-1.0.v1.torrent" in asked


@asynchronous
async def test_our_hashes_let_aria2_notice_a_flipped_byte(tmp_path: Path, keys: Keys) -> None:
    channel, release = await released(tmp_path, keys, ONE)
    shutil.copytree(channel.folder, tmp_path / "bad")
    damage(tmp_path / "bad" / layout.file_path("tool", "1.0", "tool.bin"), [1_234_567])
    living = msgspec.structs.replace(release, mirrors=())
    async with (
        Nginx(tmp_path / "nginx-bad", tmp_path / "bad") as bad,
        Aria2(tmp_path / "aria2", options=EAGER) as aria2,
    ):
        (key,) = await aria2.add_metalink(exported(channel, living, bad.url), save_path=tmp_path / "to")
        with pytest.raises(ProgramError, match="Invalid checksum index=75"):
            await aria2.complete(key, timeout_s=60)


# --- our client ------------------------------------------------------------------------------------------


async def download(channel: TestChannel, tmp_path: Path, *mirrors: bytes | Site) -> dict[str, int]:
    """Downloads from these mirrors, the release's own being dead; what each gave."""
    found = [mirror if isinstance(mirror, Site) else xml.decode(mirror, document="x.meta4") for mirror in mirrors]
    async with Client(channel.folder, root=channel.root, config=replace(ALONE, mirrors_enabled=True)) as client:
        (channel.payload("tool", "1.0")).rename(tmp_path / "payload")  # the folder itself gives nothing
        try:
            report = await client.download("tool", to=tmp_path / "to", mirrors=found)
        finally:
            (tmp_path / "payload").rename(channel.payload("tool", "1.0"))
    return {source.url: source.bytes for source in report.sources if source.bytes}


@pytest.mark.parametrize("files", [ONE, SEVERAL], ids=["one file", "several"])
@asynchronous
async def test_we_download_from_servers_that_have_the_files_at_other_places(
    tmp_path: Path, keys: Keys, files: dict[str, bytes]
) -> None:
    channel, release = await released(tmp_path, keys, files)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = of_release(release)
    for number, path in enumerate(files):
        (elsewhere / f"{number}.dat").write_bytes(files[path])
    async with Nginx(tmp_path / "nginx", elsewhere) as server:
        urls = {path: f"{server.url}{number}.dat" for number, path in enumerate(files)}
        described = tuple(
            replace(file, urls=(replace(file.urls[0], url=urls[file.name]),), metaurls=()) for file in found.files
        )
        given = await download(channel, tmp_path, xml.encode(replace(found, files=described)))
    assert given == {server.url: sum(map(len, files.values()))}
    assert {path: (tmp_path / "to" / path).read_bytes() for path in files} == files


@asynchronous
async def test_a_metalink_of_another_file_is_refused_before_anything_is_fetched(tmp_path: Path, keys: Keys) -> None:
    channel, release = await released(tmp_path, keys, ONE)
    found = of_release(release)
    wrong = replace(found, files=(replace(found.files[0], hashes=(("sha-256", "0" * 64),)),))
    with pytest.raises(FormatError, match="describes another"):
        await download(channel, tmp_path, xml.encode(wrong))
    assert not (tmp_path / "to").exists()


@asynchronous
async def test_copies_of_the_channel_may_come_from_a_list(tmp_path: Path, keys: Keys) -> None:
    channel, _ = await released(tmp_path, keys, ONE)
    async with Nginx(tmp_path / "nginx", tmp_path) as server:
        (folder := tmp_path / "files" / "tool-1.0").mkdir(parents=True)
        (folder / "tool.bin").write_bytes(ONE["tool.bin"])
        (site,) = lists.sites(lists.decode(f"# copies\n{server.url}\n".encode(), document="x"))
        assert await download(channel, tmp_path, site) == {server.url: len(ONE["tool.bin"])}


# --- apt -------------------------------------------------------------------------------------------------


def make_archive(folder: Path, keys: Keys) -> None:
    """The smallest archive that apt takes: an index of one package that nobody downloads."""
    entry = f"Package: tool\nVersion: 1.0\nArchitecture: all\nFilename: ./t.deb\nSize: 1\nSHA256: {'0' * 64}\n"
    folder.mkdir()
    packages = f"{entry}Description: a tool\n\n".encode()
    (folder / "Packages").write_bytes(packages)
    digest = hashlib.sha256(packages).hexdigest()
    release = f"Date: Tue, 01 Jan 2030 00:00:00 UTC\nSHA256:\n {digest} {len(packages)} Packages\n"
    signed = keys.gpg("--local-user", keys.alice, "--clearsign", data=release.encode())
    (folder / "InRelease").write_bytes(signed)


@asynchronous
async def test_apt_takes_our_list_and_goes_past_a_dead_mirror(tmp_path: Path, keys: Keys) -> None:
    archive = tmp_path / "archive"
    await asyncio.to_thread(make_archive, archive, keys)
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (tmp_path / name).mkdir(parents=True)
    async with Nginx(tmp_path / "nginx", archive) as mirror:
        # On a failure apt gives an address up, whatever the port.
        listed = [ListedMirror(url="http://127.0.0.2:9/", priority=1), ListedMirror(url=mirror.url, priority=2)]
        (tmp_path / "mirrors.txt").write_bytes(lists.encode_apt(listed))
        sources = tmp_path / "sources.list"
        sources.write_text(f"deb [trusted=yes] mirror+file:{tmp_path}/mirrors.txt ./\n")
        settings = {
            "Dir::State": tmp_path / "state",
            "Dir::State::status": tmp_path / "status",
            "Dir::Cache": tmp_path / "cache",
            "Dir::Etc": tmp_path / "etc",
            "Dir::Etc::sourcelist": sources,
            "APT::Sandbox::User": "root",
            "Acquire::Check-Date": "false",
            "Acquire::Languages": "none",
            "Acquire::http::Proxy": "false",
            "Acquire::Retries": "0",
            "Acquire::GzipIndexes": "false",
        }
        (tmp_path / "status").touch()
        command = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in settings.items()), "update"]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, env=clean_environment()
        )
    assert done.returncode == 0, done
    (index,) = (tmp_path / "state" / "lists").glob("*Packages*")
    assert "Package: tool" in index.read_text()


def clean_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
