"""`kepil certificate`: what ceremonies and the internal CA do. Each file is made once and never replaced."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asn1crypto import crl as asn1_crl
from asn1crypto import pem, x509

from kepil.errors import KepilError
from kepil.pki import crl as crls
from kepil.pki.certificate import StatusUrls, build_tbs, new_serial, sign_certificate, sign_tbs
from kepil.pki.credential import read_certificate
from kepil.pki.profile import Member, Profile, ProfileError, load_member, read_profiles
from kepil.pki.rehearsal import throw_away_signer
from kepil.pki.request import check, read_request
from kepil.pki.signer import Signer
from kepil.pki.verifier import Verifier


class CertificateCommandError(KepilError):
    """A file is missing, or already there; the message names it."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the noun and its verbs to the command line."""
    verbs = subparsers.add_parser("certificate", help="certificates and root CRLs").add_subparsers(
        metavar="VERB", required=True
    )
    draft = _verb(verbs, "draft", _draft, "make what is to be signed, under a throw-away key, so that it can be linted")
    draft.add_argument(
        "--member", required=True, type=Path, metavar="FILE", help="JSON: subject, digest, days, profile"
    )
    draft.add_argument("--profiles", required=True, type=Path, metavar="FILE", help="JSON: pki_profiles")
    draft.add_argument("--issuer", type=Path, metavar="FILE", help="the issuer's certificate; without it, a root's own")
    draft.add_argument("--request", type=Path, metavar="FILE", help="PKCS #10, DER or PEM; with --issuer")
    for kind in ("issuer", "crl", "delta-crl", "ocsp"):
        draft.add_argument(f"--url-{kind}", metavar="URL", help="for the profile's status_urls")
    sign = _verb(verbs, "sign", _sign, "sign the very bytes of a draft that was linted")
    sign.add_argument("--draft", required=True, type=Path, metavar="FILE", help="the draft; a CRL's ends in .crl")
    sign.add_argument("--linted", required=True, metavar="SHA256", help="of the bytes to be signed, as the linter says")
    crl = _verb(verbs, "draft-crl", _draft_crl, "make what is to be signed of a complete CRL, as draft does")
    crl.add_argument("--issuer", required=True, type=Path, metavar="FILE", help="the issuer's certificate")
    which = crl.add_mutually_exclusive_group(required=True)
    which.add_argument("--number", type=int, metavar="N", help="of the first CRL, which lists nothing")
    which.add_argument(
        "--last", type=Path, metavar="FILE", help="the last CRL: this one follows it, and lists its entries"
    )
    crl.add_argument(
        "--after", action="append", default=[], type=Path, metavar="FILE", help="a CRL whose number is taken too"
    )
    crl.add_argument("--revoke", type=Path, metavar="FILE", help='JSON: [{"serial": HEX, "reason": of RFC 5280}, ...]')
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


def _draft(arguments: argparse.Namespace) -> int:
    """What is signed is made with the real key's algorithm; the real key signs nothing."""
    member, profile = _member(arguments)
    signer = _signer(arguments, arguments.digest)
    issuer, subject, key = None, member.subject, signer.public_key_info
    if arguments.issuer:
        if not arguments.request:
            raise CertificateCommandError("--issuer goes with --request: whose key is to be certified?")
        issuer = read_certificate(arguments.issuer)
        asked = check(
            read_request(arguments.request.read_bytes()), profile, subject=member.subject, config=arguments.config
        )
        subject, key = asked.subject, asked.public_key.info
    urls = StatusUrls(**{kind: getattr(arguments, f"url_{kind}") for kind in ("issuer", "crl", "delta_crl", "ocsp")})
    tbs = build_tbs(
        profile,
        subject,
        key,
        signature_algorithm=signer.signature_algorithm,
        issuer=issuer,
        serial=new_serial(),
        not_before=datetime.now(UTC),
        days=member.days,
        urls=urls,
    )
    draft = sign_certificate(tbs, throw_away_signer(signer, arguments.config))
    _write(arguments.out, pem.armor("CERTIFICATE", draft))
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    """Raises CertificateCommandError where the draft is not the one that was linted (BR 4.3.1.2)."""
    listed = arguments.draft.suffix == ".crl"
    draft = _crl_of(arguments.draft) if listed else read_certificate(arguments.draft)
    tbs = draft["tbs_cert_list" if listed else "tbs_certificate"]
    found = hashlib.sha256(tbs.dump()).hexdigest()
    if found != arguments.linted:
        raise CertificateCommandError(
            f"{arguments.draft}: what is to be signed has the SHA-256 {found}, and {arguments.linted} was linted: "
            "nothing was signed; make the draft anew, and have it linted"
        )
    signer = _signer(arguments, arguments.digest)
    made = sign_tbs(tbs, signer)
    signature = type(draft).load(made)["signature" if listed else "signature_value"].native
    if not Verifier(signer.public_key_info, arguments.digest, arguments.config).verify(tbs.dump(), signature):
        raise CertificateCommandError(
            f"{signer.uri}: its signature does not verify, and was not kept; check the module"
        )
    _write(arguments.out, made if listed else pem.armor("CERTIFICATE", made))
    return 0 if listed else _show(argparse.Namespace(file=arguments.out))


def _draft_crl(arguments: argparse.Namespace) -> int:
    """The real key signs nothing. Raises CertificateCommandError where it is not the issuer's."""
    issuer = read_certificate(arguments.issuer)
    signer = _signer(arguments, arguments.digest)
    if issuer.public_key.dump() != signer.public_key_info:
        raise CertificateCommandError(f"{signer.uri} is not the key of {arguments.issuer}: nobody believes its CRL")
    now = datetime.now(UTC).replace(microsecond=0)
    number, entries = _followed(arguments.last) if arguments.last else (arguments.number, {})
    number = max([number, *(_followed(path)[0] for path in arguments.after)])
    for order in json.loads(arguments.revoke.read_bytes()) if arguments.revoke else []:
        serial = int(order["serial"], 16)
        entries.setdefault(serial, (serial, now, order["reason"]))
    der = crls.build_crl(
        issuer,
        throw_away_signer(signer, arguments.config),
        number,
        now,
        now + timedelta(days=arguments.days),
        entries.values(),
        idp_url=arguments.url_crl,
    )
    _write(arguments.out, der)
    print(json.dumps({"number": number, "entries": len(entries), "sha256": hashlib.sha256(der).hexdigest()}))
    return 0


def _crl_of(path: Path) -> asn1_crl.CertificateList:
    try:
        draft = asn1_crl.CertificateList.load(path.read_bytes(), strict=True)
        draft.native  # noqa: B018 - asn1crypto decodes lazily
    except (OSError, ValueError, TypeError) as error:
        raise CertificateCommandError(f"{path} is no CRL ({error})") from error
    return draft


def _followed(path: Path) -> tuple[int, dict[int, crls.Entry]]:
    """The number after a CRL's, and its entries by serial number: a certificate stays on a root's list."""
    try:
        last = asn1_crl.CertificateList.load(path.read_bytes(), strict=True)
        listed = last["tbs_cert_list"]["revoked_certificates"]
        entries: dict[int, crls.Entry] = {
            entry["user_certificate"].native: (
                entry["user_certificate"].native,
                entry["revocation_date"].native,
                int(entry.crl_reason_value.contents[0]) if entry.crl_reason_value else None,
            )
            for entry in (listed if listed.native else [])
        }
        return last.crl_number_value.native + 1, entries
    except (OSError, ValueError, AttributeError) as error:
        raise CertificateCommandError(f"{path} is no CRL ({error}): bring the one that is published") from error


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
