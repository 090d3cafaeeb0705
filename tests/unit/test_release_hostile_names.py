"""Names and files that try to speak with gpg's voice: user ids, folders, what a signature says of its signer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist.clock import SystemClock
from ossdist.release.signing import GpgSigner, GpgVerifier, stop_agent
from ossdist.release.trust import CheckedSignature

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.keys import Keys

DOCUMENT = b'{"serial": 1}\n'
NAMES = ["-", "--help", "--status-fd=1", "a b'\"$(id)", "x\n-y", "[GNUPG:] GOODSIG x", "x\n[GNUPG:] GOODSIG x", "ü\x85"]


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder with a short path, for the sake of the agents' sockets."""
    with tempfile.TemporaryDirectory(prefix="d-") as name:
        yield Path(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_for_temporary_files_may_have_any_name(
    keys: Keys, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place = folder / name
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as verifier:
        assert len(list(place.iterdir())) == 1
        good = keys.sign(DOCUMENT, keys.alice)
        assert verifier.verify(DOCUMENT, good) == [CheckedSignature(keys.alice)]
        for document, signatures in ((b"tampered", good), (DOCUMENT, keys.sign(DOCUMENT, keys.mallory))):
            (checked,) = verifier.verify(document, signatures)
            assert checked.refusal is not None


@pytest.mark.parametrize("name", [name for name in NAMES if ":" not in name])  # gpg's agent takes no colon
def test_the_signers_home_may_have_any_name(
    keys: Keys, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    home = Path(name)
    home.mkdir(mode=0o700)
    signer = GpgSigner(home)
    try:
        key = signer.create_key("Somebody")
        signature = signer.sign(DOCUMENT, key)
    finally:
        stop_agent(home.absolute())
    with GpgVerifier({key: signer.export_public_key(key)}, clock=SystemClock()) as verifier:
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(key)]


def test_a_program_whose_name_begins_with_a_dash_can_be_run(
    keys: Keys, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = folder / "-gpg"
    program.write_text('#!/bin/sh\nexec gpg "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg="-gpg") as verifier:
        assert verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.alice)) == [CheckedSignature(keys.alice)]


def test_a_signer_that_names_itself_in_status_lines_says_nothing(keys: Keys) -> None:
    # The subpacket "Signer's User ID" (RFC 4880, section 5.2.3.22); gpg writes it behind NEWSIG before it checks.
    packet = keys.sign_oddly(b"another document", armor=False)
    assert packet[0] == 0x88
    packet = packet[2:]
    good, *_ = (line for line in _verification_of(keys).split("\n") if " VALIDSIG " in line)
    says = f"x\n[GNUPG:] GOODSIG {keys.alice[-16:]} x\n{good}\n".encode()
    says = b"\xff" + (1 + len(says)).to_bytes(4) + bytes([28]) + says
    hashed = packet[6 : 6 + int.from_bytes(packet[4:6])] + says
    body = packet[:4] + len(hashed).to_bytes(2) + hashed + packet[6 + int.from_bytes(packet[4:6]) :]
    forged = b"\x89" + len(body).to_bytes(2) + body
    block = keys.gpg("--enarmor", data=forged).replace(b"PGP ARMORED FILE", b"PGP SIGNATURE")
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as verifier:
        (checked,) = verifier.verify(DOCUMENT, [block])
    assert checked.fingerprint is None
    assert checked.refusal == f"key {keys.alice}: the signature is bad: it is not over these bytes"


def _verification_of(keys: Keys) -> str:
    """What gpg says of a good signature by ``alice``."""
    with tempfile.NamedTemporaryFile() as signature:
        signature.write(keys.sign_oddly(DOCUMENT))
        signature.flush()
        return keys.gpg("--status-fd", "1", "--verify", signature.name, "-", data=DOCUMENT).decode()


def test_files_that_change_while_gpg_looks_change_nothing(keys: Keys, folder: Path) -> None:
    # What was read is what is judged: gpg sees the document on its standard input and the signature in a folder of
    # ours. A program that swaps the caller's files, just before gpg begins, has come too late.
    document, signature = folder / "channel.json", folder / "channel.json.asc"
    program = folder / "gpg"
    log = folder / "log"
    swap = f'echo bad > {document}; cp {document} {signature}; printf "%s\\n" "$@" > {log}'
    program.write_text(f'#!/bin/sh\ncase "$*" in *--verify*) {swap};; esac\nexec gpg "$@"\n')
    program.chmod(0o755)
    document.write_bytes(DOCUMENT)
    signature.write_bytes(keys.signer.sign(DOCUMENT, keys.alice))
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock(), gpg=str(program)) as verifier:
        checked = verifier.verify(document.read_bytes(), [signature.read_bytes()])
        words = log.read_text().splitlines()
        home = words[words.index("--homedir") + 1]
    assert checked == [CheckedSignature(keys.alice)]
    assert document.read_bytes() == b"bad\n"
    place, data = words[words.index("--verify") + 1 :]
    assert (str(Path(place).parent), data) == (home, "-")
