"""Keys of every kind, and a small hierarchy made of them, for the tests of the PKI."""

import subprocess
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from asn1crypto import csr, keys, pem, x509

from kepil.pki.certificate import StatusUrls, build_tbs, new_serial, sign_certificate
from kepil.pki.issuer import Issuer
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import Profile, load_profiles
from kepil.pki.request import check, read_request
from kepil.pki.settings import AuthoritySettings
from kepil.pki.signer import Signer

COMMON_DATA = Path(__file__).parents[4] / "inventories/common/group_vars/all"

KEY_OPTIONS = {
    "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "rsa2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa3072": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    "rsa-exponent-3": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"],
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "secp256k1": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    "ed25519": ["-algorithm", "ED25519"],
}

URLS = StatusUrls(
    issuer="http://pki.example.kz/nca-rsa.crt",
    crl="http://pki.example.kz/nca-rsa.crl",
    delta_crl="http://pki.example.kz/nca-rsa-delta.crl",
    ocsp="http://ocsp.example.kz/",
)


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Give a private key file of a kind in KEY_OPTIONS; a second name gives a second key of that kind."""
    folder = tmp_path_factory.mktemp("keys")

    def make(kind: str, name: str = "") -> Path:
        path = folder / f"{kind}-{name}.pem"
        if not path.exists():
            subprocess.run(["openssl", "genpkey", *KEY_OPTIONS[kind], "-out", path], check=True, capture_output=True)
        return path

    return make


@pytest.fixture(scope="session")
def signer(key_file: Callable[[str, str], Path]) -> Callable[..., Signer]:
    """Give a signer with a file key of a kind; a second name gives a second key of that kind."""

    def make(kind: str, name: str = "", digest: str = "sha256") -> Signer:
        return Signer.open(str(key_file(kind, name)), digest=digest)

    return make


@pytest.fixture(scope="session")
def profiles() -> dict[str, Profile]:
    """The estate's own certificate profiles."""
    return load_profiles(yaml.safe_load((COMMON_DATA / "profiles.yml").read_text("utf-8"))["pki_profiles"])


@pytest.fixture(scope="session")
def root_signer(signer: Callable[..., Signer]) -> Signer:
    return signer("rsa2048", "root")


@pytest.fixture(scope="session")
def root(profiles: dict[str, Profile], root_signer: Signer) -> x509.Certificate:
    """A self-signed root certificate."""
    subject = DistinguishedName(country="KZ", organization="Негізгі орталық", common_name="Root")
    tbs = build_tbs(
        profiles["root"],
        subject,
        root_signer.public_key_info,
        signature_algorithm=root_signer.signature_algorithm,
        issuer=None,
        serial=new_serial(),
        not_before=datetime.now(UTC),
    )
    return x509.Certificate.load(sign_certificate(tbs, root_signer))


@pytest.fixture(scope="session")
def certify(profiles: dict[str, Profile]) -> Callable[..., x509.Certificate]:
    """Certify a public key under a profile of the estate: (profile, subject, spki, issuer, issuer's signer)."""

    def make(
        profile: str,
        subject: DistinguishedName,
        public_key_info: bytes,
        issuer: x509.Certificate,
        issuer_signer: Signer,
        dns_names: tuple[str, ...] = (),
    ) -> x509.Certificate:
        tbs = build_tbs(
            profiles[profile],
            subject,
            public_key_info,
            signature_algorithm=issuer_signer.signature_algorithm,
            issuer=issuer,
            serial=new_serial(),
            not_before=datetime.now(UTC),
            urls=URLS,
            dns_names=dns_names,
        )
        return x509.Certificate.load(sign_certificate(tbs, issuer_signer))

    return make


@pytest.fixture(scope="session")
def issuing_signer(signer: Callable[..., Signer]) -> Signer:
    return signer("rsa2048", "issuing")


@pytest.fixture(scope="session")
def issuing(
    certify: Callable[..., x509.Certificate], root: x509.Certificate, root_signer: Signer, issuing_signer: Signer
) -> x509.Certificate:
    """An issuing CA's certificate under `root`."""
    subject = DistinguishedName(country="KZ", organization="Ұлттық орталық", common_name="Issuing")
    return certify("issuing", subject, issuing_signer.public_key_info, root, root_signer)


@pytest.fixture(scope="session")
def make_request() -> Callable[..., bytes]:
    """Make a DER PKCS #10 request: (signer, subject, DNS names)."""

    def make(signer: Signer, subject: DistinguishedName, dns_names: tuple[str, ...] = ()) -> bytes:
        extensions = [
            {"extn_id": "subject_alt_name", "extn_value": [x509.GeneralName("dns_name", name) for name in dns_names]}
        ]
        info = csr.CertificationRequestInfo(
            {
                "version": "v1",
                "subject": subject.to_name(),
                "subject_pk_info": keys.PublicKeyInfo.load(signer.public_key_info),
                "attributes": [{"type": "extension_request", "values": [extensions]}] if dns_names else [],
            }
        )
        return bytes(
            csr.CertificationRequest(
                {
                    "certification_request_info": info,
                    "signature_algorithm": x509.SignedDigestAlgorithm.load(signer.signature_algorithm),
                    "signature": signer.sign(info.dump()),
                }
            ).dump()
        )

    return make


@pytest.fixture(scope="session")
def person() -> DistinguishedName:
    """A natural person's name with a valid IIN (CP-3.2)."""
    return DistinguishedName(country="KZ", common_name="ӘУЕЗОВ МҰХТАР", serial_number="IIN970908300017")


@pytest.fixture
def issuer(issuing: x509.Certificate, key_file: Callable[[str, str], Path], tmp_path: Path) -> Issuer:
    """The authority that `issuing` is of, as the CA service has it."""
    (tmp_path / "issuing.crt").write_bytes(pem.armor("CERTIFICATE", issuing.dump()))
    return Issuer(
        AuthoritySettings.model_validate(
            {
                "name": "nca-rsa",
                "certificate": str(tmp_path / "issuing.crt"),
                "key": str(key_file("rsa2048", "issuing")),
                "urls": asdict(URLS),
            }
        )
    )


@pytest.fixture
def certified(issuer: Issuer, profiles: dict[str, Profile]) -> Callable[..., bytes]:
    """Certify a request by a profile's name, as the CA service does: (request, profile)."""

    def make(request: bytes, profile: str) -> bytes:
        asked = check(read_request(request), profiles[profile])
        return issuer.certify(profiles[profile], asked, None).der

    return make
