"""Certificate revocation lists, complete and delta (RFC 5280 section 5, CP-2.1, CP-2.3)."""

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

from asn1crypto import core, crl, x509

from kepil.errors import KepilError
from kepil.pki import der
from kepil.pki.der import Reader
from kepil.pki.fields import authority_key_identifier, distribution_point, encode_time
from kepil.pki.signer import Signer
from kepil.pki.verifier import Verifier

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


_BLOCK_BYTES: Final = 1 << 20
_LONG: Final = 1 << 24
"""Octets from which on a length takes four of its own; a list that is shorter can be held in memory."""
_READABLE_BY_ALL: Final = 0o644
_REASON_HEAD: Final = bytes.fromhex("300c300a0603551d1504030a01")  # Extensions { CRLReason (2.5.29.21), an ENUMERATED


@dataclass(frozen=True)
class Scope:
    """What a CRL says of itself: its issuer, number, times, and which other CRLs it belongs with.

    With a `base_number` it is a delta to the complete CRL of that number. `idp_url` is where the *complete* CRL is, for
    a delta too: only CRLs of the same issuing distribution point belong together (section 5.2.4), and that point is
    what certificates name. `freshest_url` is where deltas are; a complete CRL points at it, and a delta must not
    (section 5.2.6). Expired certificates are not promised: there is no extension expiredCertsOnCRL.

    Raises RevocationListError for times or numbers that contradict each other.
    """

    issuer: x509.Certificate
    number: int
    this_update: datetime
    next_update: datetime
    base_number: int | None = None
    idp_url: str | None = None
    freshest_url: str | None = None

    def __post_init__(self) -> None:
        if self.next_update <= self.this_update:
            raise RevocationListError(
                f"CRL {self.number}: nextUpdate {self.next_update} is not after thisUpdate {self.this_update}"
            )
        if self.base_number is not None and (self.freshest_url or self.base_number > self.number):
            raise RevocationListError(
                f"CRL {self.number}: a delta to {self.base_number} has a later number and no freshest_url"
            )


def encode_entry(serial: int, revoked_at: datetime, reason: int | str | None) -> bytes:
    """Encode one revoked certificate (section 5.1.2.6). Raises RevocationListError for an unknown reason.

    Without a reason, or with the reason `unspecified`, it carries none (BR 7.2.2).
    """
    number = REASONS.get(reason) if isinstance(reason, str) else reason
    if reason is not None and number not in REASONS.values():
        raise RevocationListError(f"serial {serial:x}: unknown reason {reason!r}; known are {', '.join(REASONS)}")
    at: bytes = encode_time(revoked_at.astimezone(UTC)).dump()
    return der.wrap(der.SEQUENCE, der.integer(serial), at, _REASON_HEAD + bytes((number,)) if number else b"")


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
    """Build and sign a CRL in memory, in DER; see Scope. Raises RevocationListError, SignerError."""
    scope = Scope(issuer, number, this_update, next_update, base_number, idp_url, freshest_url)
    target = io.BytesIO()
    _write(target, scope, signer, (encode_entry(*entry) for entry in entries))
    return target.getvalue()


def write_crl(path: Path, scope: Scope, signer: Signer, encoded: Iterable[bytes]) -> None:
    """Make a CRL file of any size in constant memory. The file is there whole, or not at all.

    `encoded` gives entries as `encode_entry` does, any number of them in a piece. Keys whose algorithm hashes by itself
    (Ed25519, ML-DSA) sign the whole list in memory, about 50 octets an entry.

    Raises SignerError, OSError, and whatever `encoded` raises.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("w+b") as target:
            _write(target, scope, signer, encoded)
            os.fchmod(target.fileno(), _READABLE_BY_ALL)
            target.flush()
            os.fsync(target.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def verify_crl(path: Path, verifier: Verifier) -> bool:
    """Tell whether a CRL file is signed by the issuer's key, in constant memory.

    Raises DerError when it is no CRL, OSError.
    """
    with path.open("rb") as file:
        outer, begin, end = _measure(file)
        file.seek(end)
        tail = Reader(file.read(outer - end))
        tail.skip()
        signature = tail.contents(der.BIT_STRING)[1:]
        tail.finish()
        return verifier.verify_parts(_blocks(file, begin, end), signature)


def _blocks(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    file.seek(begin)
    for left in range(end - begin, 0, -_BLOCK_BYTES):
        yield file.read(min(left, _BLOCK_BYTES))


def _measure(file: BinaryIO) -> tuple[int, int, int]:
    """Where the file must end, and where its tbsCertList begins and ends."""
    size = os.fstat(file.fileno()).st_size
    top = file.read(32)
    begin, end = Reader(top, 0, size).span(der.SEQUENCE)
    if end != size:
        raise der.DerError(f"{size - end} octets after the list")
    return size, begin, Reader(top, begin, end).span(der.SEQUENCE)[1]


def _write(target: BinaryIO, scope: Scope, signer: Signer, encoded: Iterable[bytes]) -> None:
    """Write the list. What goes before the entries says how long they are, so room is left for it."""
    before, after = _frame(scope, signer.signature_algorithm)
    room = len(_head(_LONG, before, after)) + len(der.header(der.SEQUENCE, _LONG))
    target.seek(room)
    target.writelines(encoded)
    length = target.tell() - room
    head = _head(length, before, after)
    signed = signer.sign_parts(lambda: chain([head], _blocks(target, room, room + length), [after]))
    signature = signer.signature_algorithm + der.bit_string(signed)
    head = der.header(der.SEQUENCE, len(head) + length + len(after) + len(signature)) + head
    if len(head) != room:  # the lengths of a short list have fewer octets
        target.seek(room)
        moved = target.read(length)
        target.seek(len(head))
        target.write(moved)
        target.truncate()
    target.seek(0)
    target.write(head)
    target.seek(length, io.SEEK_CUR)
    target.write(after + signature)


def _head(length: int, before: bytes, after: bytes) -> bytes:
    """What goes before the entries in a tbsCertList, if these have so many octets."""
    # section 5.1.2.6: absent when there are none
    opening = der.header(der.SEQUENCE, length) if length else b""
    return der.header(der.SEQUENCE, len(before) + len(opening) + length + len(after)) + before + opening


def _frame(scope: Scope, signature_algorithm: bytes) -> tuple[bytes, bytes]:
    """The fields of the tbsCertList before and after the entries."""
    fields = crl.TbsCertList(
        {
            "version": "v2",
            "signature": x509.SignedDigestAlgorithm.load(signature_algorithm),
            "issuer": scope.issuer.subject,
            "this_update": encode_time(scope.this_update),
            "next_update": encode_time(scope.next_update),
            "crl_extensions": [
                {"extn_id": name, "critical": critical, "extn_value": value}
                for name, critical, value in _extensions(scope)
            ],
        }
    )
    contents, after = Reader(fields.dump()).contents(der.SEQUENCE), fields["crl_extensions"].dump()
    return contents.removesuffix(after), after


def _extensions(scope: Scope) -> Iterator[tuple[str, bool, Any]]:
    """Give (name, critical, value) of each extension (section 5.2)."""
    yield "authority_key_identifier", False, authority_key_identifier(scope.issuer)
    yield "crl_number", False, core.Integer(scope.number)
    if scope.base_number is not None:
        yield "delta_crl_indicator", True, core.Integer(scope.base_number)
    if scope.idp_url:
        yield "issuing_distribution_point", True, distribution_point(scope.idp_url)
    if scope.freshest_url:
        yield "freshest_crl", False, [distribution_point(scope.freshest_url)]
