"""What a former issuer made, or somebody revoked, is deployed no more, and it is said why (CP-5.7)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kepil.ceremony.descent import DescentError, check_descent
from kepil.pki.credential import read_certificate

CONFIGURATION = """[ca]
default_ca = here
[here]
database = index
default_md = sha256
default_crl_days = 30
"""
EXTENSIONS = ("-addext", "basicConstraints=critical,CA:true", "-addext", "subjectKeyIdentifier=hash")


class Outputs:
    """The folder of an environment's outputs, with authorities made by OpenSSL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "index").touch()
        (folder / "cnf").write_text(CONFIGURATION)

    def openssl(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def make(self, name: str, issuer: str = "") -> None:
        by = ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.pem"] if issuer else []
        made = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
        self.openssl(*made, "-subj", f"/CN={name}", *EXTENSIONS, "-keyout", f"{name}.pem", "-out", f"{name}.crt", *by)

    def revoke(self, name: str, issuer: str) -> None:
        by = ("ca", "-config", "cnf", "-keyfile", f"{issuer}.pem", "-cert", f"{issuer}.crt")
        self.openssl(*by, "-revoke", f"{name}.crt", "-crl_reason", "keyCompromise")
        self.openssl(*by, "-gencrl", "-out", "list.pem")
        self.openssl("crl", "-in", "list.pem", "-outform", "DER", "-out", f"{issuer}.crl")

    def retire(self, name: str) -> None:
        retired = self.folder / "retired" / read_certificate(self.folder / f"{name}.crt").sha256.hex()
        retired.mkdir(parents=True)
        (self.folder / f"{name}.crt").rename(retired / f"{name}.crt")


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    made = Outputs(tmp_path)
    for name, issuer in (("krnca", ""), ("nca", "krnca"), ("ocsp", "nca")):
        made.make(name, issuer)
    return made


def test_what_the_issuer_in_service_made_is_deployed(outputs: Outputs) -> None:
    check_descent(outputs.folder, "nca", "krnca")
    check_descent(outputs.folder, "ocsp", "nca")


def test_a_revoked_certificate_is_refused(outputs: Outputs) -> None:
    """Threat: the compromised NCA is restored from its ceremony's bundle, which vouches for it to this day."""
    outputs.revoke("nca", "krnca")
    with pytest.raises(DescentError, match=r"nca\.crt: revoked at 20.* UTC \(key_compromise\), says .*krnca\.crl"):
        check_descent(outputs.folder, "nca", "krnca")


def test_what_a_revoked_issuer_made_is_refused_with_the_reason(outputs: Outputs) -> None:
    """Threat: after a compromise the responder answers with a certificate of the NCA that was revoked."""
    outputs.revoke("nca", "krnca")
    former = read_certificate(outputs.folder / "nca.crt").serial_number
    outputs.retire("nca")
    outputs.make("nca", "krnca")
    check_descent(outputs.folder, "nca", "krnca")
    with pytest.raises(
        DescentError, match=rf"ocsp\.crt was not issued by .*nca\.crt.*{former:x}: revoked at .*compromise"
    ):
        check_descent(outputs.folder, "ocsp", "nca")


def test_what_a_destroyed_key_made_is_refused_with_the_reason(outputs: Outputs) -> None:
    outputs.retire("nca")
    outputs.make("nca", "krnca")
    with pytest.raises(DescentError, match=r"one before, serial number .*: its key was destroyed"):
        check_descent(outputs.folder, "ocsp", "nca")


def test_what_somebody_else_made_is_refused(outputs: Outputs) -> None:
    outputs.make("nca")
    with pytest.raises(DescentError, match=r"ocsp\.crt was not issued by .*which is in service$"):
        check_descent(outputs.folder, "ocsp", "nca")


def test_a_list_that_is_empty_revokes_nothing(outputs: Outputs) -> None:
    outputs.openssl(
        "ca", "-config", "cnf", "-keyfile", "krnca.pem", "-cert", "krnca.crt", "-gencrl", "-out", "krnca.crl"
    )
    check_descent(outputs.folder, "nca", "krnca")
