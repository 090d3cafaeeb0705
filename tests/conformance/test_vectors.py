"""The vectors of torrents/: we agree with each, gpg and Sequoia with the good ones, and they can be made again."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ossdist import errors
from tests.asynchronous import asynchronous
from tests.conformance.vectors import NAMES, Accepted, expectation, judge, last_root, signed_documents

MAKE = Path(__file__).resolve().parents[2] / "tools" / "make_vectors.py"
ACCEPTED = [name for name in NAMES if expectation(name).verdict == "accept"]
REFUSED = [name for name in NAMES if expectation(name).verdict == "refuse"]
NOT_FOR_A_VECTOR = {errors.MirrorError, errors.SourcesExhaustedError}
"""Servers and peers that fail; a folder of files cannot."""


def final_classes(base: type[errors.OssdistError]) -> set[type[errors.OssdistError]]:
    """The classes of a branch that are raised: those without subclasses, and FormatError."""
    below = base.__subclasses__()
    raised = {base} if not below or base is errors.FormatError else set[type[errors.OssdistError]]()
    return raised.union(*map(final_classes, below))


def make(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(MAKE), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("name", ACCEPTED)
@asynchronous
async def test_a_good_vector_is_accepted(name: str, tmp_path: Path) -> None:
    expected = expectation(name)
    assert expected.release is not None
    assert await judge(name, tmp_path) == Accepted(expected.release, expected.files, expected.signers)


@pytest.mark.parametrize("name", REFUSED)
@asynchronous
async def test_a_bad_vector_is_refused_with_its_error(name: str, tmp_path: Path) -> None:
    expected = expectation(name)
    with pytest.raises(errors.OssdistError) as caught:
        await judge(name, tmp_path)
    assert type(caught.value).__name__ == expected.error
    assert expected.says in str(caught.value)


def test_every_error_that_a_client_can_meet_has_a_vector() -> None:
    branches = (errors.TrustError, errors.FormatError, errors.IntegrityError, errors.SourceError)
    wanted = set[type[errors.OssdistError]]().union(*map(final_classes, branches)) - NOT_FOR_A_VECTOR
    assert {error.__name__ for error in wanted} == {expectation(name).error for name in REFUSED}


@pytest.mark.parametrize("name", ACCEPTED)
def test_plain_gpg_agrees_with_the_good_vectors(name: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        gpg = ["gpg", "--homedir", home, "--no-options", "--no-autostart", "--batch", "--trust-model", "always"]
        blocks = "\n".join(last_root(name).keys.values()).encode()
        subprocess.run([*gpg, "--import"], input=blocks, check=True, capture_output=True, timeout=60)
        for document, signature in signed_documents(name):
            (tmp_path / "document").write_bytes(document)
            (tmp_path / "document.asc").write_bytes(signature)
            verify = [*gpg, "--verify", tmp_path / "document.asc", tmp_path / "document"]
            done = subprocess.run(verify, check=False, capture_output=True, timeout=60)
            assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("name", ACCEPTED)
def test_sequoia_agrees_with_the_good_vectors(name: str, tmp_path: Path) -> None:
    keyring: list[str | Path] = []
    for fingerprint, block in last_root(name).keys.items():
        (tmp_path / f"{fingerprint}.asc").write_text(block)
        keyring += ["--keyring", tmp_path / f"{fingerprint}.asc"]
    for document, signature in signed_documents(name):
        (tmp_path / "document").write_bytes(document)
        (tmp_path / "document.asc").write_bytes(signature)
        verify = ["sqv", *keyring, tmp_path / "document.asc", tmp_path / "document"]
        done = subprocess.run(verify, check=False, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()


def test_they_are_what_the_script_makes() -> None:
    done = make("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_notices_what_is_missing_changed_or_too_much(tmp_path: Path) -> None:
    copy = tmp_path / "torrents"
    assert make("--out", copy).returncode == 0
    vector = copy / NAMES[0]
    (vector / "root.json").unlink()
    (vector / "expect.json").write_bytes(b"{}")
    (vector / "note").touch()
    shutil.copytree(vector, copy / "another")
    done = make("--out", copy, "--check")
    assert done.returncode == 1
    lines = set(done.stdout.splitlines())
    assert {
        f"{NAMES[0]}/root.json: is missing",
        f"{NAMES[0]}/expect.json: is another",
        f"{NAMES[0]}/note: is too much",
        "another/expect.json: is too much",
    } <= lines
