"""Whether a certificate still descends from those in service: what a former issuer made is not deployed (CP-5.7)."""

from __future__ import annotations

from pathlib import Path

from asn1crypto import crl, pem, x509

from kepil.ceremony.records import RETIRED
from kepil.errors import KepilError
from kepil.pki.credential import read_certificate


class DescentError(KepilError):
    """A certificate was revoked, or another key than its issuer's present one made it; the message says how it came."""


def check_descent(folder: Path, name: str, issuer: str) -> None:
    """Raise DescentError unless `issuer`, as it lies in an environment's `folder`, issued `name`, not revoked since.

    Names and key identifiers are compared (RFC 5280 section 4.2.1.1); the signature was verified in the ceremony.
    """
    certificate, above = read_certificate(folder / f"{name}.crt"), read_certificate(folder / f"{issuer}.crt")
    if revoked := revocation(folder, certificate):
        raise DescentError(f"{folder / name}.crt: {revoked}")
    if not _issued(certificate, above):
        raise DescentError(
            f"{folder / name}.crt was not issued by {folder / issuer}.crt, serial number {above.serial_number:x}, "
            f"which is in service{_former(folder, certificate, issuer)}"
        )


def revocation(folder: Path, certificate: x509.Certificate) -> str:
    """What the CRLs in a folder say of a certificate; an empty text where it stands on none of its issuer."""
    for path in sorted(folder.glob("*.crl")):
        content = path.read_bytes()
        listed = crl.CertificateList.load(pem.unarmor(content)[2] if pem.detect(content) else content, strict=True)
        if listed.issuer.dump() != certificate.issuer.dump():
            continue
        entries = listed["tbs_cert_list"]["revoked_certificates"]
        for entry in entries if entries.native else ():
            if entry["user_certificate"].native == certificate.serial_number:
                reason = entry.crl_reason_value.native if entry.crl_reason_value else "unspecified"
                when = entry["revocation_date"].native
                return f"revoked at {when:%Y-%m-%d %H:%M:%S} UTC ({reason}), says {path}"
    return ""


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    same = certificate.issuer.dump() == issuer.subject.dump()
    return bool(same and certificate.authority_key_identifier == issuer.key_identifier)


def _former(folder: Path, certificate: x509.Certificate, issuer: str) -> str:
    """Which of the issuer's certificates that were laid aside made it, and what became of that."""
    for path in sorted((folder / RETIRED).glob(f"*/{issuer}.crt")):
        former = read_certificate(path)
        if _issued(certificate, former):
            gone = revocation(folder, former) or "its key was destroyed"
            return f", but by the one before, serial number {former.serial_number:x}: {gone}"
    return ""
