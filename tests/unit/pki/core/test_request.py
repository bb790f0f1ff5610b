"""Requests: what is damaged, weak, not the requester's, or wrongly named is refused with its own code."""

from collections.abc import Callable

import pytest
from asn1crypto import csr, x509
from hypothesis import given
from hypothesis import strategies as st

from kepil.errors import KepilError
from kepil.pki.algorithm import by_key
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import NameNotAllowedError, Profile
from kepil.pki.public_key import WeakKeyError
from kepil.pki.request import MalformedRequestError, ProofOfPossessionError, check, read_request
from kepil.pki.signer import Signer

MakeSigner = Callable[..., Signer]
MakeRequest = Callable[..., bytes]
SYSTEM = DistinguishedName(country="KZ", locality="Астана", organization="Мекеме", common_name="www.example.kz")


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "p256", "p384"])
def test_only_subject_key_and_names_are_taken(
    profiles: dict[str, Profile], signer: MakeSigner, make_request: MakeRequest, kind: str
) -> None:
    key = signer(kind)
    asked = check(read_request(make_request(key, SYSTEM, ("www.example.kz",))), profiles["information-system"])
    assert (asked.subject, asked.public_key.info, asked.dns_names) == (SYSTEM, key.public_key_info, ("www.example.kz",))


@pytest.mark.parametrize("kind", ["rsa1024", "rsa-exponent-3", "secp256k1"])
def test_weak_keys(
    profiles: dict[str, Profile], signer: MakeSigner, make_request: MakeRequest, person: DistinguishedName, kind: str
) -> None:
    with pytest.raises(WeakKeyError) as refused:
        check(read_request(make_request(signer(kind), person)), profiles["natural-person"])
    assert refused.value.code == "weak-key"


def test_a_request_signed_by_another_key(
    profiles: dict[str, Profile], signer: MakeSigner, make_request: MakeRequest, person: DistinguishedName
) -> None:
    request = csr.CertificationRequest.load(make_request(signer("p256"), person))
    request["signature"] = signer("p256", "other").sign(request["certification_request_info"].dump())
    with pytest.raises(ProofOfPossessionError) as refused:
        check(read_request(request.dump()), profiles["natural-person"])
    assert refused.value.code == "proof-of-possession-failed"


@pytest.mark.parametrize(("key", "digest"), [("ed25519", ""), ("ec", "sha256")])
def test_a_signature_algorithm_that_does_not_go_with_the_key(
    profiles: dict[str, Profile],
    signer: MakeSigner,
    make_request: MakeRequest,
    person: DistinguishedName,
    key: str,
    digest: str,
) -> None:
    request = csr.CertificationRequest.load(make_request(signer("rsa2048"), person))
    request["signature_algorithm"] = x509.SignedDigestAlgorithm.load(by_key(key, digest).identifier)
    with pytest.raises(ProofOfPossessionError):
        check(read_request(request.dump(force=True)), profiles["natural-person"])


@pytest.mark.clause("CP-3.2")
@pytest.mark.parametrize(
    "change",
    [
        {"serial_number": "IIN970908300016"},
        {"serial_number": "BIN970908300017"},
        {"serial_number": None},
        {"country": None},
        {"organization": "Мекеме"},
    ],
)
def test_names_that_the_profile_does_not_allow(
    profiles: dict[str, Profile],
    signer: MakeSigner,
    make_request: MakeRequest,
    person: DistinguishedName,
    change: dict[str, str],
) -> None:
    request = make_request(signer("p256"), person.model_copy(update=change))
    with pytest.raises(NameNotAllowedError) as refused:
        check(read_request(request), profiles["natural-person"])
    assert refused.value.code == "name-not-allowed"


@pytest.mark.parametrize("name", ["*.example.kz", "localhost", "a_b.kz", "-a.kz", "192.0.2.1", "a b.kz"])
def test_names_that_are_no_host(
    profiles: dict[str, Profile], signer: MakeSigner, make_request: MakeRequest, name: str
) -> None:
    with pytest.raises(NameNotAllowedError):
        check(read_request(make_request(signer("p256"), SYSTEM, (name,))), profiles["information-system"])


@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        read_request(data)


@given(st.data())
def test_a_damaged_request_is_refused_and_nothing_else(
    profiles: dict[str, Profile],
    signer: MakeSigner,
    make_request: MakeRequest,
    person: DistinguishedName,
    data: st.DataObject,
) -> None:
    damaged = bytearray(make_request(signer("ed25519"), person))  # always the same bytes
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(KepilError):
        check(read_request(bytes(damaged)), profiles["natural-person"])


def test_what_follows_the_request_is_refused(
    signer: MakeSigner, make_request: MakeRequest, person: DistinguishedName
) -> None:
    with pytest.raises(MalformedRequestError):
        read_request(make_request(signer("p256"), person) + b"\x00")
