"""Certificate revocation lists, complete and delta (RFC 5280 section 5, CP-2.1, CP-2.3)."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from asn1crypto import core, crl, x509

from kepil.errors import KepilError
from kepil.pki.certificate import authority_key_identifier, distribution_point, encode_time
from kepil.pki.signer import Signer

Entry = tuple[int, datetime, int | str | None]
"""A revoked certificate: its serial number, the moment of revocation, and the reason by number or name, if any."""

REASONS: Final = {
    "unspecified": 0,
    "keyCompromise": 1,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "removeFromCRL": 8,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}
"""CRLReason (RFC 5280 section 5.3.1), by the RFC's names."""


class RevocationListError(KepilError):
    """A CRL cannot be made as asked; the message says what is wrong."""


def build_crl(
    issuer: x509.Certificate,
    signer: Signer,
    number: int,
    this_update: datetime,
    next_update: datetime,
    entries: Iterable[Entry],
    base_number: int | None = None,
    idp_url: str | None = None,
    freshest_url: str | None = None,
) -> bytes:
    """Build and sign a CRL, in DER; with a `base_number` it is a delta to the complete CRL of that number.

    `idp_url` is where the *complete* CRL is, for a delta too: only CRLs of the same issuing distribution point belong
    together (section 5.2.4), and that point is what certificates name. `freshest_url` is where deltas are; a complete
    CRL points at it, and a delta must not (section 5.2.6). An entry without a reason, or with the reason
    `unspecified`, carries none (BR 7.2.2).

    Raises RevocationListError for times or numbers that contradict each other or an unknown reason, SignerError.
    """
    if next_update <= this_update:
        raise RevocationListError(f"CRL {number}: nextUpdate {next_update} is not after thisUpdate {this_update}")
    if base_number is not None and (freshest_url or base_number > number):
        raise RevocationListError(f"CRL {number}: a delta to {base_number} has a later number and no freshest_url")
    revoked = [_entry(*entry) for entry in entries]
    algorithm = x509.SignedDigestAlgorithm.load(signer.signature_algorithm)
    tbs = crl.TbsCertList(
        {
            "version": "v2",
            "signature": algorithm,
            "issuer": issuer.subject,
            "this_update": encode_time(this_update),
            "next_update": encode_time(next_update),
            "crl_extensions": [
                {"extn_id": name, "critical": critical, "extn_value": value}
                for name, critical, value in _extensions(issuer, number, base_number, idp_url, freshest_url)
            ],
        }
    )
    if revoked:  # section 5.1.2.6: absent when there are none
        tbs["revoked_certificates"] = revoked
    signed = crl.CertificateList(
        {"tbs_cert_list": tbs, "signature_algorithm": algorithm, "signature": signer.sign(tbs.dump())}
    )
    return bytes(signed.dump())


def _entry(serial: int, revoked_at: datetime, reason: int | str | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"user_certificate": serial, "revocation_date": encode_time(revoked_at)}
    number = REASONS.get(reason) if isinstance(reason, str) else reason
    if reason is not None and number not in REASONS.values():
        raise RevocationListError(f"serial {serial:x}: unknown reason {reason!r}; known are {', '.join(REASONS)}")
    if number:
        entry["crl_entry_extensions"] = [{"extn_id": "crl_reason", "extn_value": crl.CRLReason(number)}]
    return entry


def _extensions(
    issuer: x509.Certificate, number: int, base_number: int | None, idp_url: str | None, freshest_url: str | None
) -> Iterator[tuple[str, bool, Any]]:
    """Give (name, critical, value) of each extension (section 5.2)."""
    yield "authority_key_identifier", False, authority_key_identifier(issuer)
    yield "crl_number", False, core.Integer(number)
    if base_number is not None:
        yield "delta_crl_indicator", True, core.Integer(base_number)
    if idp_url:
        yield "issuing_distribution_point", True, distribution_point(idp_url)
    if freshest_url:
        yield "freshest_crl", False, [distribution_point(freshest_url)]
