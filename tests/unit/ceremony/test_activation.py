"""Shares: enough of them open, fewer do not and tell nothing; each opens to its custodian alone; none is ever told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations, permutations
from pathlib import Path

import pytest

from kepil.ceremony import activation
from kepil.ceremony.activation import ActivationError, decrypt, encrypt, new_secret, pin, recover, rehearse, split


@pytest.mark.clause("CP-6.4")
@pytest.mark.parametrize(("threshold", "holders"), [(2, 2), (2, 3), (3, 5)])
def test_every_sufficient_set_opens_and_no_smaller_one(threshold: int, holders: int) -> None:
    secret = new_secret()
    shares = split(secret, threshold, holders)
    assert len(shares) == holders
    for chosen in combinations(shares, threshold):
        for order in permutations(chosen):
            assert recover(order) == secret
    for number in range(1, threshold):
        for chosen in combinations(shares, number):
            with pytest.raises(ActivationError, match=f"{number} shares do not open it"):
                recover(chosen)


def test_one_share_twice_is_one_share() -> None:
    shares = split(new_secret(), 2, 3)
    with pytest.raises(ActivationError, match="do not open it"):
        recover([shares[0], shares[0]])


def test_shares_of_different_secrets_do_not_mix() -> None:
    with pytest.raises(ActivationError, match="do not open it"):
        recover([split(new_secret(), 2, 2)[0], split(new_secret(), 2, 2)[1]])


def test_a_misspelt_share_is_refused_and_not_repeated() -> None:
    shares = split(new_secret(), 2, 2)
    words = shares[0].split()
    for wrong in (" ".join([*words[:-1], "nonsense"]), " ".join([words[1], words[0], *words[2:]]), "hunter2 academic"):
        with pytest.raises(ActivationError) as caught:
            recover([wrong, shares[1]])
        message = str(caught.value)
        assert not {*wrong.split(), *shares[1].split()} & set(message.replace('"', " ").replace("'", " ").split())


@pytest.mark.parametrize(("threshold", "holders"), [(1, 3), (1, 1), (4, 3), (2, 17)])
def test_a_split_that_is_none_is_refused(threshold: int, holders: int) -> None:
    with pytest.raises(ActivationError, match=f"{threshold} of {holders}"):
        split(new_secret(), threshold, holders)


def test_shares_that_would_not_recover_are_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = new_secret()
    shares = split(secret, 2, 3)
    with pytest.raises(ActivationError, match="recover something else"):
        rehearse(shares, 2, new_secret())
    monkeypatch.setattr(activation, "recover", lambda _: secret)
    with pytest.raises(ActivationError, match="1 shares were enough"):
        rehearse(shares, 2, secret)
    monkeypatch.setattr(activation, "recover", lambda _: b"else")
    with pytest.raises(ActivationError, match="recover something else"):
        split(secret, 2, 3)


def test_a_pin_is_its_secret_in_hexadecimal() -> None:
    secret = new_secret()
    assert bytes.fromhex(pin(secret)) == secret
    assert len(pin(secret)) == 32


@pytest.fixture(scope="module", params=["rsa:3072", "ec"])
def custodian(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A custodian's folder with key.pem and crt.pem."""
    folder = tmp_path_factory.mktemp("custodian")
    kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if request.param == "ec" else [request.param]
    words = ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-subj", "/CN=custodian"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "crt.pem")]
    subprocess.run([*words, *files], check=True, capture_output=True)
    return folder


@pytest.mark.clause("CP-6.4")
def test_a_share_opens_to_its_custodian_alone(custodian: Path, tmp_path: Path) -> None:
    share = split(new_secret(), 2, 2)[0]
    encrypted = encrypt(share, (custodian / "crt.pem").read_text())
    assert decrypt(encrypted, str(custodian / "key.pem")) == share
    assert not any(word.encode() in encrypted for word in share.split() if len(word) > 4)
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "genrsa", "-out", other, "3072"], check=True, capture_output=True)
    with pytest.raises(ActivationError, match="openssl cms -decrypt"):
        decrypt(encrypted, str(other))
    changed = encrypted[:-20] + bytes([encrypted[-20] ^ 1]) + encrypted[-19:]
    with pytest.raises(ActivationError, match="openssl cms -decrypt"):
        decrypt(changed, str(custodian / "key.pem"))


def test_no_certificate_no_share() -> None:
    with pytest.raises(ActivationError) as caught:
        encrypt("academic acid", "-----BEGIN CERTIFICATE-----\n")
    assert "academic" not in str(caught.value)


def written(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_bytes()


@pytest.mark.clause("CP-5.4")
def test_secrets_are_in_no_file_and_no_argument(
    custodian: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file that exists while OpenSSL runs, and all that it is told, are looked at."""
    seen: list[bytes] = []
    real = subprocess.run

    def watched(words: list[str], **options: object) -> object:
        seen.extend(word.encode() for word in words)
        seen.extend(value.encode() for value in os.environ.values())
        seen.extend(written(tmp_path))
        return real(words, **options)  # type: ignore[call-overload]

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(subprocess, "run", watched)
    secret = new_secret()
    shares = split(secret, 2, 2)
    for share in shares:
        assert decrypt(encrypt(share, (custodian / "crt.pem").read_text()), str(custodian / "key.pem")) == share
    with suppress(ActivationError):
        decrypt(b"x", str(custodian / "key.pem"))
    assert len(seen) > 20
    for secret_words in (*shares, pin(secret)):
        assert not any(secret_words.encode() in content for content in seen)
