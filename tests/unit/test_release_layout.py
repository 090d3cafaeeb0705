"""Where things stand in a channel's folder, and which paths a manifest may name."""

from __future__ import annotations

import pytest

from ossdist.errors import UnsafePathError
from ossdist.release import layout


def test_the_folder_is_laid_out_as_the_architecture_says() -> None:
    assert layout.signature_path("channel.json", "A" * 40) == f"channel.json.{'A' * 40}.asc"
    assert layout.release_path("tool", "1.0") == "releases/tool/1.0/release.json"
    assert layout.file_path("tool", "1.0", "a/b") == "files/tool-1.0/a/b"
    assert layout.torrent_path("tool", "1.0", v1=False) == "torrents/tool-1.0.torrent"
    assert layout.torrent_path("tool", "1.0", v1=True) == "torrents/tool-1.0.v1.torrent"


def test_an_epoch_is_written_as_dpkg_writes_it() -> None:
    assert layout.folder_name("tool", "2:1.0") == "tool-2%3a1.0"
    assert layout.url("https://m.example.org/x/", layout.release_path("tool", "2:1.0")) == (
        "https://m.example.org/x/releases/tool/2%253a1.0/release.json"
    )


def test_addresses_are_percent_encoded() -> None:
    assert layout.url("http://m.example.org", "files/a b/ü#?.bin") == (
        "http://m.example.org/files/a%20b/%C3%BC%23%3F.bin"
    )


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b/c.tar.gz",
        "..a",
        "a..b",
        ".hidden",
        "...a/b",
        "with space/ü.bin",
        "console",
        "com10",
        "nul1",
        "a" * 240,
        "/".join(["a" * 100] * 10),
    ],
)
def test_an_ordinary_path_is_fine(path: str) -> None:
    layout.check_path(path, document="d")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "empty"),
        ("/", "absolute"),
        ("/etc/passwd", "absolute"),
        ("//server/share", "absolute"),
        ("..", r"'\.\.'"),
        ("../a", r"'\.\.'"),
        ("a/..", r"'\.\.'"),
        ("a/../../b", r"'\.\.'"),
        (".", r"'\.'"),
        ("./a", r"'\.'"),
        ("a/./b", r"'\.'"),
        ("a//b", "empty component"),
        ("a/", "empty component"),
        ("C:/a", "characters"),
        ("C:a", "characters"),
        ("a\\..\\b", "characters"),
        ("\\\\server\\share", "characters"),
        ("a:stream", "characters"),
        *((f"a{character}b", "characters") for character in '<>"|?*'),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x1b[2J", "control"),
        ("a\x7f", "control"),
        ("a\u202eb", "control"),
        ("a\u200bb", "control"),
        ("a\u2028b", "control"),
        ("\ud800", "not valid Unicode"),
        ("cafe\u0301", "normal form C"),
        ("a.", "dot or a space"),
        ("a ", "dot or a space"),
        ("a./b", "dot or a space"),
        ("...", "dot or a space"),
        ("CON", "Windows"),
        ("a/nul.txt", "Windows"),
        ("aux .txt", "Windows"),
        ("Com1.tar.gz", "Windows"),
        ("lpt\u00b2", "Windows"),
        ("CONIN$", "Windows"),
        ("a" * 241, "240"),
        ("ä" * 121, "240"),
        ("/".join(["a" * 100] * 11), "1024"),
    ],
)
def test_an_unsafe_path_is_refused(path: str, reason: str) -> None:
    with pytest.raises(UnsafePathError, match=reason) as caught:
        layout.check_path(path, document="d")
    assert caught.value.path == path


def test_paths_that_do_not_meet_are_fine() -> None:
    layout.check_paths(["a/b", "a/c", "ab", "a.b/a", "b/a/a"], document="d")


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (["a", "a"], "twice"),
        (["a/b", "c", "a/b"], "twice"),
        (["Readme", "README"], "twice"),
        (["x/STRASSE", "x/straße"], "twice"),
        (["\u00c5", "\u00e5"], "twice"),
        (["a", "a/b"], "file and a folder"),
        (["a/b", "a"], "file and a folder"),
        (["a/b/c/d", "A/B"], "file and a folder"),
        (["a/b", "A/b/c/d"], "file and a folder"),
        (["a", "../b"], "component"),
    ],
)
def test_paths_that_meet_are_refused(paths: list[str], reason: str) -> None:
    with pytest.raises(UnsafePathError, match=reason) as caught:
        layout.check_paths(paths, document="d")
    assert caught.value.path == paths[-1]
