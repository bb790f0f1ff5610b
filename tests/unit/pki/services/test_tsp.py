"""Time-stamp requests and tokens, with OpenSSL as judge."""

import hashlib
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core
from asn1crypto import tsp as asn1
from hypothesis import given
from hypothesis import strategies as st

from kepil.pki import der, tsp
from kepil.pki.clock import ClockError
from kepil.pki.credential import Credential, CredentialError, read_certificate
from kepil.pki.settings import KeySettings

NOW = datetime(2026, 11, 21, 6, 0, 0, 123456, UTC)
POLICY = "1.2.398.3.3.2.6.2"


class FixedClock:
    """A clock that stands, as wrong as the test says."""

    def __init__(self, error_seconds: float | None = 0.001) -> None:
        self.error_seconds = error_seconds

    def now(self) -> datetime:
        return NOW

    def maximum_error_seconds(self) -> float:
        if self.error_seconds is None:
            raise ClockError("not synchronised")
        return self.error_seconds


MakeUnit = Callable[..., tsp.StampingUnit]


@pytest.fixture(scope="session")
def make_unit(issued_files: Path) -> MakeUnit:
    """A stamping unit of the hierarchy."""
    own = KeySettings(certificate=issued_files / "tsp.crt", key=str(issued_files / "tsp.key"))
    credential = Credential.open(own, purpose="time_stamping")
    chain = [read_certificate(issued_files / "ca.crt")]

    def make(error_seconds: float | None = 0.001, accuracy_ms: int = 1000, **options: bool) -> tsp.StampingUnit:
        accuracy = timedelta(milliseconds=accuracy_ms)
        return tsp.StampingUnit(POLICY, credential, chain, FixedClock(error_seconds), accuracy, **options)

    return make


def query(**changes: Any) -> bytes:
    """A TimeStampReq of SHA-256 over `document`."""
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": hashlib.sha256(b"document").digest()}
    return bytes(asn1.TimeStampReq({"version": "v1", "message_imprint": imprint, "cert_req": True, **changes}).dump())


def statement(response: bytes) -> Any:
    """The TSTInfo of a granted response."""
    decoded = tsp.Response.load(response, strict=True)
    assert decoded["status"]["status"].native == "granted"
    return decoded["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed


def openssl(folder: Path, *command: str) -> str:
    done = subprocess.run(["openssl", *command], cwd=folder, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.clause("CP-2.2")
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512", "sha3-256"])
@pytest.mark.parametrize("certificates", [True, False])
def test_openssl_verifies_the_token(
    issued_files: Path, make_unit: MakeUnit, tmp_path: Path, digest: str, certificates: bool
) -> None:
    (tmp_path / "document").write_bytes(b"document")
    options = ["-cert"] if certificates else []
    openssl(tmp_path, "ts", "-query", "-data", "document", f"-{digest}", *options, "-out", "q.tsq")
    request = tsp.read_request((tmp_path / "q.tsq").read_bytes())
    assert request.certificates is certificates
    (tmp_path / "r.tsr").write_bytes(make_unit().stamp(request))
    trust = ["-CAfile", str(issued_files / "ca.crt"), "-untrusted", str(issued_files / "tsp.crt")]
    assert "Verification: OK" in openssl(tmp_path, "ts", "-verify", "-in", "r.tsr", "-queryfile", "q.tsq", *trust)
    (tmp_path / "document").write_bytes(b"another")
    assert "FAILED" in openssl(tmp_path, "ts", "-verify", "-in", "r.tsr", "-data", "document", *trust)


def test_the_token_is_cms_that_openssl_verifies(issued_files: Path, make_unit: MakeUnit, tmp_path: Path) -> None:
    response = tsp.Response.load(make_unit().stamp(tsp.read_request(query())))
    (tmp_path / "token.der").write_bytes(response["time_stamp_token"].dump())
    trust = ["-CAfile", str(issued_files / "ca.crt"), "-purpose", "timestampsign"]
    verify = ["cms", "-verify", "-inform", "DER", "-in", "token.der", *trust, "-out", "statement.der"]
    assert "Verification successful" in openssl(tmp_path, *verify)
    assert asn1.TSTInfo.load((tmp_path / "statement.der").read_bytes())["policy"].native == POLICY


def test_the_statement_says_what_was_asked_and_when(make_unit: MakeUnit) -> None:
    said = statement(make_unit().stamp(tsp.read_request(query(nonce=2**70 + 1, req_policy=POLICY))))
    assert said["nonce"].native == 2**70 + 1
    assert said["gen_time"].native == NOW.replace(microsecond=123000)
    assert said["accuracy"].native == {"seconds": 1, "millis": None, "micros": None}
    assert said["ordering"].native is False
    assert said["message_imprint"].dump() == asn1.TimeStampReq.load(query())["message_imprint"].dump()


def test_no_nonce_asked_none_given_and_absent_hash_parameters_stay_absent(make_unit: MakeUnit) -> None:
    imprint = bytes.fromhex("302f 300b 0609608648016503040201 0420") + bytes(32)
    encoded = der.wrap(der.SEQUENCE, der.integer(1), imprint)
    said = statement(make_unit().stamp(tsp.read_request(encoded)))
    assert said["nonce"].native is None
    assert said["message_imprint"].dump() == asn1.TimeStampReq.load(encoded)["message_imprint"].dump()


@pytest.mark.parametrize("changes", [{}, {"nonce": 2**2000}, {"nonce": -1}, {"cert_req": False}])
def test_what_is_spliced_is_what_asn1crypto_encodes(make_unit: MakeUnit, changes: dict[str, Any]) -> None:
    response = make_unit().stamp(tsp.read_request(query(**changes)))
    assert tsp.Response.load(response, strict=True).dump(force=True) == response
    said = statement(response)
    assert said.dump(force=True) == said.dump()
    assert said["nonce"].native == changes.get("nonce")


def test_whole_seconds_and_millisecond_accuracy(make_unit: MakeUnit) -> None:
    said = statement(make_unit(accuracy_ms=2500, milliseconds=False).stamp(tsp.read_request(query())))
    assert said["gen_time"].native == NOW.replace(microsecond=0)
    assert said["accuracy"].native == {"seconds": 2, "millis": 500, "micros": None}


def test_signed_attributes_are_a_der_set_and_name_the_certificate(make_unit: MakeUnit) -> None:
    """RFC 5652 section 5.4, RFC 5816 section 2.2.1."""
    unit = make_unit()
    signed = tsp.Response.load(unit.stamp(tsp.read_request(query())))["time_stamp_token"]["content"]
    attributes = signed["signer_infos"][0]["signed_attrs"]
    encoded = [one.dump() for one in attributes]
    assert encoded == sorted(encoded)
    by_name = {one["type"].native: one["values"][0] for one in attributes}
    assert set(by_name) == {"content_type", "message_digest", "signing_certificate_v2"}
    named = by_name["signing_certificate_v2"]["certs"][0]
    assert named["cert_hash"].native == hashlib.sha256(unit.certificate.dump()).digest()
    assert named["issuer_serial"]["serial_number"].native == unit.certificate.serial_number
    assert [one.chosen.subject.native["common_name"] for one in signed["certificates"]] == ["ca", "tsp"]


def test_serials_never_repeat() -> None:
    """RFC 3161 section 2.4.2, also over nodes and restarts: same instant, other serial; positive, 128 bits at most."""
    serials = {tsp.new_serial(NOW) for _ in range(1000)}
    assert len(serials) == 1000
    assert all(0 < serial < 2**127 for serial in serials)
    assert tsp.new_serial(NOW + timedelta(microseconds=1)) > max(serials)


def weak(name: str, length: int) -> bytes:
    return query(message_imprint={"hash_algorithm": {"algorithm": name}, "hashed_message": bytes(length)})


@pytest.mark.parametrize(
    ("encoded", "failure"),
    [
        (weak("sha1", 20), "bad_alg"),
        (weak("md5", 16), "bad_alg"),
        (weak("1.2.3.4", 32), "bad_alg"),
        (weak("sha256", 31), "bad_data_format"),
        (query(version="v2"), "bad_request"),
        (query(extensions=[{"extn_id": "1.2.3.4", "extn_value": b"x"}]), "unaccepted_extensions"),
        (query() + b"\0", "bad_data_format"),
        (b"", "bad_data_format"),
        (b"GET / HTTP/1.1", "bad_data_format"),
    ],
    ids=["sha1", "md5", "unknown", "length", "version", "extension", "trailing", "empty", "not-asn1"],
)
def test_requests_that_cannot_be_stamped(encoded: bytes, failure: str) -> None:
    """RFC 3161 section 2.4.2 names each failure."""
    with pytest.raises(tsp.RejectionError) as caught:
        tsp.read_request(encoded)
    response = tsp.Response.load(tsp.rejection(caught.value), strict=True)
    assert response["status"]["status"].native == "rejection"
    assert response["status"]["fail_info"].native == {failure}
    assert isinstance(response["time_stamp_token"], core.Void)


def test_rejections_are_der_that_openssl_reads(tmp_path: Path) -> None:
    (tmp_path / "r.tsr").write_bytes(tsp.rejection(tsp.TimeNotAvailableError("the clock is not synchronised")))
    said = openssl(tmp_path, "ts", "-reply", "-in", "r.tsr", "-text")
    assert "Rejected" in said
    assert "not synchronised" in said
    assert tsp.rejection(tsp.BadAlgorithmError("x")).endswith(bytes.fromhex("03020780"))  # no trailing zero bits


@pytest.mark.parametrize("error_seconds", [None, 0.9995, 3600.0])
def test_a_doubtful_clock_stamps_nothing(make_unit: MakeUnit, error_seconds: float | None) -> None:
    """EN 319 421 section 7.7: no token outside the stated accuracy."""
    with pytest.raises(tsp.TimeNotAvailableError):
        make_unit(error_seconds).stamp(tsp.read_request(query()))


def test_the_policy_chooses_the_unit(make_unit: MakeUnit) -> None:
    units = [make_unit()]
    assert tsp.choose_unit(units, None) is units[0]
    assert tsp.choose_unit(units, core.ObjectIdentifier(POLICY).contents) is units[0]
    with pytest.raises(tsp.UnacceptedPolicyError, match=POLICY):
        tsp.choose_unit(units, core.ObjectIdentifier("1.2.3").contents)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_rejected(encoded: bytes) -> None:
    with pytest.raises(tsp.RejectionError):
        tsp.read_request(encoded)


@given(data=st.data())
def test_damaged_requests_get_a_token_or_a_rejection(make_unit: MakeUnit, data: st.DataObject) -> None:
    encoded = bytearray(query(nonce=77, req_policy=POLICY))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        request = tsp.read_request(bytes(encoded))
        response = tsp.choose_unit([make_unit()], request.policy).stamp(request)
    except tsp.RejectionError as error:
        response = tsp.rejection(error)
    assert tsp.Response.load(response, strict=True).native["status"]["status"] in ("granted", "rejection")


@pytest.mark.clause("CP-2.2")
def test_a_unit_whose_certificate_has_expired_stamps_nothing(make_unit: MakeUnit) -> None:
    """EN 319 421 section 7.6: an attempt to stamp with a key past its life is rejected."""
    unit, request = make_unit(), tsp.read_request(query())
    unit.ends = NOW - timedelta(seconds=1)
    with pytest.raises(tsp.ExpiredError) as rejected:
        unit.stamp(request)
    assert tsp.Response.load(tsp.rejection(rejected.value))["status"]["fail_info"].native == {"system_failure"}


@pytest.mark.parametrize("usage", ["timeStamping", "critical,timeStamping,codeSigning"])
def test_a_certificate_for_more_than_stamping_is_found_at_start(issued_files: Path, tmp_path: Path, usage: str) -> None:
    """RFC 3161 section 2.3: the usage stands alone and is critical. Verifiers refuse every token otherwise."""
    key, certificate = issued_files / "tsp.key", tmp_path / "tsp.crt"
    command = f"req -x509 -key {key} -out {certificate} -utf8 -subj /CN=tsp -addext extendedKeyUsage={usage}"
    subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    with pytest.raises(CredentialError, match="alone, and critical"):
        Credential.open(KeySettings(certificate=certificate, key=str(key)), purpose="time_stamping")
