"""No private key of a subscriber enters, stays or leaves (CP-4.12): there is no place for one, and none is taken."""

import logging
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asn1crypto import core, csr, keys, pem, x509
from starlette.testclient import TestClient

import kepil.pki
from kepil.pki.request import Asked, CertificationRequest
from kepil.pki.settings import ENVIRONMENT_VARIABLE, CaSettings
from kepil.pki.signer import Signer
from kepil.pki.web.ca import create_app
from tests.unit.pki.ca.conftest import P256, openssl

SOURCES = Path(kepil.pki.__file__).parent
ISSUE = "/v1/certificates?authority=nca-rsa&profile=natural-person"


@pytest.fixture
def client(ca_settings: CaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """An officer's client of the service."""
    path = tmp_path / "ca.json"
    path.write_text(ca_settings.model_dump_json(exclude_none=True), "utf-8")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    with TestClient(create_app(), headers={"X-Client-Name": ca_settings.officers[0]}) as client:
        yield client


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A subscriber's private key, PKCS #8."""
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", P256[2], "-out", "subscriber.pem", folder=tmp_path)
    return tmp_path / "subscriber.pem"


def secret(key: Path) -> bytes:
    info = keys.PrivateKeyInfo.load(pem.unarmor(key.read_bytes())[2])
    return int(info["private_key"].parsed["private_key"].native).to_bytes(32, "big")


def request(key: Path, attributes: list[dict[str, Any]]) -> bytes:
    """A request of that key, properly signed, with attributes that nothing else would make."""
    signer = Signer.open(str(key))
    name = x509.Name.build({"country_name": "KZ", "common_name": "А", "serial_number": "IIN970908300017"})
    info = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": name,
            "subject_pk_info": keys.PublicKeyInfo.load(signer.public_key_info),
            "attributes": attributes,
        }
    )
    algorithm = x509.SignedDigestAlgorithm.load(signer.signature_algorithm)
    signed = {
        "certification_request_info": info,
        "signature_algorithm": algorithm,
        "signature": signer.sign(info.dump()),
    }
    return bytes(csr.CertificationRequest(signed).dump())


def extension(oid: str, value: bytes) -> list[dict[str, Any]]:
    return [
        {"type": "extension_request", "values": [[{"extn_id": oid, "extn_value": core.ParsableOctetString(value)}]]}
    ]


def bodies(key: Path) -> Iterator[tuple[str, bytes]]:
    armoured = key.read_bytes()
    plain = pem.unarmor(armoured)[2]
    folder, good = key.parent, request(key, [])
    openssl(
        *("req", "-x509", "-key", key.name, "-subj", "/CN=a", "-out", "a.crt"),
        folder=folder,
    )
    openssl(
        *("pkcs12", "-export", "-inkey", key.name, "-in", "a.crt", "-passout", "pass:a", "-out", "a.p12"),
        folder=folder,
    )
    openssl("pkcs8", "-topk8", "-in", key.name, "-passout", "pass:a", "-out", "encrypted.pem", folder=folder)
    openssl("ec", "-in", key.name, "-out", "sec1.pem", folder=folder)
    yield "PKCS #12", (folder / "a.p12").read_bytes()
    yield "PKCS #8", plain
    yield "PKCS #8, PEM", armoured
    yield "PKCS #8, encrypted", (folder / "encrypted.pem").read_bytes()
    yield "SEC 1", (folder / "sec1.pem").read_bytes()
    yield "after a request", pem.armor("CERTIFICATE REQUEST", good) + armoured
    yield "before a request", armoured + pem.armor("CERTIFICATE REQUEST", good)
    yield "behind a request", good + plain
    yield (
        "challenge password",
        request(key, [{"type": "challenge_password", "values": [x509.DirectoryString("utf8_string", plain.hex())]}]),
    )
    yield (
        "unknown attribute",
        request(key, [{"type": "1.2.3.4", "values": core.SetOf([core.OctetString(plain)], spec=core.OctetString)}]),
    )
    yield "unknown extension", request(key, extension("1.2.3.4", plain))
    yield (
        "host name",
        request(
            key, extension("2.5.29.17", x509.GeneralNames([x509.GeneralName("dns_name", plain.hex()[:60])]).dump())
        ),
    )


def rows(settings: CaSettings) -> str:
    """All that the database holds, as text."""
    with psycopg.connect(settings.database) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        return "".join(
            str(row)
            for (table,) in tables
            for row in connection.execute(f"select t::text from {table} t".encode()).fetchall()  # noqa: S608 - own names
        )


@pytest.mark.clause("CP-4.12")
def test_no_private_key_enters(
    client: TestClient, ca_settings: CaSettings, key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Threat: the state, or who breaks into it, holds what signs in a citizen's name."""
    caplog.set_level(logging.DEBUG)
    refused = {what: client.post(ISSUE, content=body).status_code for what, body in bodies(key)}
    assert set(refused.values()) <= {400, 422}, refused
    assert len(refused) == 12
    fields = {"Idempotency-Key": secret(key).hex(), "X-Private-Key": secret(key).hex()}
    with_fields = client.post(f"{ISSUE}&key={secret(key).hex()}", content=request(key, []), headers=fields)
    assert with_fields.status_code == 201, "an unknown field is not looked at"
    kept = rows(ca_settings) + caplog.text.replace(f"key={secret(key).hex()}", "") + with_fields.text
    assert secret(key).hex() not in kept
    assert pem.unarmor(key.read_bytes())[2].hex() not in kept


@pytest.mark.clause("CP-4.12")
def test_there_is_no_place_for_one() -> None:
    """What is read of a request, what is taken of it, and that the CA makes keys for nobody."""
    assert {each.name for each in fields(Asked)} == {"subject", "public_key", "dns_names"}
    assert {each.name for each in fields(CertificationRequest)} == {
        *("der", "signed", "subject", "public_key_info", "extensions", "algorithm", "signature")
    }
    handlers = ("authority", "certificate", "issuer", "request", "store", "web/ca")
    makers = [name for name in handlers if "genpkey" in (SOURCES / f"{name}.py").read_text("utf-8")]
    assert makers == [], "what serves requests makes no keys"
