"""Signed applications (CMS SignedData, RFC 5652), verified by OpenSSL; RSA and GOST alike (GW-15).

OpenSSL verifies signature, chain and revocation; this module says what it is to trust, and refuses what a valid
signature does not make an organisation's: several signers, an employee's or a person's certificate, a weak digest.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asn1crypto import cms, pem, x509

from kepil.gateway.located import GatewayError

LARGEST = 1 << 20
"""An application is a page of text; bytes."""
DIGESTS = frozenset(
    {
        *("2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3"),  # SHA-256, -384, -512
        *("1.2.643.7.1.1.2.2", "1.2.643.7.1.1.2.3"),  # GOST R 34.11-2012, 256 and 512 bit (RFC 9215)
    }
)
"""Digests that signatures may use. By number: how asn1crypto names GOST's depends on what else was imported."""
SIGNATORIES = {"1.2.398.3.3.4.1.2.1": "first head", "1.2.398.3.3.4.1.2.2": "signatory"}
"""Extended key usages of who may sign for a legal entity."""
STATUS_SKEW_SECONDS = 300
STATUS_AGE_SECONDS = 25 * 3600
"""How old a status may be: as old as a CRL (CP-2.3)."""


class SignatureRefusedError(GatewayError):
    """The application is not shown to be the organisation's; the message says why and what the applicant is to do."""


class UndecidedError(GatewayError):
    """For a reason of the gateway's own nothing can be said of the application now; the message says what to mend."""


@dataclass(frozen=True)
class Trust:
    """Whom signatures are traced to."""

    roots: Path
    """PEM: certificates of the root authority, RSA and GOST."""
    issuers: Path
    """PEM: certificates of the National CA, RSA and GOST."""
    config: Path | None = None
    """openssl.cnf that activates GOST; None where only RSA is expected."""
    ocsp_url: str | None = None
    """Where status is asked; None for where the certificate says."""


@dataclass(frozen=True)
class Signed:
    """What was signed, and by whom."""

    content: bytes
    bin: str
    """The BIN in the signer's certificate."""
    serial: str
    """The certificate's serial number, hexadecimal. Its subject names a person, which has no place in a register."""


def verify(path: Path, trust: Trust, at: datetime) -> Signed:
    """The content of a signed application; raises SignatureRefusedError with the reason, or UndecidedError."""
    der = _read(path)
    _look(path, der)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "signed").write_bytes(der)
        _verify_signature(path, folder, trust, at)
        certificate = _one_certificate(path, folder / "signer")
        number = _bin_of(path, certificate)
        _check_role(path, certificate)
        _check_status(path, folder, certificate, trust)
        return Signed((folder / "content").read_bytes(), number, f"{certificate.serial_number:x}")


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise SignatureRefusedError(f"{path}: is larger than {LARGEST} bytes: no application is")
        content = path.read_bytes()
        return pem.unarmor(content)[2] if pem.detect(content) else content
    except (OSError, ValueError) as error:
        raise SignatureRefusedError(f"{path}: cannot be read: {error}") from error


def _look(path: Path, der: bytes) -> None:
    """Refuse what no application looks like, before OpenSSL is asked."""
    try:
        info = cms.ContentInfo.load(der, strict=True)
        signers = info["content"]["signer_infos"] if info["content_type"].native == "signed_data" else []
        digests = [signer["digest_algorithm"]["algorithm"] for signer in signers]
    except (ValueError, TypeError, KeyError) as error:
        raise SignatureRefusedError(f"{path}: is no CMS message (RFC 5652): sign the application anew") from error
    if len(signers) != 1:
        raise SignatureRefusedError(f"{path}: has {len(signers)} signatures; one is needed, the organisation's")
    if weak := [digest.native for digest in digests if digest.dotted not in DIGESTS]:
        raise SignatureRefusedError(f"{path}: signed with {weak[0]}; sign with SHA-256 or GOST R 34.11-2012")


def _verify_signature(path: Path, folder: Path, trust: Trust, at: datetime) -> None:
    # Issuers lie beside the roots, but a chain still ends at a root: nothing here says -partial_chain.
    (folder / "trusted").write_bytes(trust.roots.read_bytes() + b"\n" + trust.issuers.read_bytes())
    done = _openssl(
        [
            *("cms", "-verify", "-binary", "-inform", "DER", "-in", folder / "signed", "-out", folder / "content"),
            *("-signer", folder / "signer", "-CAfile", folder / "trusted"),
            *("-no-CApath", "-no-CAstore", "-purpose", "any", "-x509_strict", "-attime", str(int(at.timestamp()))),
        ],
        trust,
    )
    if done.returncode != 0:
        raise SignatureRefusedError(f"{path}: the signature does not hold: {_reason(done.stderr)}")


def _one_certificate(path: Path, signer: Path) -> x509.Certificate:
    found = [der for _, _, der in pem.unarmor(signer.read_bytes(), multiple=True)]
    if len(found) != 1:
        raise SignatureRefusedError(f"{path}: {len(found)} certificates signed it; one is needed, the organisation's")
    return x509.Certificate.load(found[0])


def _bin_of(path: Path, certificate: x509.Certificate) -> str:
    """The BIN, as certificates of the National CA carry it: an organisational unit of BIN and twelve digits."""
    units = certificate.subject.native.get("organizational_unit_name", [])
    numbers = [unit[3:] for unit in ([units] if isinstance(units, str) else units) if unit.startswith("BIN")]
    if len(numbers) != 1:
        raise SignatureRefusedError(
            f"{path}: the certificate {certificate.serial_number:x} names no organisation (BIN): sign with the "
            "legal entity's own"
        )
    return numbers[0]


def _check_role(path: Path, certificate: x509.Certificate) -> None:
    usage = certificate.key_usage_value
    if usage is None or not {"digital_signature", "non_repudiation"} <= usage.native:
        raise SignatureRefusedError(f"{path}: the certificate is not for signing documents: use the one that is")
    purposes = certificate.extended_key_usage_value
    if not SIGNATORIES.keys() & set(purposes.native if purposes is not None else ()):
        raise SignatureRefusedError(
            f"{path}: the certificate {certificate.serial_number:x} is not the head's, nor one with the right "
            "to sign for the organisation"
        )


def _check_status(path: Path, folder: Path, certificate: x509.Certificate, trust: Trust) -> None:
    """Ask the responder (RFC 6960). Whatever is not plainly "good" is refused: no answer, an old one, a strange one."""
    url = trust.ocsp_url or next(iter(certificate.ocsp_urls), None)
    if url is None:
        raise SignatureRefusedError(f"{path}: the certificate says nothing of where its status is asked")
    issuer = _issuer(path, certificate, trust)
    (folder / "issuer").write_bytes(pem.armor("CERTIFICATE", issuer.dump()))
    done = _openssl(
        [
            *("ocsp", "-issuer", folder / "issuer", "-cert", folder / "signer", "-url", url, "-timeout", "20"),
            *("-CAfile", folder / "trusted", "-no-CApath", "-no-CAstore"),
            *("-validity_period", str(STATUS_SKEW_SECONDS), "-status_age", str(STATUS_AGE_SECONDS)),
        ],
        trust,
    )
    said = done.stdout.splitlines()
    status = next((line.partition(": ")[2] for line in said if line.startswith(f"{folder / 'signer'}: ")), "")
    if done.returncode != 0 or "Response verify OK" not in done.stderr or not status:
        raise UndecidedError(f"{path}: its certificate's status is not known ({_reason(done.stderr)}): try later")
    if status != "good":
        raise SignatureRefusedError(
            f"{path}: the certificate {certificate.serial_number:x} is {status}: sign with a valid one"
        )
    if any("Status times invalid" in line for line in (*said, *done.stderr.splitlines())):
        raise UndecidedError(f"{path}: the responder's answer is not of today: look at the responder {url}")


def _issuer(path: Path, certificate: x509.Certificate, trust: Trust) -> x509.Certificate:
    for _, _, der in pem.unarmor(trust.issuers.read_bytes(), multiple=True):
        issuer = x509.Certificate.load(der)
        if issuer.subject.dump() == certificate.issuer.dump():
            return issuer
    raise SignatureRefusedError(
        f"{path}: the certificate was issued by {certificate.issuer.human_friendly}, not the National CA"
    )


def _openssl(arguments: Sequence[str | Path], trust: Trust) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C"} | ({"OPENSSL_CONF": str(trust.config)} if trust.config else {})
    try:
        return subprocess.run(
            ["openssl", *arguments], capture_output=True, text=True, errors="replace", check=False, env=environment
        )
    except FileNotFoundError as error:
        raise UndecidedError("openssl is not there: install openssl") from error


def _reason(stderr: str) -> str:
    """OpenSSL's own words, without the places in its sources."""
    told = [line.rpartition("erify error:")[2].strip() for line in stderr.splitlines() if "erify error:" in line]
    raised = [line.split(":")[5] for line in stderr.splitlines() if line.count(":") > 5]  # noqa: PLR2004 - the sixth field is the reason
    return "; ".join(dict.fromkeys(told or raised or stderr.splitlines())) or "no reason given"
