"""Keys of every type that gpg makes, alone and with a subkey that signs: `GpgSigner` signs, `GpgVerifier` judges."""

from __future__ import annotations

from typing import get_args

import pytest

from ossdist.clock import SystemClock
from ossdist.release.signing import GpgVerifier, KeyAlgorithm, temporary_signer
from ossdist.release.trust import CheckedSignature
from tests.keys import KEY_TYPES, Keys

DOCUMENT = b"first line\r\nsecond line \xff\n"


@pytest.mark.parametrize("subkey", [False, True], ids=["primary", "subkey"])
@pytest.mark.parametrize("algorithm", KEY_TYPES)
def test_a_signature_counts_for_the_primary_key_whatever_its_type(keys: Keys, algorithm: str, *, subkey: bool) -> None:
    key = keys.of_type(algorithm, subkey=subkey)
    (signature,) = keys.sign(DOCUMENT, key)
    with GpgVerifier({key: keys.signer.export_public_key(key)}, clock=SystemClock()) as verifier:
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(key)]
        (tampered,) = verifier.verify(DOCUMENT + b" ", [signature])
    assert tampered.refusal is not None
    assert "the signature is bad" in tampered.refusal
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as verifier:
        (stranger,) = verifier.verify(DOCUMENT, [signature])
    assert stranger.refusal is not None
    assert "may sign here" in stranger.refusal


@pytest.mark.parametrize("algorithm", get_args(KeyAlgorithm))
def test_a_key_is_made_of_the_type_that_was_asked_for(keys: Keys, algorithm: KeyAlgorithm) -> None:
    with temporary_signer() as signer:
        key = signer.create_key("Somebody", algorithm=algorithm)
        block = signer.export_public_key(key)
        signature = signer.sign(DOCUMENT, key)
    listing = keys.gpg("--with-colons", "--show-keys", data=block.encode()).decode()
    record = next(line.split(":") for line in listing.splitlines() if line.startswith("pub"))
    assert record[16] == algorithm or (record[3], f"rsa{record[2]}") == ("1", algorithm)
    with GpgVerifier({key: block}, clock=SystemClock()) as verifier:
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(key)]


def test_keys_of_all_types_sign_together(keys: Keys) -> None:
    root = keys.root(*(keys.of_type(algorithm) for algorithm in KEY_TYPES), threshold=len(KEY_TYPES))
    signatures = keys.sign(DOCUMENT, *root.keys)
    with GpgVerifier(root, clock=SystemClock()) as verifier:
        assert verifier.verify(DOCUMENT, signatures) == [CheckedSignature(key) for key in root.keys]
