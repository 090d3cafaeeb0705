"""What a package file's name says: name, version and purl. Pure; the file itself is not opened.

=========  =============================================  ==================================
format     form of the name                               source
=========  =============================================  ==================================
wheel      ``NAME-VERSION[-BUILD]-PYTHON-ABI-OS.whl``     PyPA, binary distribution format
archive    ``NAME-VERSION.tar.gz``                        PEP 625, but not of PyPI alone
deb        ``NAME_VERSION_ARCH.deb``                      deb-version(7), dpkg-name(1)
rpm        ``NAME-VERSION-RELEASE.ARCH.rpm``              RPM's file naming convention
=========  =============================================  ==================================

A name is a claim, and a purl made from it a guess: a caller who knows better says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from packageurl import PackageURL
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)

if TYPE_CHECKING:
    from packaging.version import Version

_DEB = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)_(?P<version>[0-9][A-Za-z0-9.+~:-]*)_(?P<arch>[a-z0-9-]+)\.[du]?deb")
_RPM = re.compile(
    r"(?P<name>[A-Za-z0-9_][A-Za-z0-9._+-]*)-(?P<version>[A-Za-z0-9._+~^]+)-(?P<release>[A-Za-z0-9._+~^]+)"
    r"\.(?P<arch>[a-z0-9_]+)\.rpm"
)


@dataclass(frozen=True, slots=True)
class PackageName:
    """What a file's name says.

    Attributes:
        name: The package, as its ecosystem writes it.
        version: Its version, as its ecosystem writes it.
        purl: Its identity (package-url/purl-spec). The vendor of a deb or rpm does not stand in its name; it is
            guessed from the version.
    """

    name: str
    version: str
    purl: str


def parse_filename(filename: str) -> PackageName | None:
    """Reads a package file's name.

    Args:
        filename: The last component of its path.

    Returns:
        What it says; None if it has the form of no format that is known here.
    """
    for parse in (_wheel, _deb, _rpm, _sdist):
        found = parse(filename)
        if found is not None:
            return found
    return None


def _wheel(filename: str) -> PackageName | None:
    try:
        name, version, _build, _tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    return _pypi(name, version)


def _sdist(filename: str) -> PackageName | None:
    try:
        name, version = parse_sdist_filename(filename)
    except InvalidSdistFilename:
        return None
    # `parse_sdist_filename` takes every archive with a hyphen and a version. PEP 625 allows one way of writing it, but
    # so is most of what never was on PyPI called: its name says nothing of where it is from.
    if filename != f"{name.replace('-', '_')}-{version}.tar.gz":
        return None
    return PackageName(name, str(version), PackageURL("generic", None, name, str(version)).to_string())


def _deb(filename: str) -> PackageName | None:
    # An epoch's colon is written %3a in file names (apt, dpkg-name).
    found = _DEB.fullmatch(unquote(filename))
    if found is None:
        return None
    name, version = found["name"], found["version"]
    vendor = "ubuntu" if "ubuntu" in version else "debian"
    purl = PackageURL("deb", vendor, name, version, {"arch": found["arch"]})
    return PackageName(name, version, purl.to_string())


def _rpm(filename: str) -> PackageName | None:
    found = _RPM.fullmatch(filename)
    if found is None:
        return None
    name, version = found["name"], f"{found['version']}-{found['release']}"
    vendor = "fedora" if re.search(r"\.fc\d+$", version) else None
    purl = PackageURL("rpm", vendor, name, version, {"arch": found["arch"]})
    return PackageName(name, version, purl.to_string())


def _pypi(name: str, version: Version) -> PackageName:
    return PackageName(name, str(version), PackageURL("pypi", None, name, str(version)).to_string())
