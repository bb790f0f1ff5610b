"""Keys sign through OpenSSL, and say plainly when they cannot."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import pytest

from kepil.pki import signer as signer_module
from kepil.pki.openssl import OpenSSLError
from kepil.pki.signer import Signer, SignerError
from kepil.pki.verifier import Verifier

MakeSigner = Callable[..., Signer]


@pytest.mark.parametrize(
    ("kind", "digest"),
    [("rsa2048", "sha256"), ("rsa2048", "sha512"), ("p256", "sha256"), ("p384", "sha384"), ("ed25519", "")],
)
def test_a_signature_verifies_and_only_of_its_message(signer: MakeSigner, kind: str, digest: str) -> None:
    made = signer(kind, digest=digest or "sha256")
    signature = made.sign(b"message")
    assert made.digest == digest
    assert Verifier(made.public_key_info, digest).verify(b"message", signature)
    assert not Verifier(made.public_key_info, digest).verify(b"messagE", signature)
    other = signer(kind, "other", digest=digest or "sha256")
    assert not Verifier(other.public_key_info, digest).verify(b"message", signature)


def test_openssl_takes_the_signature(signer: MakeSigner, key_file: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"message")
    (tmp_path / "s").write_bytes(signer("rsa2048").sign(b"message"))
    command: list[str | Path] = [
        "openssl",
        "dgst",
        "-sha256",
        "-prverify",
        key_file("rsa2048", ""),
        "-signature",
        "s",
        "m",
    ]
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == b"Verified OK\n"


def test_activation_data_opens_the_key(tmp_path: Path) -> None:
    """CP-6.4: keys are protected by activation data."""
    key, right, wrong = tmp_path / "key.pem", tmp_path / "right", tmp_path / "wrong"
    encrypt: list[str | Path] = [
        "openssl",
        "genpkey",
        "-algorithm",
        "RSA",
        "-aes256",
        "-pass",
        "pass:sesame",
        "-out",
        key,
    ]
    subprocess.run(encrypt, check=True, capture_output=True)
    right.write_text("sesame\n")
    wrong.write_text("barley\n")
    assert Signer.open(str(key), activation=right).sign(b"message")
    for activation in (wrong, None, tmp_path / "missing"):
        with pytest.raises(SignerError, match=r"key\.pem") as refused:
            Signer.open(str(key), activation=activation)
        assert "barley" not in str(refused.value)


def test_a_pin_in_the_uri_is_not_told() -> None:
    with pytest.raises(SignerError) as refused:
        Signer.open("pkcs11:token=none;object=key?pin-value=4711")
    assert "4711" not in str(refused.value)


def test_a_digest_that_the_key_cannot_use_names_those_it_can(key_file: Callable[..., Path]) -> None:
    with pytest.raises(SignerError, match="sha256, sha384, sha512"):
        Signer.open(str(key_file("rsa2048", "")), digest="md5")


def test_threads_share_a_key(signer: MakeSigner) -> None:
    made = signer("p256")
    messages = [str(number).encode() for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(made.sign, messages))
    for message, signature in zip(messages, signatures, strict=True):
        assert Verifier(made.public_key_info, "sha256").verify(message, signature)


def test_a_lost_connection_is_opened_anew(key_file: Callable[..., Path]) -> None:
    made = Signer.open(str(key_file("p256", "")))
    lost = made._key
    with patch.object(lost, "sign_digest", side_effect=OpenSSLError("gone")):
        signature = made.sign(b"message")
    assert Verifier(made.public_key_info, "sha256").verify(b"message", signature)
    assert made._key is not lost


def test_a_key_that_stays_lost_is_an_error(key_file: Callable[..., Path]) -> None:
    made = Signer.open(str(key_file("p256", "")))
    with (
        patch.object(signer_module._Key, "sign_digest", side_effect=OpenSSLError("gone")) as tried,
        patch.object(signer_module, "_PAUSES_SECONDS", (0.0, 0.0, 0.0)),
        pytest.raises(SignerError, match="gone"),
    ):
        made.sign(b"message")
    assert tried.call_count == 4


@pytest.mark.parametrize(("kind", "messages_only"), [("rsa2048", ()), ("p256", ()), ("p256", ("ec",)), ("ed25519", ())])
def test_a_message_in_parts_is_the_same_message(
    key_file: Callable[..., Path], kind: str, messages_only: tuple[str, ...]
) -> None:
    """Also for providers that sign messages only, as gostprov does."""
    with patch.object(signer_module, "_MESSAGES_ONLY", messages_only):
        made = Signer.open(str(key_file(kind, "")))
    signature = made.sign_parts(lambda: iter([b"mes", b"", b"sage"]))
    for each in (signature, made.sign(b"message")):
        verifier = Verifier(made.public_key_info, "sha256")
        assert verifier.verify(b"message", each)
        assert verifier.verify_parts(iter([b"m", b"essage"]), each)
        assert not verifier.verify_parts(iter([b"m", b"essag"]), each)


THREAD_OUTLIVES_KEY = """
import gc, sys, threading
from kepil.pki.signer import Signer

def work(signers, signed, gone):
    signers.pop().sign(b"message")
    signed.set()
    gone.wait()

for _ in range(20):
    signers, signed, gone = [Signer.open(sys.argv[1])], threading.Event(), threading.Event()
    cycle = [signers[0]]
    cycle.append(cycle)
    thread = threading.Thread(target=work, args=(signers, signed, gone))
    thread.start()
    signed.wait()
    del cycle
    gc.collect()
    gone.set()
    thread.join()
"""


def test_a_thread_may_end_after_the_key_that_it_used(key_file: Callable[..., Path]) -> None:
    """Threat: a lost key is collected, in any order, OpenSSL tidies up after the thread, and the process dies."""
    command = [sys.executable, "-c", THREAD_OUTLIVES_KEY, str(key_file("rsa2048", ""))]
    environment = os.environ | {"MALLOC_PERTURB_": "165"}  # what was freed is not what it was
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
