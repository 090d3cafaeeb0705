"""What a package file's name says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from ossdist.release.formats.filename import parse_filename


@pytest.mark.parametrize(
    ("filename", "name", "version", "purl"),
    [
        (
            "cryptography-50.0.1-cp311-abi3-manylinux_2_34_x86_64.whl",
            "cryptography",
            "50.0.1",
            "pkg:pypi/cryptography@50.0.1",
        ),
        (
            "typing_extensions-4.16.0-py3-none-any.whl",
            "typing-extensions",
            "4.16.0",
            "pkg:pypi/typing-extensions@4.16.0",
        ),
        ("demo-1.0-1local-py3-none-any.whl", "demo", "1.0", "pkg:pypi/demo@1.0"),
        ("typing_extensions-4.16.0.tar.gz", "typing-extensions", "4.16.0", "pkg:generic/typing-extensions@4.16.0"),
        (
            "libssl3_3.0.22-1~deb12u2_amd64.deb",
            "libssl3",
            "3.0.22-1~deb12u2",
            "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?arch=amd64",
        ),
        ("git_1%3a2.39-0_all.deb", "git", "1:2.39-0", "pkg:deb/debian/git@1:2.39-0?arch=all"),
        ("bash_5.2-1ubuntu3_arm64.deb", "bash", "5.2-1ubuntu3", "pkg:deb/ubuntu/bash@5.2-1ubuntu3?arch=arm64"),
        (
            "kernel-core-6.5.6-300.fc39.x86_64.rpm",
            "kernel-core",
            "6.5.6-300.fc39",
            "pkg:rpm/fedora/kernel-core@6.5.6-300.fc39?arch=x86_64",
        ),
        ("glibc-2.28-225.el8.src.rpm", "glibc", "2.28-225.el8", "pkg:rpm/glibc@2.28-225.el8?arch=src"),
    ],
)
def test_names_of_the_four_formats(filename: str, name: str, version: str, purl: str) -> None:
    found = parse_filename(filename)
    assert found is not None
    assert (found.name, found.version, PackageURL.from_string(found.purl)) == (
        name,
        version,
        PackageURL.from_string(purl),
    )


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "README.md",
        "tool.bin",
        "cryptography.whl",
        "Hello-2.12.tar.gz",  # a source distribution's name is written small
        "hello-2.12-src.tar.gz",
        "hello-02.12.tar.gz",  # and its version in one way
        "hello-2.12.zip",
        "linux-6.1.tar.xz",
        "x_1.0_all.deb",
        "nothing_deb",
        "bash.x86_64.rpm",
        "debian-12.2.0-amd64-netinst.iso",
    ],
)
def test_other_names_say_nothing(filename: str) -> None:
    assert parse_filename(filename) is None


@given(st.text() | st.from_regex(r"[a-z0-9_.+~%-]{1,30}\.(whl|tar\.gz|deb|rpm)", fullmatch=True))
def test_any_name_gives_a_sound_purl_or_nothing(filename: str) -> None:
    found = parse_filename(filename)
    if found is not None:
        purl = PackageURL.from_string(found.purl)
        assert (purl.name, purl.version) == (found.name, found.version)
