"""What the authority's key is about to sign is read by other code first, and a fault stops it (CP-7.1)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import core, x509

from kepil.pki import issuer as issuer_module
from kepil.pki.certificate import CertificateForm
from kepil.pki.issuer import Issuer
from kepil.pki.lint import Authority, LintError, lint
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import Profile
from kepil.pki.request import Asked, check, read_request
from kepil.pki.signer import Signer
from tests.unit.pki.core.conftest import URLS

SYSTEM = DistinguishedName(country="KZ", locality="Астана", organization="Мекеме", common_name="www.example.kz")


@pytest.fixture
def asked(profiles: dict[str, Profile], signer: Callable[..., Signer], make_request: Callable[..., bytes]) -> Asked:
    return check(
        read_request(make_request(signer("p256"), SYSTEM, ("www.example.kz",))), profiles["information-system"]
    )


@pytest.fixture
def authority(issuer: Issuer) -> Authority:
    return Authority.of(issuer.certificate, issuer.signer.signature_algorithm, URLS)


def tbs(certificate: x509.Certificate) -> Any:
    return certificate["tbs_certificate"]


def extension(certificate: x509.Certificate, name: str) -> Any:
    return next(each for each in tbs(certificate)["extensions"] if each["extn_id"].native == name)


def say(name: str, value: Any) -> Callable[[x509.Certificate], None]:
    def change(certificate: x509.Certificate) -> None:
        extension(certificate, name)["extn_value"] = value

    return change


def drop(name: str) -> Callable[[x509.Certificate], None]:
    def change(certificate: x509.Certificate) -> None:
        kept = [each for each in tbs(certificate)["extensions"] if each["extn_id"].native != name]
        tbs(certificate)["extensions"] = x509.Extensions(kept)

    return change


def turn_critical(name: str, critical: bool) -> Callable[[x509.Certificate], None]:
    def change(certificate: x509.Certificate) -> None:
        extension(certificate, name)["critical"] = critical

    return change


def add(extension: dict[str, Any]) -> Callable[[x509.Certificate], None]:
    return lambda certificate: tbs(certificate)["extensions"].append(x509.Extension(extension))


def put(field: str, value: Any) -> Callable[[x509.Certificate], None]:
    def change(certificate: x509.Certificate) -> None:
        tbs(certificate)[field] = value

    return change


def put_validity(**times: x509.Time) -> Callable[[x509.Certificate], None]:
    def change(certificate: x509.Certificate) -> None:
        for name, value in times.items():
            tbs(certificate)["validity"][name] = value

    return change


def uri(text: str) -> x509.GeneralName:
    return x509.GeneralName("uniform_resource_identifier", text)


ANOTHER_NAME = DistinguishedName(country="KZ", common_name="ҚР НКО").to_name()
LATER = x509.Time("utc_time", datetime.now(UTC).replace(microsecond=0) + timedelta(days=1))
POINT = {"distribution_point": x509.DistributionPointName("full_name", [uri("http://elsewhere.example.kz/")])}
FAULTS = {
    "version": put("version", "v1"),
    "short serial": put("serial_number", 2**63),
    "negative serial": put("serial_number", -(2**100)),
    "long serial": put("serial_number", 2**159),
    "issuer": put("issuer", ANOTHER_NAME),
    "subject": put("subject", ANOTHER_NAME),
    "empty subject": put("subject", x509.Name("", x509.RDNSequence([]))),
    "algorithm": put("signature", {"algorithm": "sha1_rsa"}),
    "begins later": put_validity(not_before=LATER),
    "ends later": put_validity(not_after=x509.Time("utc_time", datetime(2049, 1, 1, tzinfo=UTC))),
    "form of a time": put_validity(not_before=x509.Time("general_time", datetime(2030, 1, 1, tzinfo=UTC))),
    "unique identifier": put("subject_unique_id", core.OctetBitString(b"x")),
    "ca": add({"extn_id": "basic_constraints", "critical": True, "extn_value": {"ca": True}}),
    "unknown": add({"extn_id": "1.2.3.4", "extn_value": core.ParsableOctetString(b"\5\0")}),
    "twice": add({"extn_id": "key_identifier", "extn_value": bytes(20)}),
    "key usage": say("key_usage", {"digital_signature", "key_cert_sign"}),
    "purposes": say("extended_key_usage", ["server_auth", "client_auth", "code_signing"]),
    "order of purposes": say("extended_key_usage", ["client_auth", "server_auth"]),
    "key identifier": say("key_identifier", bytes(20)),
    "authority's key": say("authority_key_identifier", {"key_identifier": bytes(20)}),
    "policies": say("certificate_policies", [{"policy_identifier": "any_policy"}]),
    "host": say(
        "subject_alt_name", [x509.GeneralName("dns_name", "www.example.kz"), x509.GeneralName("dns_name", "b.kz")]
    ),
    "mail": say("subject_alt_name", [x509.GeneralName("rfc822_name", "a@example.kz")]),
    "access": say("authority_information_access", [{"access_method": "ocsp", "access_location": uri("http://a.kz")}]),
    "point": say("crl_distribution_points", [POINT]),
    "critical alt name": turn_critical("subject_alt_name", critical=True),
    "key usage not critical": turn_critical("key_usage", critical=False),
    **{
        f"no {name}": drop(name)
        for name in (
            *("key_usage", "extended_key_usage", "key_identifier", "authority_key_identifier", "subject_alt_name"),
            *("certificate_policies", "authority_information_access", "crl_distribution_points"),
        )
    },
}


@pytest.fixture
def sound(issuer: Issuer, profiles: dict[str, Profile], asked: Asked) -> bytes:
    return issuer.certify(profiles["information-system"], asked, None).der


def test_a_sound_certificate_passes(
    sound: bytes, profiles: dict[str, Profile], asked: Asked, authority: Authority
) -> None:
    lint(sound, profiles["information-system"], asked, authority)


@pytest.mark.clause("CP-7.1")
@pytest.mark.parametrize("fault", FAULTS)
def test_faults(sound: bytes, profiles: dict[str, Profile], asked: Asked, authority: Authority, fault: str) -> None:
    certificate = x509.Certificate.load(sound)
    FAULTS[fault](certificate)
    with pytest.raises(LintError, match="was not signed"):
        lint(certificate.dump(force=True), profiles["information-system"], asked, authority)


def test_no_changed_bit_of_what_is_signed_passes(
    sound: bytes, profiles: dict[str, Profile], asked: Asked, authority: Authority
) -> None:
    """But for the serial number, which may be any, and the time, which need only lie within the authority's."""
    signed = x509.Certificate.load(sound)["tbs_certificate"]
    free = set[int]()
    for each in (signed["serial_number"].contents, signed["validity"].contents):
        free.update(range(sound.index(each), sound.index(each) + len(each)))
    passed = []
    for place in set(range(4, 4 + len(signed.dump()))) - free:
        for bit in range(8):
            changed = bytearray(sound)
            changed[place] ^= 1 << bit
            try:
                lint(bytes(changed), profiles["information-system"], asked, authority)
                passed.append((place, bit))
            except LintError:
                continue
    assert passed == []


@pytest.mark.clause("CP-7.1")
def test_the_own_key_signs_the_linted_bytes_and_only_after(
    issuer: Issuer, profiles: dict[str, Profile], asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, sign, steps = issuer.signer, Signer.sign, list[tuple[str, bytes]]()

    def signing(signer: Signer, message: bytes) -> bytes:
        steps.append(("own" if signer is own else "throw-away", message))
        return sign(signer, message)

    def linting(certificate: bytes, *rest: Any) -> None:
        steps.append(("lint", x509.Certificate.load(certificate)["tbs_certificate"].dump()))
        lint(certificate, *rest)

    monkeypatch.setattr(Signer, "sign", signing)
    monkeypatch.setattr(issuer_module, "lint", linting)
    made = issuer.certify(profiles["information-system"], asked, None)
    signed = x509.Certificate.load(made.der)["tbs_certificate"].dump()
    assert steps == [("throw-away", signed), ("lint", signed), ("own", signed)]


def test_what_fails_the_lint_is_never_signed(
    issuer: Issuer, profiles: dict[str, Profile], asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat: a fault in the encoder, found only in certificates that are out already."""
    own, sign, fill = issuer.signer, Signer.sign, CertificateForm.fill

    def signing(signer: Signer, message: bytes) -> bytes:
        assert signer is not own, "the own key signed what failed the lint"
        return sign(signer, message)

    def a_ca(form: CertificateForm, *rest: Any, **more: Any) -> bytes:
        changed = x509.TbsCertificate.load(fill(form, *rest, **more))
        constraints = {"extn_id": "basic_constraints", "critical": True, "extn_value": {"ca": True}}
        changed["extensions"].append(x509.Extension(constraints))
        return bytes(changed.dump(force=True))

    monkeypatch.setattr(Signer, "sign", signing)
    monkeypatch.setattr(CertificateForm, "fill", a_ca)
    with pytest.raises(LintError, match=r"2\.5\.29\.19"):
        issuer.certify(profiles["information-system"], asked, None)


def test_the_spliced_certificate_is_what_asn1crypto_builds(
    issuer: Issuer, profiles: dict[str, Profile], asked: Asked
) -> None:
    made = x509.Certificate.load(issuer.certify(profiles["information-system"], asked, None).der, strict=True)
    made.native  # noqa: B018 - decodes to the last value
    assert made.dump(force=True) == made.dump()
    assert made.native["tbs_certificate"]["subject"]["common_name"] == "www.example.kz"
