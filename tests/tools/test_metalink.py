"""tools/metalink.py, and the mirrors that fetch.py takes from its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ossdist.metalink import lists, xml
from ossdist.release import layout
from ossdist.release.model import Mirror
from tests.asynchronous import asynchronous
from tests.channels import TestChannel, make_channel, noise, publish
from tests.programs.nginx import Nginx
from tests.tools.scripts import LOCAL, Json, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.keys import Keys

CONTENT = noise(300_000)
DEAD = "http://127.0.0.1:9/"


async def prepared(tmp_path: Path, keys: Keys) -> tuple[TestChannel, Path]:
    channel = await make_channel(tmp_path, keys)
    await publish(channel, {"tool.bin": CONTENT}, mirrors=(Mirror(url=DEAD, priority=2),))
    return channel, channel.folder / layout.release_path("tool", "1.0")


@asynchronous
async def test_each_format(tmp_path: Path, keys: Keys) -> None:
    channel, release = await prepared(tmp_path, keys)
    torrent = channel.folder / layout.torrent_path("tool", "1.0", v1=False)
    more = ("--mirror", "https://a.example/pub/", "--json")
    done = run("metalink", "export", release, "--torrent", torrent, "--to", tmp_path / "t.meta4", *more)
    assert done.code == 0, done
    assert (done.answer["ok"], done.answer["mirrors"]) == (True, 2)
    (file,) = xml.decode((tmp_path / "t.meta4").read_bytes(), document="x").files
    assert [url.url for url in file.urls] == [
        f"{base}files/tool-1.0/tool.bin" for base in (DEAD, "https://a.example/pub/")
    ]
    assert file.pieces
    for kind, expected in (
        ("plain", f"https://a.example/pub/\n{DEAD}\n"),
        ("apt", f"{DEAD}\tpriority:2\nhttps://a.example/pub/\tpriority:1\n"),
    ):
        path = tmp_path / kind
        assert run("metalink", "export", release, "--format", kind, "--to", path, *more).code == 0
        assert path.read_text() == expected


@asynchronous
async def test_what_a_file_says_is_shown(tmp_path: Path, keys: Keys) -> None:
    _, release = await prepared(tmp_path, keys)
    path = tmp_path / "t.meta4"
    written = run("metalink", "export", release, "--to", path)
    assert written.out.startswith(f"{path}: 1 mirror(s), ")
    shown = run("metalink", "show", path, "--json")
    metalink = cast("Json", shown.answer["metalink"])
    assert cast("list[Json]", metalink["files"])[0]["name"] == "tool.bin"
    assert '"name": "tool.bin"' in run("metalink", "show", path).out
    (tmp_path / "list").write_text(f"{DEAD}\tpriority:3 arch:arm64\n")
    (mirror,) = cast("list[Json]", run("metalink", "show", tmp_path / "list", "--json").answer["mirrors"])
    assert mirror == {"url": DEAD, "priority": 3, "restrictions": {"arch": ["arm64"]}}


@asynchronous
async def test_what_is_no_such_file_is_refused(tmp_path: Path, keys: Keys) -> None:
    _, release = await prepared(tmp_path, keys)
    (tmp_path / "bad").write_text("<html/>")
    assert "bad: is no Metalink" in run("metalink", "show", tmp_path / "bad", "--json").refused("FormatError")
    done = run("metalink", "export", tmp_path / "bad", "--to", tmp_path / "out", "--json")
    assert "bad" in done.refused("FormatError")
    assert not (tmp_path / "out").exists()
    wrong = run("metalink", "export", release, "--to", tmp_path / "out", "--mirror", "folder")
    assert wrong.code == 2


@asynchronous
async def test_fetch_takes_mirrors_from_a_metalink_and_from_a_list(tmp_path: Path, keys: Keys) -> None:
    channel, release = await prepared(tmp_path, keys)
    async with Nginx(tmp_path / "nginx", channel.folder) as mirror:
        path, plain = tmp_path / "t.meta4", tmp_path / "list"
        assert run("metalink", "export", release, "--mirror", mirror.url, "--to", path).code == 0
        plain.write_bytes(lists.encode_plain(lists.decode(mirror.url.encode(), document="x")))
        for number, more in enumerate((("--metalink", path), ("--mirror-list", plain))):
            to = tmp_path / f"to-{number}"
            where = (channel.folder, "tool", "--root", channel.root, "--to", to, "--ban-mirror", DEAD)
            done = run("fetch", *where, *LOCAL, "--no-p2p", *more, "--json")
            assert done.code == 0, done
            assert (to / "tool.bin").read_bytes() == CONTENT
            assert mirror.url in {source["url"] for source in cast("list[Json]", done.answer["sources"])}
        (tmp_path / "bad").write_text("x y")
        where = (channel.folder, "tool", "--root", channel.root, "--to", tmp_path / "to")
        bad = run("fetch", *where, *LOCAL, "--mirror-list", tmp_path / "bad", "--json")
        assert "bad, line 1" in bad.refused("FormatError")
