"""What a certificate revocation list says, read without the key that signed it (RFC 5280 section 5)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from asn1crypto import crl, pem

from kepil.errors import KepilError


class CrlContentError(KepilError):
    """A file is no CRL with a number; the message names it."""


@dataclass(frozen=True)
class CrlContent:
    """A CRL's number, the SHA-256 of its signed part (tbsCertList), and the serial numbers on it."""

    number: int
    tbs_sha256: str
    serials: Set[int]


def read_crl(path: Path) -> CrlContent:
    """A CRL in DER or PEM. Raises CrlContentError, OSError."""
    content = path.read_bytes()
    try:
        listed = crl.CertificateList.load(pem.unarmor(content)[2] if pem.detect(content) else content, strict=True)
        tbs, number = listed["tbs_cert_list"], listed.crl_number_value.native
        entries = tbs["revoked_certificates"] if tbs["revoked_certificates"].native else ()
        serials = frozenset(entry["user_certificate"].native for entry in entries)
    except (ValueError, TypeError, AttributeError) as error:
        raise CrlContentError(f"{path} is no CRL with a number ({error}): bring the one that was signed") from error
    return CrlContent(number, sha256(tbs.dump()).hexdigest(), serials)
