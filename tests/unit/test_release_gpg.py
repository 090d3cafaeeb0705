"""gpg as a program: missing, too old, hanging, noisy; and that nothing of it stays behind."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from ossdist.clock import SystemClock
from ossdist.errors import ProgramMissingError, TargetNotWritableError
from ossdist.release import gpg as gpg_module
from ossdist.release.gpg import stop_agent
from ossdist.release.signing import GpgSigner, GpgVerifier, temporary_signer
from ossdist.release.trust import CheckedSignature

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.keys import Keys

DOCUMENT = b"document"
SIGNING = """
import sys, tempfile
from pathlib import Path
from ossdist.release.signing import temporary_signer
with temporary_signer() as signer:
    signer.sign(b"document", signer.create_key("Soon killed"))
    print(*Path(tempfile.gettempdir()).iterdir(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Makes a program named gpg out of a shell script."""

    def make(script: str) -> str:
        path = tmp_path / "gpg"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """The folder for temporary folders, empty."""
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.setenv("TMPDIR", name)  # for the processes that a test starts
        yield Path(name)


def running(text: str) -> list[psutil.Process]:
    """The live processes with ``text`` in their command line."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if text in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def assert_ends(text: str) -> None:
    """All processes with ``text`` in their command line end soon."""
    _, alive = psutil.wait_procs(running(text), timeout=10)
    assert not alive or not running(text)


def test_a_missing_gpg_names_the_package(keys: Keys, tmp_path: Path) -> None:
    for missing in ("no-such-gpg", str(tmp_path / "gpg")):
        with pytest.raises(ProgramMissingError, match="apt-get install gpg") as caught:
            GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=missing)
        assert caught.value.program == missing
        with pytest.raises(ProgramMissingError, match="apt-get install gpg"):
            GpgSigner(keys.home, gpg=missing)


@pytest.mark.parametrize(
    ("script", "message"),
    [("exit 0", "version None"), ("exit 3", "cannot be run"), ("echo cfg:version:1.4.23", "at least 2.2")],
)
def test_something_else_than_gnupg_2_is_refused(
    keys: Keys, program: Callable[[str], str], script: str, message: str
) -> None:
    with pytest.raises(ProgramMissingError, match=message):
        GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=program(script))


def test_a_file_that_is_no_program_is_refused(keys: Keys, tmp_path: Path) -> None:
    path = tmp_path / "gpg"
    path.write_bytes(b"\x7fELF, not really")
    path.chmod(0o755)
    with pytest.raises(ProgramMissingError, match="cannot be run"):
        GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=str(path))


def test_a_gpg_that_hangs_at_once_is_killed(keys: Keys, program: Callable[[str], str], temporary: Path) -> None:
    gpg = program("sleep 3217")  # a child of the shell, which holds the pipes open too
    start = time.monotonic()
    with pytest.raises(ProgramMissingError, match=r"within 0\.2 s"):
        GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=gpg, timeout_s=0.2)
    assert time.monotonic() - start < 10
    assert_ends("sleep 3217")
    assert list(temporary.iterdir()) == []


def test_a_gpg_that_hangs_while_it_verifies_is_killed(keys: Keys, program: Callable[[str], str]) -> None:
    gpg = program('case "$*" in *--verify*) sleep 3218;; *) exec gpg "$@";; esac')
    signature = keys.sign(DOCUMENT, keys.alice)
    with (
        GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=gpg, timeout_s=2) as verifier,
        pytest.raises(ProgramMissingError, match="within 2 s") as caught,
    ):
        verifier.verify(b"x" * 1_000_000, signature)
    assert caught.value.program == gpg
    assert_ends("sleep 3218")


def test_a_gpg_that_hangs_while_it_signs_is_killed(keys: Keys, program: Callable[[str], str]) -> None:
    gpg = program('case "$*" in *--detach-sign*) sleep 3219;; *) exec gpg "$@";; esac')
    with pytest.raises(ProgramMissingError, match="within 2 s"):
        GpgSigner(keys.home, gpg=gpg, timeout_s=2).sign(b"x" * 1_000_000, keys.alice)
    assert_ends("sleep 3219")


def test_an_interrupt_kills_gpg(keys: Keys, program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    gpg = program("sleep 3220")
    monkeypatch.setattr(gpg_module.gnupg.GPG, "_collect_output", interrupt)
    with pytest.raises(KeyboardInterrupt):
        GpgSigner(keys.home, gpg=gpg)
    assert_ends("sleep 3220")


def test_a_gpg_that_stops_reading_makes_no_noise(
    keys: Keys, program: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    gpg = program('case "$*" in *--verify*) exit 2;; *) exec gpg "$@";; esac')
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=gpg) as verifier:
        checked = verifier.verify(b"x" * 1_000_000, keys.sign(DOCUMENT, keys.alice))
    assert [signature.fingerprint for signature in checked] == [None]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_gpg_that_dies_after_its_verdict_is_not_believed(keys: Keys, program: Callable[[str], str]) -> None:
    gpg = program('case "$*" in *--verify*) gpg "$@"; exit 5;; *) exec gpg "$@";; esac')
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=gpg) as verifier:
        (checked,) = verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.alice))
    assert checked.refusal is not None
    assert checked.fingerprint == keys.alice


def test_gpg_is_told_to_mind_its_own_business(keys: Keys, program: Callable[[str], str], tmp_path: Path) -> None:
    # Most of it has no effect in an empty home folder, but the machine's own options may undo that.
    log = tmp_path / "log"
    gpg = program(f'echo "$*" >> {log}; exec gpg "$@"')
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=gpg) as verifier:
        verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.alice, keys.alice))
    calls = log.read_text().splitlines()
    assert len(calls) <= 2 + 2  # two to begin with, one a signature file
    for call in calls:
        for option in ("no-options", "no-auto-key-retrieve", "no-autostart", "disable-dirmngr", "batch"):
            assert f"--{option} " in call
        assert "--trust-model=always" in call


def test_the_users_home_and_options_are_not_looked_at(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the user's own ring mallory is a good friend, and the options are nonsense.
    (tmp_path / "gpg.conf").write_text("no-such-option\n")
    monkeypatch.setenv("GNUPGHOME", str(tmp_path))
    keys.gpg("--no-options", "--no-autostart", "--import", data=keys.block(keys.mallory).encode(), home=tmp_path)
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as verifier:
        alice, mallory = verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.alice, keys.mallory))
    assert alice == CheckedSignature(keys.alice)
    assert mallory.refusal is not None


def test_a_verifier_leaves_nothing_behind(keys: Keys, temporary: Path) -> None:
    verifier = GpgVerifier(keys.blocks(keys.alice), clock=SystemClock())
    (home,) = temporary.iterdir()
    assert home.stat().st_mode & 0o777 == 0o700
    verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.alice))
    assert not list(home.glob("signature-*"))
    assert not running(str(home))
    verifier.close()
    verifier.close()
    assert list(temporary.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        verifier.verify(DOCUMENT, [])


def test_a_temporary_signer_leaves_nothing_behind(temporary: Path) -> None:
    with temporary_signer() as signer:
        (home,) = temporary.iterdir()
        signer.sign(DOCUMENT, signer.create_key("Passing by"))
        assert running(str(home))
    assert list(temporary.iterdir()) == []
    assert_ends(str(home))


@pytest.fixture
def left(temporary: Path) -> Path:
    """A home that a killed process has left, with its agent."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SIGNING], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        home = Path(process.stdout.readline().strip())
        process.kill()
    assert home.parent == temporary
    assert running(str(home))
    return home


def test_what_a_killed_process_left_goes_with_the_next_home(keys: Keys, temporary: Path, left: Path) -> None:
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()):
        (own,) = temporary.iterdir()
        assert own != left
        assert_ends(str(left))


def test_the_home_of_a_living_process_stays(keys: Keys, temporary: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SIGNING], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        home = Path(process.stdout.readline().strip())
        with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()):
            assert len(list(temporary.iterdir())) == 2
        assert running(str(home))
        process.communicate("")
    assert process.returncode == 0
    assert list(temporary.iterdir()) == []


def test_several_homes_of_one_process_do_not_disturb_each_other(keys: Keys, temporary: Path) -> None:
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as first:
        with GpgVerifier(keys.blocks(keys.bob), clock=SystemClock()) as second:
            assert len(list(temporary.iterdir())) == 2
            assert second.verify(DOCUMENT, keys.sign(DOCUMENT, keys.bob)) == [CheckedSignature(keys.bob)]
        assert first.verify(DOCUMENT, keys.sign(DOCUMENT, keys.alice)) == [CheckedSignature(keys.alice)]


def test_what_is_no_home_of_ours_stays(keys: Keys, temporary: Path, left: Path) -> None:
    stop_agent(left)
    left.rename(temporary / "named-otherwise")  # a home, but without our prefix
    (temporary / "ossdist-new").mkdir()  # as another process has it before it has locked it
    (temporary / "ossdist-file").write_bytes(b"")
    (temporary / "ossdist-pipe").mkdir()
    os.mkfifo(temporary / "ossdist-pipe" / "ossdist.lock")
    (temporary / "ossdist-linked-lock").mkdir()
    (temporary / "ossdist-linked-lock" / "ossdist.lock").symlink_to(temporary / "named-otherwise" / "ossdist.lock")
    before = sorted(temporary.rglob("*"))
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()):
        pass
    assert sorted(temporary.rglob("*")) == before


def test_a_link_to_what_was_left_elsewhere_is_not_followed(
    keys: Keys, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        Path(name, "ossdist-link").symlink_to(left)
        with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()):
            assert Path(name, "ossdist-link").is_symlink()
            assert running(f"--homedir {left}")  # its agent
    stop_agent(left)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_another_user_left_stays(keys: Keys, left: Path) -> None:
    stop_agent(left)
    os.chown(left, 65534, 65534)
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()):
        assert left.is_dir()


def test_an_agent_can_be_stopped(keys: Keys) -> None:
    keys.sign(DOCUMENT, keys.alice)
    assert running(f"gpg-agent --homedir {keys.home}")
    stop_agent(keys.home)
    assert_ends(f"gpg-agent --homedir {keys.home}")
    stop_agent(keys.home)  # there is none any more


def test_an_agent_that_cannot_be_stopped_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    stop_agent(tmp_path)
    assert "could not be stopped" in caplog.text


def test_a_long_temporary_path_does_not_break_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with temporary_signer() as signer:
        assert signer.sign(DOCUMENT, signer.create_key("Far away"))


def test_an_unusable_temporary_folder_is_told(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no-such-folder")
    with pytest.raises(TargetNotWritableError, match="no-such-folder"):
        GpgVerifier(keys.blocks(keys.alice), clock=SystemClock())


def test_a_lost_temporary_folder_is_told(keys: Keys, temporary: Path) -> None:
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as verifier:
        (home,) = temporary.iterdir()
        home.rename(temporary / "elsewhere")
        with pytest.raises(TargetNotWritableError):
            verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.alice))
        (temporary / "elsewhere").rename(home)


def test_several_threads_may_verify_at_once(keys: Keys) -> None:
    documents = [b"document %d" % number for number in range(12)]
    signatures = [keys.sign(document, keys.alice) for document in documents]
    threads = threading.active_count()
    with (
        GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as verifier,
        ThreadPoolExecutor(4) as pool,
    ):
        for good in pool.map(verifier.verify, documents, signatures):
            assert good == [CheckedSignature(keys.alice)]
        for bad in pool.map(verifier.verify, documents, reversed(signatures)):
            assert bad[0].refusal is not None
    assert threading.active_count() <= threads + 1
