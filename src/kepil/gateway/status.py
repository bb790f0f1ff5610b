"""Whether an origin's certificate was revoked, as the list or the responder that it names says; OpenSSL asks both.

The list is asked first (RFC 5280 section 4.2.1.13), the responder (RFC 6960) where no list is named or it cannot be
had. Where neither answers in time the certificate passes, as in browsers: else who keeps an answer away closes its
sites. One that demands an answer for itself (RFC 7633) does not.
"""

from __future__ import annotations

import re
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from asn1crypto import pem, x509

PATIENCE_SECONDS = 5.0
"""How long list and responder may take together; the connection waits meanwhile."""
SKEW_SECONDS = 300
"""By how much a responder's clock may be wrong."""
STATUS_REQUEST = 5
"""TLS's extension by which a certificate demands an answer (RFC 7633 section 6)."""
REMEMBERED = 10_000
"""Answers of responders that are kept."""
_REVOKED = re.compile(r"^error 23 at 0 depth", re.MULTILINE)
_NEXT_UPDATE = re.compile(r"^\s+Next Update: (.+)$", re.MULTILINE)


class Origins:
    """The status of origins' certificates. A responder's answer is remembered until its own next update."""

    def __init__(self, trusted: Path) -> None:
        self._trusted = trusted
        self._answers: dict[bytes, tuple[bool, float]] = {}
        self._lock = Lock()

    def refuses(self, certificates: Sequence[bytes]) -> str | None:
        """Why the first certificate does not count, or nothing; the others are the chain that the origin showed, PEM.

        Raises ValueError for what is no certificate.
        """
        leaf = _parsed(certificates[0])
        until = time.monotonic() + PATIENCE_SECONDS
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "leaf").write_bytes(certificates[0] + b"\n")
            Path(folder, "chain").write_bytes(b"\n".join((*certificates, b"")))
            revoked = self._by_list(Path(folder), until) if leaf.crl_distribution_points else None
            source = "list"
            if revoked is None:
                revoked, source = self._by_responder(Path(folder), leaf, certificates[1:], until), "responder"
        if revoked:
            return f"By its issuer's {source}"
        if revoked is None and _demands_answer(leaf):
            return "It demands an answer of its issuer's responder, and there is none"
        return None

    def _by_list(self, folder: Path, until: float) -> bool | None:
        done = _openssl(
            ["verify", "-crl_check", "-crl_download", "-CAfile", self._trusted, "-untrusted", "chain", "leaf"],
            folder,
            until,
        )
        if done is None or (done.returncode and not _REVOKED.search(done.stderr)):
            return None
        return done.returncode != 0

    def _by_responder(self, folder: Path, leaf: x509.Certificate, chain: Sequence[bytes], until: float) -> bool | None:
        """What the responder says, and no other: by HTTP, which a flow lets the gateway use; signed, and of today."""
        with self._lock:
            revoked, end = self._answers.get(leaf.sha256, (False, 0.0))
        if time.time() < end:
            return revoked
        url = next((url for url in leaf.ocsp_urls if url.lower().startswith("http://")), None)
        issuer = self._issuer(leaf, chain) if url else None
        if url is None or issuer is None:
            return None
        (folder / "issuer").write_bytes(pem.armor("CERTIFICATE", issuer.dump()))
        done = _openssl(
            [
                *("ocsp", "-issuer", "issuer", "-cert", "leaf", "-url", url, "-no_nonce"),
                *("-CAfile", self._trusted, "-no-CApath", "-no-CAstore", "-verify_other", "issuer"),
                *("-validity_period", str(SKEW_SECONDS)),
            ],
            folder,
            until,
        )
        said = done.stdout if done else ""
        if (
            done is None
            or done.returncode
            or "Response verify OK" not in done.stderr
            or "times invalid" in said + done.stderr
        ):
            return None
        status = re.search(r"^leaf: (good|revoked)$", said, re.MULTILINE)
        if status is None:
            return None
        revoked = status[1] == "revoked"
        if next_update := _NEXT_UPDATE.search(said):
            self._remember(leaf.sha256, revoked, ssl.cert_time_to_seconds(next_update[1]))
        return revoked

    def _issuer(self, leaf: x509.Certificate, chain: Sequence[bytes]) -> x509.Certificate | None:
        """Who issued it: among what the origin showed, or whom the gateway trusts."""
        shown = (_parsed(text) for text in chain)
        trusted = (x509.Certificate.load(der) for _, _, der in pem.unarmor(self._trusted.read_bytes(), multiple=True))
        issuers = (each for source in (shown, trusted) for each in source if each.subject.dump() == leaf.issuer.dump())
        return next((each for each in issuers if leaf.authority_key_identifier in (None, each.key_identifier)), None)

    def _remember(self, certificate: bytes, revoked: bool, until: float) -> None:
        with self._lock:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[certificate] = (revoked, until)


def _demands_answer(certificate: x509.Certificate) -> bool:
    extensions = certificate["tbs_certificate"]["extensions"]
    return any(
        STATUS_REQUEST in each["extn_value"].native for each in extensions if each["extn_id"].native == "tls_feature"
    )


def _parsed(text: bytes) -> x509.Certificate:
    return x509.Certificate.load(pem.unarmor(text)[2])


def _openssl(arguments: Sequence[str | Path], folder: Path, until: float) -> subprocess.CompletedProcess[str] | None:
    """What it said, or nothing if it took too long."""
    try:
        return subprocess.run(
            ["openssl", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=max(until - time.monotonic(), 0),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
