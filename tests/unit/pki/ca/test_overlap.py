"""Two generations of a CA's key in service (CP-5.6), as a relying party with nothing but OpenSSL sees them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asn1crypto import pem, x509

from kepil.pki import ocsp
from kepil.pki.authority import CertificateAuthority
from kepil.pki.credential import Credential, read_certificate
from kepil.pki.name import DistinguishedName
from kepil.pki.settings import AuthoritySettings, CaSettings, ResponderSettings, Urls
from kepil.pki.status import CertificateStatus
from kepil.pki.store import SESSION_OPTIONS, IssuedCertificate
from tests.unit.pki.ca.conftest import openssl

OFFICER, PERSON = "ra01.dev.kepil.test", "natural-person"
OLD, NEW = "nca-rsa", "nca-rsa-2"
RSA = ("-newkey", "rsa:2048", "-nodes")
CA = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")


class Party:
    """The CA over its database, and a folder with what relying parties find published."""

    def __init__(self, folder: Path, settings: CaSettings, new_request: Callable[[], bytes]) -> None:
        self.folder, self.settings, self.new_request = folder, settings, new_request
        openssl(
            "req", "-x509", *RSA, *CA, "-keyout", "root.key", "-out", "root.crt", "-subj", "/CN=root", folder=folder
        )
        for name, subject in ((OLD, "/CN=NCA"), (NEW, "/CN=NCA G2")):
            signed = ("-CA", "root.crt", "-CAkey", "root.key", "-days", "3650", "-subj", subject)
            openssl("req", "-x509", *RSA, *CA, *signed, "-keyout", f"{name}.key", "-out", f"{name}.crt", folder=folder)

    def generation(self, name: str, *, issues: bool) -> AuthoritySettings:
        at = f"http://pki.example.test/{name}"
        urls = Urls(issuer=f"{at}.crt", crl=f"{at}.crl", delta_crl=f"{at}-delta.crl", ocsp="http://ocsp.example.test/")
        files: Any = {"certificate": self.folder / f"{name}.crt", "key": str(self.folder / f"{name}.key")}
        return AuthoritySettings(name=name, urls=urls, issues=issues, **files)

    def serving(self, *generations: AuthoritySettings) -> CertificateAuthority:
        """The CA after a converge with these generations."""
        connect = partial(psycopg.connect, self.settings.database, options=SESSION_OPTIONS)
        return CertificateAuthority(self.settings.model_copy(update={"authorities": list(generations)}), connect)

    def keep(self, name: str, issued: IssuedCertificate) -> x509.Certificate:
        (self.folder / f"{name}.crt").write_bytes(pem.armor("CERTIFICATE", issued.der))
        return x509.Certificate.load(issued.der)

    def responder(self, authority: CertificateAuthority, name: str) -> ocsp.Responder:
        """Of one generation, its certificate from that generation."""
        openssl(
            "req",
            "-new",
            *RSA,
            "-keyout",
            f"ocsp-{name}.key",
            "-out",
            f"ocsp-{name}.csr",
            "-subj",
            "/CN=O",
            folder=self.folder,
        )
        request = (self.folder / f"ocsp-{name}.csr").read_bytes()
        self.keep(
            f"ocsp-{name}",
            authority.issue(request, "ocsp", name, OFFICER, subject=DistinguishedName(common_name="OCSP")),
        )
        of = ResponderSettings(
            authority=name,
            issuer=self.folder / f"{name}.crt",
            certificate=self.folder / f"ocsp-{name}.crt",
            key=str(self.folder / f"ocsp-{name}.key"),
        )
        issuer = read_certificate(of.issuer)
        return ocsp.Responder(
            name, issuer, Credential.open(of, purpose="ocsp_signing", issuer=issuer), timedelta(hours=9)
        )

    def said(self, *words: str) -> str:
        done = subprocess.run(["openssl", *words], cwd=self.folder, text=True, capture_output=True, check=False)
        return done.stdout + done.stderr

    def verify(self, name: str) -> str:
        """What OpenSSL says of a certificate, with the CRLs and deltas of both generations."""
        crls = [f"-CRLfile={path.name}" for path in sorted(self.folder.glob("*.crl"))]
        trust = ("-CAfile", "root.crt", "-untrusted", f"{OLD}.crt", "-untrusted", f"{NEW}.crt")
        return self.said("verify", *trust, *crls, "-crl_check", "-use_deltas", "-extended_crl", f"{name}.crt")

    def ask(self, name: str, issuer: str, responders: list[ocsp.Responder], status: CertificateStatus) -> str:
        """What OpenSSL says of the answer to its question about a certificate."""
        about = ("-issuer", f"{issuer}.crt", "-cert", f"{name}.crt", "-no_nonce")
        self.said("ocsp", *about, "-reqout", "request.der")
        request = ocsp.read_request((self.folder / "request.der").read_bytes())
        known = {identity: one for one in responders for identity in one.issuer_ids}
        found = ocsp.find_responder(known, request)
        serial = request.certificates[0].serial
        (self.folder / "answer.der").write_bytes(found.respond(request, {serial: status}, datetime.now(UTC)).encoded)
        trust = ("-CAfile", "root.crt", "-verify_other", f"{issuer}.crt")
        return self.said("ocsp", *about, *trust, "-respin", "answer.der")


@pytest.fixture
def party(tmp_path: Path, ca_settings: CaSettings, new_request: Callable[[], bytes]) -> Party:
    return Party(tmp_path, ca_settings, new_request)


@pytest.mark.clause("CP-5.6")
def test_certificates_of_both_generations_are_verified_and_those_of_the_old_revoked(party: Party) -> None:
    """Threat: with the new key in service the old one's certificates cannot be judged any more, or not be revoked."""
    before = party.serving(party.generation(OLD, issues=True))
    old = {name: before.issue(party.new_request(), PERSON, OLD, OFFICER) for name in ("old", "old-revoked")}
    before.make_crl(OLD, "full", "a timer")

    both = party.serving(party.generation(OLD, issues=False), party.generation(NEW, issues=True))
    new = both.issue(party.new_request(), PERSON, NEW, OFFICER)
    responders = [party.responder(both, name) for name in (OLD, NEW)]
    both.make_crl(NEW, "full", "a timer")
    both.revoke(int.from_bytes(old["old-revoked"].serial, "big"), "keyCompromise", OLD, OFFICER)
    for name in (OLD, NEW):
        both.make_crl(name, "delta", "a timer")
    for file in both.publications(party.folder):
        if file.suffix == ".crl":
            file.write_bytes(pem.armor("X509 CRL", file.read_bytes()))
        else:
            file.write_bytes(pem.armor("CERTIFICATE", file.read_bytes()))

    kept = {name: party.keep(name, issued) for name, issued in {**old, "new": new}.items()}
    assert "old.crt: OK" in party.verify("old")
    assert "new.crt: OK" in party.verify("new")
    assert "certificate revoked" in party.verify("old-revoked")

    for name, issuer in (("old", OLD), ("new", NEW)):
        answer = party.ask(name, issuer, responders, CertificateStatus())
        assert f"{name}.crt: good" in answer
        assert "Response verify OK" in answer

    points = {name: one.crl_distribution_points[0].url for name, one in kept.items()}
    assert points["old"] == f"http://pki.example.test/{OLD}.crl"
    assert points["new"] == f"http://pki.example.test/{NEW}.crl"
