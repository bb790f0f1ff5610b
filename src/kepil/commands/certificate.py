"""`kepil certificate`: what ceremonies and the internal CA do. Each file is made once and never replaced."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asn1crypto import pem, x509

from kepil.errors import KepilError
from kepil.pki import crl as crls
from kepil.pki.certificate import StatusUrls, build_tbs, new_serial, sign_certificate
from kepil.pki.credential import read_certificate
from kepil.pki.profile import Member, Profile, ProfileError, load_member, read_profiles
from kepil.pki.request import check, read_request
from kepil.pki.signer import Signer


class CertificateCommandError(KepilError):
    """A file is missing, or already there; the message names it."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the noun and its verbs to the command line."""
    verbs = subparsers.add_parser("certificate", help="certificates and root CRLs").add_subparsers(
        metavar="VERB", required=True
    )
    self_sign = _verb(verbs, "self-sign", _self_sign, "make a root's certificate with its own key")
    issue = _verb(verbs, "issue", _issue, "issue a certificate for a request with the issuer's key")
    crl = _verb(verbs, "crl", _crl, "make a complete CRL")
    for verb in (self_sign, issue):
        verb.add_argument(
            "--member", required=True, type=Path, metavar="FILE", help="JSON: subject, digest, days, profile"
        )
        verb.add_argument("--profiles", required=True, type=Path, metavar="FILE", help="JSON: pki_profiles")
    for verb in (issue, crl):
        verb.add_argument("--issuer", required=True, type=Path, metavar="FILE", help="the issuer's certificate")
    issue.add_argument("--request", required=True, type=Path, metavar="FILE", help="PKCS #10, DER or PEM")
    for kind in ("issuer", "crl", "delta-crl", "ocsp"):
        issue.add_argument(f"--url-{kind}", metavar="URL", help="for the profile's status_urls")
    crl.add_argument("--number", required=True, type=int, metavar="N", help="the CRL's number")
    crl.add_argument("--days", required=True, type=int, metavar="N", help="how long it is valid")
    crl.add_argument("--url-crl", metavar="URL", help="where it is published")
    show = verbs.add_parser("show", help="print what a certificate holds, as JSON")
    show.add_argument("file", type=Path)
    show.set_defaults(run=_show)


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument("--key", required=True, metavar="URI", help="the signing key: a file, or pkcs11:…")
    parser.add_argument("--config", type=Path, metavar="FILE", help="openssl.cnf that activates the key's provider")
    parser.add_argument("--activation", type=Path, metavar="FILE", help="file with the PIN or passphrase")
    parser.add_argument("--digest", default="sha256", help="of the signature (default sha256)")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="made once, never replaced")
    parser.set_defaults(run=run)
    return parser


def _signer(arguments: argparse.Namespace, digest: str) -> Signer:
    _refuse_to_replace(arguments.out)
    return Signer.open(arguments.key, config=arguments.config, activation=arguments.activation, digest=digest)


def _member(arguments: argparse.Namespace) -> tuple[Member, Profile]:
    member = load_member(json.loads(arguments.member.read_bytes()))
    profiles = read_profiles(arguments.profiles)
    if member.profile not in profiles:
        raise ProfileError(f"{arguments.member}: profile: {member.profile!r} is not one of {', '.join(profiles)}")
    return member, profiles[member.profile]


def _self_sign(arguments: argparse.Namespace) -> int:
    member, profile = _member(arguments)
    signer = _signer(arguments, member.digest)
    tbs = build_tbs(
        profile,
        member.subject,
        signer.public_key_info,
        signature_algorithm=signer.signature_algorithm,
        issuer=None,
        serial=new_serial(),
        not_before=datetime.now(UTC),
        days=member.days,
    )
    _write(arguments.out, pem.armor("CERTIFICATE", sign_certificate(tbs, signer)))
    return _show(argparse.Namespace(file=arguments.out))


def _issue(arguments: argparse.Namespace) -> int:
    member, profile = _member(arguments)
    issuer = read_certificate(arguments.issuer)
    asked = check(
        read_request(arguments.request.read_bytes()), profile, subject=member.subject, config=arguments.config
    )
    signer = _signer(arguments, arguments.digest)
    urls = StatusUrls(**{kind: getattr(arguments, f"url_{kind}") for kind in ("issuer", "crl", "delta_crl", "ocsp")})
    tbs = build_tbs(
        profile,
        asked.subject,
        asked.public_key.info,
        signature_algorithm=signer.signature_algorithm,
        issuer=issuer,
        serial=new_serial(),
        not_before=datetime.now(UTC),
        days=member.days,
        urls=urls,
    )
    _write(arguments.out, pem.armor("CERTIFICATE", sign_certificate(tbs, signer)))
    return _show(argparse.Namespace(file=arguments.out))


def _crl(arguments: argparse.Namespace) -> int:
    issuer = read_certificate(arguments.issuer)
    signer = _signer(arguments, arguments.digest)
    now = datetime.now(UTC).replace(microsecond=0)
    der = crls.build_crl(
        issuer, signer, arguments.number, now, now + timedelta(days=arguments.days), [], None, arguments.url_crl
    )
    _write(arguments.out, der)
    print(json.dumps({"number": arguments.number, "sha256": hashlib.sha256(der).hexdigest()}))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    certificate = read_certificate(arguments.file)
    print(json.dumps(describe(certificate), ensure_ascii=False))
    return 0


def describe(certificate: x509.Certificate) -> dict[str, Any]:
    """What people and records need of a certificate; the fingerprint is SHA-256 over its DER."""
    return {
        "subject": certificate.subject.human_friendly,
        "issuer": certificate.issuer.human_friendly,
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before.isoformat(),
        "not_after": certificate.not_valid_after.isoformat(),
        "sha256": certificate.sha256.hex(),
    }


def _refuse_to_replace(path: Path) -> None:
    if path.exists():
        raise CertificateCommandError(f"{path} is there already and is never replaced: choose another name, or keep it")


def _write(path: Path, content: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        _refuse_to_replace(path)
        raise
    with os.fdopen(handle, "wb") as file:
        file.write(content)
