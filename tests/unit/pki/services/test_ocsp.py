"""OCSP requests and responses, with OpenSSL and pkilint as judges."""

import base64
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import ocsp as asn1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kepil.pki import ocsp
from kepil.pki.credential import Credential, CredentialError, read_certificate
from kepil.pki.settings import KeySettings, ResponderSettings
from kepil.pki.status import CertificateStatus

NOW = datetime.now(UTC)
YESTERDAY = NOW - timedelta(days=1)
USER = 4
SHA256 = bytes.fromhex("608648016503040201")
MakeRequest = Callable[..., bytes]


@pytest.fixture(scope="session")
def make_request(issued_files: Path) -> MakeRequest:
    """A request by `openssl ocsp` for serials under the CA."""

    def make(*options: str, serials: tuple[int, ...] = (USER,), digest: str = "sha256") -> bytes:
        ask = [argument for serial in serials for argument in (f"-{digest}", "-serial", str(serial))]
        command = ["openssl", "ocsp", "-issuer", "ca.crt", *ask, *(options or ("-no_nonce",)), "-reqout", "-"]
        return subprocess.run(command, cwd=issued_files, check=True, capture_output=True).stdout

    return make


@pytest.fixture(scope="session")
def responder(issued_files: Path) -> ocsp.Responder:
    """The CA's delegated responder."""
    own = ResponderSettings(
        authority="nca-rsa",
        issuer=issued_files / "ca.crt",
        certificate=issued_files / "ocsp.crt",
        key=str(issued_files / "ocsp.key"),
    )
    issuer = read_certificate(own.issuer)
    credential = Credential.open(own, purpose="ocsp_signing", issuer=issuer)
    return ocsp.Responder(own.authority, issuer, credential, timedelta(hours=1))


Respond = Callable[[bytes, dict[int, CertificateStatus]], bytes]


@pytest.fixture(scope="session")
def respond(responder: ocsp.Responder) -> Respond:
    """Request and statuses to response."""
    responders = dict.fromkeys(responder.issuer_ids, responder)

    def answer(encoded: bytes, statuses: dict[int, CertificateStatus]) -> bytes:
        request = ocsp.read_request(encoded)
        return ocsp.find_responder(responders, request).respond(request, statuses, NOW).encoded

    return answer


def single(response: bytes, at: int = 0) -> Any:
    """One SingleResponse."""
    return asn1.OCSPResponse.load(response, strict=True).response_data["responses"][at]


def judge(folder: Path, response: bytes, tmp_path: Path, *options: str) -> str:
    """What `openssl ocsp` says about the response, its signature and the responder's delegation included."""
    path = tmp_path / "response.der"
    path.write_bytes(response)
    command = ["openssl", "ocsp", "-respin", str(path), "-CAfile", "ca.crt", "-issuer", "ca.crt", "-no_nonce", *options]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.clause("CP-7.2")
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_good_for_each_way_to_name_the_issuer(
    make_request: MakeRequest, respond: Respond, issued_files: Path, tmp_path: Path, digest: str
) -> None:
    response = respond(make_request(digest=digest), {USER: CertificateStatus()})
    said = judge(issued_files, response, tmp_path, f"-{digest}", "-serial", str(USER))
    assert "Response verify OK" in said
    assert f"{USER}: good" in said


def test_revoked_states_time_and_reason(
    make_request: MakeRequest, respond: Respond, issued_files: Path, tmp_path: Path
) -> None:
    revoked = CertificateStatus(YESTERDAY, reason=1)
    response = respond(make_request(), {USER: revoked})
    assert single(response)["cert_status"].chosen["revocation_time"].native == YESTERDAY.replace(microsecond=0)
    said = judge(issued_files, response, tmp_path, "-sha256", "-serial", str(USER))
    assert "revoked" in said
    assert "keyCompromise" in said


def test_reason_unspecified_is_left_out(make_request: MakeRequest, respond: Respond) -> None:
    """RFC 5280 section 5.3.1."""
    response = respond(make_request(), {USER: CertificateStatus(NOW, reason=0)})
    assert single(response)["cert_status"].chosen["revocation_reason"].native is None


def test_a_serial_never_issued_is_unknown_not_good(make_request: MakeRequest, respond: Respond) -> None:
    response = respond(make_request(serials=(999,)), {USER: CertificateStatus()})
    assert single(response)["cert_status"].name == "unknown"


def test_many_certificates_are_answered_in_order(make_request: MakeRequest, respond: Respond) -> None:
    response = respond(make_request(serials=(USER, 999)), {USER: CertificateStatus()})
    assert [single(response, at)["cert_id"]["serial_number"].native for at in (0, 1)] == [USER, 999]
    assert [single(response, at)["cert_status"].name for at in (0, 1)] == ["good", "unknown"]


def test_the_response_says_who_when_and_until_when(
    make_request: MakeRequest, respond: Respond, responder: ocsp.Responder
) -> None:
    """RFC 6960 sections 4.2.1 and 4.2.2.2: byKey, the delegated certificate included, times in whole seconds."""
    response = asn1.OCSPResponse.load(respond(make_request(), {USER: CertificateStatus()}), strict=True)
    assert response.response_data["responder_id"].name == "by_key"
    assert response.response_data["responder_id"].native == responder.certificate.key_identifier  # RFC 5280 4.2.1.2 (1)
    assert [one.dump() for one in response.basic_ocsp_response["certs"]] == [responder.certificate.dump()]
    one = response.response_data["responses"][0]
    assert one["this_update"].native == NOW.replace(microsecond=0)
    assert one["next_update"].native - one["this_update"].native == timedelta(hours=1)


def test_the_certificate_id_is_echoed_to_the_byte(make_request: MakeRequest, respond: Respond) -> None:
    encoded = make_request()
    asked = asn1.OCSPRequest.load(encoded)["tbs_request"]["request_list"][0]["req_cert"]
    assert single(respond(encoded, {}))["cert_id"].dump() == asked.dump()


def test_absent_hash_parameters_stay_absent(make_request: MakeRequest, respond: Respond) -> None:
    """RFC 5754 section 2 lets requesters leave the NULL out."""
    encoded = make_request()
    bare = encoded.replace(b"\x30\x0d\x06\x09" + SHA256 + b"\x05\x00", b"\x30\x0b\x06\x09" + SHA256)
    outer = len(encoded) - len(bare)
    assert outer == 2
    bare = b"".join(  # four values around it are two octets shorter
        bytes((octet - 2,)) if at in {1, 3, 5, 7, 9} and encoded[at - 1] == 0x30 else bytes((octet,))
        for at, octet in enumerate(bare)
    )
    asked = asn1.OCSPRequest.load(bare, strict=True)["tbs_request"]["request_list"][0]["req_cert"]
    assert asked["hash_algorithm"]["parameters"].dump() == b""
    answered = single(respond(bare, {USER: CertificateStatus()}))
    assert answered["cert_id"].dump() == asked.dump()
    assert answered["cert_status"].name == "good"


STATUSES = {
    "good": CertificateStatus(),
    "revoked": CertificateStatus(YESTERDAY, 4),
    "no reason": CertificateStatus(YESTERDAY, 0),
    "unknown": None,
}


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES.keys())
@pytest.mark.parametrize("nonce", [(), ("-nonce",)])
def test_what_is_spliced_is_what_asn1crypto_encodes(
    make_request: MakeRequest, respond: Respond, status: CertificateStatus | None, nonce: tuple[str, ...]
) -> None:
    for count in (1, 2, 30):  # lengths of one octet, two and three
        statuses = dict.fromkeys(range(count), status) if status else {}
        response = respond(make_request(*nonce, serials=tuple(range(count))), statuses)
        assert asn1.OCSPResponse.load(response, strict=True).dump(force=True) == response


@pytest.mark.parametrize("line", ["V", "R"])
def test_what_is_spliced_is_what_openssl_encodes(
    make_request: MakeRequest, responder: ocsp.Responder, issued_files: Path, tmp_path: Path, line: str
) -> None:
    """PKCS #1 v1.5 signs alike each time, so that whole responses compare."""
    revoked = "260101000000Z,superseded" if line == "R" else ""
    (tmp_path / "index.txt").write_text(f"{line}\t301231235959Z\t{revoked}\t{USER:02X}\tunknown\t/C=KZ/CN=user\n")
    (tmp_path / "request").write_bytes(make_request())
    server = f"-index {tmp_path}/index.txt -CA ca.crt -rsigner ocsp.crt -rkey ocsp.key -resp_key_id -nmin 60"
    files = f"-reqin {tmp_path}/request -respout {tmp_path}/response"
    subprocess.run(["openssl", "ocsp", *server.split(), *files.split()], cwd=issued_files, check=True)
    theirs = (tmp_path / "response").read_bytes()
    at = asn1.OCSPResponse.load(theirs).response_data["produced_at"].native
    status = CertificateStatus(datetime(2026, 1, 1, tzinfo=UTC), 4) if line == "R" else CertificateStatus()
    assert responder.respond(ocsp.read_request(make_request()), {USER: status}, at).encoded == theirs


def with_nonce(encoded: bytes, nonce: bytes, *, extra: list[dict[str, Any]] | None = None) -> bytes:
    """The request with a nonce and other extensions."""
    request = asn1.OCSPRequest.load(encoded)
    extensions = [{"extn_id": "nonce", "extn_value": asn1.OctetString(nonce)}, *(extra or [])]
    request["tbs_request"]["request_extensions"] = extensions
    return bytes(request.dump(force=True))


@pytest.mark.parametrize("length", [1, 16, 32, 128])
def test_nonce_comes_back(make_request: MakeRequest, respond: Respond, length: int) -> None:
    """RFC 9654 section 2.1."""
    nonce = bytes(range(length))
    response = respond(with_nonce(make_request(), nonce), {USER: CertificateStatus()})
    assert asn1.OCSPResponse.load(response).nonce_value.native == nonce


def test_openssl_accepts_its_own_nonce(
    make_request: MakeRequest, respond: Respond, issued_files: Path, tmp_path: Path
) -> None:
    request = tmp_path / "request.der"
    request.write_bytes(make_request("-nonce"))
    response = respond(request.read_bytes(), {USER: CertificateStatus()})
    (tmp_path / "response.der").write_bytes(response)
    files = ["-reqin", str(request), "-respin", str(tmp_path / "response.der")]
    command = ["openssl", "ocsp", *files, "-CAfile", "ca.crt"]
    done = subprocess.run(command, cwd=issued_files, check=True, capture_output=True, text=True)
    assert "Response verify OK" in done.stdout + done.stderr
    assert "nonce" not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("length", [0, 129])
def test_nonce_of_wrong_length_is_malformed(make_request: MakeRequest, length: int) -> None:
    """RFC 9654 section 2.1."""
    with pytest.raises(ocsp.MalformedRequestError, match="nonce"):
        ocsp.read_request(with_nonce(make_request(), bytes(length)))


@pytest.mark.parametrize(("critical", "refused"), [(True, True), (False, False)])
def test_unknown_extensions_matter_only_when_critical(make_request: MakeRequest, critical: bool, refused: bool) -> None:
    """RFC 6960 section 4.4."""
    extra = {"extn_id": "1.2.3.4", "critical": critical, "extn_value": b"\x05\x00"}
    encoded = with_nonce(make_request(), b"12345678", extra=[extra])
    if refused:
        with pytest.raises(ocsp.MalformedRequestError, match=r"1\.2\.3\.4"):
            ocsp.read_request(encoded)
    else:
        assert ocsp.read_request(encoded).nonce == b"12345678"


def test_an_extension_twice_is_malformed(make_request: MakeRequest) -> None:
    again = {"extn_id": "nonce", "extn_value": asn1.OctetString(b"other")}
    with pytest.raises(ocsp.MalformedRequestError, match="twice"):
        ocsp.read_request(with_nonce(make_request(), b"12345678", extra=[again]))


def test_trailing_bytes_and_no_certificates_are_malformed(make_request: MakeRequest) -> None:
    for encoded in (make_request() + b"\0", bytes.fromhex("300430023000"), b"", b"\x30\x80"):
        with pytest.raises(ocsp.MalformedRequestError):
            ocsp.read_request(encoded)


def test_another_issuer_is_unauthorized(issued_files: Path, make_request: MakeRequest, respond: Respond) -> None:
    """RFC 5019 section 2.2.3; nor may one signature speak for two issuers."""
    command = ["openssl", "ocsp", "-issuer", "user.crt", "-serial", str(USER), "-no_nonce", "-reqout", "-"]
    foreign = subprocess.run(command, cwd=issued_files, check=True, capture_output=True).stdout
    with pytest.raises(ocsp.UnauthorizedError):
        respond(foreign, {USER: CertificateStatus()})
    both = [asn1.OCSPRequest.load(one)["tbs_request"]["request_list"][0] for one in (make_request(), foreign)]
    with pytest.raises(ocsp.UnauthorizedError):
        respond(asn1.OCSPRequest({"tbs_request": {"request_list": both}}).dump(), {USER: CertificateStatus()})


@pytest.mark.parametrize(
    ("error", "octet"),
    [(ocsp.MalformedRequestError, 1), (ocsp.OcspError, 2), (ocsp.TryLaterError, 3), (ocsp.UnauthorizedError, 6)],
)
def test_errors_are_encoded_as_rfc_6960_numbers_them(error: type[ocsp.OcspError], octet: int) -> None:
    assert ocsp.error_response(error.status) == bytes.fromhex("30030a01") + bytes([octet])


@pytest.mark.parametrize(
    "status", [CertificateStatus(), CertificateStatus(YESTERDAY, 4), None], ids=["good", "revoked", "unknown"]
)
def test_pkilint_finds_nothing(
    make_request: MakeRequest, respond: Respond, tmp_path: Path, status: CertificateStatus | None
) -> None:
    path = tmp_path / "response.pem"
    encoded = base64.encodebytes(respond(make_request(), {USER: status} if status else {})).decode()
    path.write_text(f"-----BEGIN OCSP RESPONSE-----\n{encoded}-----END OCSP RESPONSE-----\n")
    done = subprocess.run(
        ["lint_ocsp_response", "lint", "-s", "INFO", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (0, "", "")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_malformed(encoded: bytes) -> None:
    with pytest.raises(ocsp.MalformedRequestError):
        ocsp.read_request(encoded)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_requests_get_an_answer_or_an_ocsp_error(
    make_request: MakeRequest, respond: Respond, data: st.DataObject
) -> None:
    encoded = bytearray(VALID.setdefault("request", with_nonce(make_request(), b"12345678")))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        response = respond(bytes(encoded), {USER: CertificateStatus()})
    except (ocsp.MalformedRequestError, ocsp.UnauthorizedError):
        return
    assert asn1.OCSPResponse.load(response, strict=True).native["response_status"] == "successful"


VALID: dict[str, bytes] = {}


@pytest.mark.parametrize(
    ("certificate", "key", "complaint"),
    [
        ("tsp.crt", "tsp.key", "lacks the extended key usage"),
        ("ocsp.crt", "tsp.key", "certifies another key"),
        ("missing.crt", "ocsp.key", "missing.crt: No such file"),
        ("ocsp.key", "ocsp.key", "holds no certificate"),
    ],
)
def test_wrong_certificates_are_found_at_start(issued_files: Path, certificate: str, key: str, complaint: str) -> None:
    own = KeySettings(certificate=issued_files / certificate, key=str(issued_files / key))
    with pytest.raises(CredentialError, match=complaint):
        Credential.open(own, purpose="ocsp_signing", issuer=read_certificate(issued_files / "ca.crt"))
    with pytest.raises(CredentialError):
        Credential.open(own, purpose="ocsp_signing", issuer=read_certificate(issued_files / "user.crt"))


@pytest.mark.clause("CP-7.2")
def test_a_responder_of_a_former_key_of_the_issuer_is_found_at_start(issued_files: Path, tmp_path: Path) -> None:
    """RFC 6960 section 4.2.2.2. Threat: after a re-key under the same name every client refuses every answer."""
    command = "req -x509 -newkey rsa:2048 -nodes -keyout key -out ca.crt -utf8 -subj /C=KZ/CN=ca"
    subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    namesake = read_certificate(tmp_path / "ca.crt")
    own = KeySettings(certificate=issued_files / "ocsp.crt", key=str(issued_files / "ocsp.key"))
    assert namesake.subject.dump() == read_certificate(own.certificate).issuer.dump()
    with pytest.raises(CredentialError, match="with the key of its certificate here"):
        Credential.open(own, purpose="ocsp_signing", issuer=namesake)


def test_no_response_outlives_the_certificate_that_verifies_it(
    responder: ocsp.Responder, make_request: MakeRequest
) -> None:
    request = ocsp.read_request(make_request())
    last = responder.respond(request, {}, responder.ends - timedelta(seconds=1))
    assert last.next_update == responder.ends
    with pytest.raises(ocsp.ExpiredError, match="nca-rsa expired"):
        responder.respond(request, {}, responder.ends)
    assert ocsp.ExpiredError.status == "internal_error"
