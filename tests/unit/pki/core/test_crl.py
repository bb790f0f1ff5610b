"""CRLs, complete and delta, as OpenSSL reads them (RFC 5280 section 5, CP-2.1, CP-2.3)."""

import os
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import core, crl, keys, pem, x509
from hypothesis import given
from hypothesis import strategies as st

from kepil.pki.crl import Entry, RevocationListError, Scope, build_crl, encode_entry, verify_crl, write_crl
from kepil.pki.der import SEQUENCE, DerError, Reader
from kepil.pki.name import DistinguishedName
from kepil.pki.signer import Signer
from kepil.pki.verifier import Verifier

NOW = datetime.now(UTC)
BASE_URL, DELTA_URL = "http://pki.example.kz/nca-rsa.crl", "http://pki.example.test/nca-rsa-delta.crl"
LATER = NOW + timedelta(hours=25)


def test_reasons(issuing: x509.Certificate, issuing_signer: Signer) -> None:
    """BR 7.2.2: no reason rather than `unspecified`."""
    entries: list[Entry] = [(1, NOW, 1), (2, NOW, "superseded"), (3, NOW, None), (4, NOW, 0), (5, NOW, "unspecified")]
    made = crl.CertificateList.load(build_crl(issuing, issuing_signer, 7, NOW, LATER, iter(entries)))
    revoked = made["tbs_cert_list"]["revoked_certificates"]
    reasons = [entry.crl_reason_value and entry.crl_reason_value.native for entry in revoked]
    assert reasons == ["key_compromise", "superseded", None, None, None]
    assert made.crl_number_value.native == 7


def test_an_empty_list_is_absent(issuing: x509.Certificate, issuing_signer: Signer) -> None:
    made = crl.CertificateList.load(build_crl(issuing, issuing_signer, 1, NOW, LATER, []))
    assert isinstance(made["tbs_cert_list"]["revoked_certificates"], core.Void)


def test_criticality(issuing: x509.Certificate, issuing_signer: Signer) -> None:
    """RFC 5280 sections 5.2.4 and 5.2.5: a reader that does not know what the list covers must not use it."""
    delta = crl.CertificateList.load(build_crl(issuing, issuing_signer, 2, NOW, LATER, [], 1, BASE_URL))
    base = crl.CertificateList.load(build_crl(issuing, issuing_signer, 1, NOW, LATER, [], None, BASE_URL, DELTA_URL))
    assert base.critical_extensions == {"issuing_distribution_point"}
    assert delta.critical_extensions == {"issuing_distribution_point", "delta_crl_indicator"}


@pytest.mark.parametrize(
    ("number", "until", "entries", "base", "freshest"),
    [
        (1, NOW, [], None, None),
        (1, LATER, [(1, NOW, 7)], None, None),
        (1, LATER, [(1, NOW, "stolen")], None, None),
        (1, LATER, [], 2, None),
        (2, LATER, [], 1, DELTA_URL),
    ],
)
def test_what_contradicts_itself(
    issuing: x509.Certificate,
    issuing_signer: Signer,
    number: int,
    until: datetime,
    entries: list[Entry],
    base: int | None,
    freshest: str | None,
) -> None:
    with pytest.raises(RevocationListError):
        build_crl(issuing, issuing_signer, number, NOW, until, entries, base, BASE_URL, freshest)


@pytest.mark.clause("CP-2.1")
@pytest.mark.parametrize(("delta_point", "refused"), [(BASE_URL, True), (DELTA_URL, False)])
def test_openssl_applies_a_delta_of_the_same_distribution_point_only(
    root: x509.Certificate,
    root_signer: Signer,
    issuing: x509.Certificate,
    issuing_signer: Signer,
    certify: Callable[..., x509.Certificate],
    signer: Callable[..., Signer],
    tmp_path: Path,
    delta_point: str,
    refused: bool,
) -> None:
    """RFC 5280 section 5.2.4: a delta with another issuing distribution point than its base's is not applied."""
    name = DistinguishedName(country="KZ", organization="Мекеме", common_name="user")
    leaf = certify("tsp", name, signer("p256").public_key_info, issuing, issuing_signer)
    base = build_crl(issuing, issuing_signer, 1, NOW, LATER, [], None, BASE_URL, DELTA_URL)
    delta = build_crl(issuing, issuing_signer, 2, NOW, LATER, [(leaf.serial_number, NOW, 1)], 1, delta_point)
    above = build_crl(root, root_signer, 1, NOW, LATER, [], None, BASE_URL)
    for file, kind, der in (
        ("root", "CERTIFICATE", root.dump()),
        ("issuing", "CERTIFICATE", issuing.dump()),
        ("leaf", "CERTIFICATE", leaf.dump()),
    ):
        (tmp_path / file).write_bytes(pem.armor(kind, der))
    (tmp_path / "crls").write_bytes(b"".join(pem.armor("X509 CRL", each) for each in (base, delta, above)))
    options = ["-crl_check_all", "-extended_crl", "-use_deltas", "-CRLfile", "crls"]
    command = ["openssl", "verify", *options, "-CAfile", "root", "-untrusted", "issuing", "leaf"]
    answer = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert ("certificate revoked" in answer.stderr) is refused, answer.stderr


@given(
    st.integers(0, 2**160 - 1), st.datetimes(datetime(1970, 1, 1), datetime(2120, 1, 1)), st.sampled_from([None, 1, 9])
)
def test_an_entry_is_what_asn1crypto_encodes(serial: int, moment: datetime, reason: int | None) -> None:
    """UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 5.1.2.6)."""
    encoded = encode_entry(serial, moment.replace(tzinfo=UTC), reason)
    assert crl.RevokedCertificate.load(encoded, strict=True).dump(force=True) == encoded


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "ed25519"])
def test_a_file_is_the_same_list(
    issuing: x509.Certificate, signer: Callable[..., Signer], tmp_path: Path, kind: str, count: int
) -> None:
    """One entry a piece or many; keys that sign hashes, and those that hash by themselves."""
    own = signer(kind)
    issuer = issuing.copy()
    issuer["tbs_certificate"]["subject_public_key_info"] = keys.PublicKeyInfo.load(own.public_key_info)
    entries = [(serial, NOW, serial % 2) for serial in range(count)]
    encoded = [encode_entry(*entry) for entry in entries]
    path = tmp_path / "list.crl"
    write_crl(
        path, Scope(issuer, 7, NOW, LATER, None, BASE_URL, DELTA_URL), own, [b"".join(encoded[:500]), *encoded[500:]]
    )
    made = path.read_bytes()
    assert crl.CertificateList.load(made, strict=True).dump(force=True) == made
    if kind == "rsa2048":  # signs alike each time
        assert made == build_crl(issuer, own, 7, NOW, LATER, entries, None, BASE_URL, DELTA_URL)
    verifier = Verifier(own.public_key_info, own.digest)
    assert verify_crl(path, verifier)
    assert [file.name for file in tmp_path.iterdir()] == ["list.crl"]
    damaged = bytearray(made)
    damaged[len(damaged) // 3] ^= 1
    path.write_bytes(damaged)
    assert not verify_crl(path, verifier)
    path.write_bytes(made + b"\0")
    with pytest.raises(DerError, match="after the list"):
        verify_crl(path, verifier)


@pytest.mark.parametrize("octets", [2**16, 2**24 - 2000, 2**24 - 100, 2**24 - 1, 2**24, 2**24 + 1])
def test_a_long_list_is_whole_however_long_its_lengths_are(
    issuing: x509.Certificate, issuing_signer: Signer, tmp_path: Path, octets: int
) -> None:
    """The lengths of the list, of what is signed and of the file may have three octets each, or four."""
    entries, path = os.urandom(octets), tmp_path / "list.crl"
    write_crl(path, Scope(issuing, 7, NOW, LATER), issuing_signer, [entries[:99], entries[99:]])
    assert verify_crl(path, Verifier(issuing_signer.public_key_info, issuing_signer.digest))
    listed = Reader(path.read_bytes()).enter(SEQUENCE).enter(SEQUENCE)
    for _ in range(5):  # version, algorithm, issuer, thisUpdate, nextUpdate
        listed.skip()
    assert listed.contents(SEQUENCE) == entries


def test_a_list_is_made_and_verified_in_constant_memory(
    issuing: x509.Certificate, issuing_signer: Signer, tmp_path: Path
) -> None:
    """Threat: with millions revoked, the CA's host runs out of memory when a CRL is due."""
    path, verifier = tmp_path / "list.crl", Verifier(issuing_signer.public_key_info, issuing_signer.digest)
    tracemalloc.start()
    try:
        write_crl(path, Scope(issuing, 7, NOW, LATER), issuing_signer, (os.urandom(2**19) for _ in range(128)))
        assert verify_crl(path, verifier)
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 16
    finally:
        tracemalloc.stop()


def test_a_list_that_cannot_be_finished_leaves_the_old_one(
    issuing: x509.Certificate, issuing_signer: Signer, tmp_path: Path
) -> None:
    def entries() -> Iterator[bytes]:
        yield encode_entry(1, NOW, None)
        raise ConnectionError("the database went away")

    path = tmp_path / "list.crl"
    path.write_bytes(b"yesterday's")
    with pytest.raises(ConnectionError):
        write_crl(path, Scope(issuing, 2, NOW, LATER), issuing_signer, entries())
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"yesterday's"]
