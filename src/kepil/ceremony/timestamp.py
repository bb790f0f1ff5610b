"""Time stamps (RFC 3161) of a journal's head by two authorities: who rewrites everything cannot rewrite the time."""

from __future__ import annotations

import os
import subprocess
import tempfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from asn1crypto import cms, pem, tsp, x509

from kepil.errors import KepilError

AUTHORITIES = 2
"""How many different authorities stamp a head, told apart by who certified them."""
TOKEN, CHAIN = ".tsr", ".pem"
"""`NAME.tsr` is an authority's response; `NAME.pem`, where it is there, certificates that the response lacks."""
_ENGLISH = {"LC_ALL": "C"}


class TokenError(KepilError):
    """A time stamp does not hold; the message names its file."""


def check_tokens(folder: Path, head: str, anchors: Path) -> list[str]:
    """Who stamped the head and when.

    Raises TokenError where one does not hold, or there are fewer than two authorities. A token holds if its chain was
    valid at the time that it states: a bundle outlives the certificates of those who stamped it.
    """
    names = {path.name for path in folder.glob("*")}
    tokens = sorted(name for name in names if name.endswith(TOKEN))
    known = {*tokens, *(name.removesuffix(TOKEN) + CHAIN for name in tokens)}
    if strangers := sorted(names - known):
        raise TokenError(f"{folder}: neither a token ({TOKEN}) nor the chain ({CHAIN}) of one: {', '.join(strangers)}")
    if not tokens:
        raise TokenError(f"{folder}: the head is to be stamped, and no token is there: kepil ceremony stamp")
    stamped = dict(check_token(folder / name, head, anchors) for name in tokens)
    if len(stamped) < AUTHORITIES:
        raise TokenError(f"{folder}: stamped by {', '.join(stamped)} alone; two different authorities are needed")
    return [f"{authority}, {time}" for authority, time in stamped.items()]


def check_token(token: Path, head: str, anchors: Path, *, query: Path | None = None) -> tuple[str, str]:
    """Who stamped a head, and when. Raises TokenError.

    With the `query`, the answer must be to that one: its nonce is compared too.
    """
    signed = _read(token)
    statement = signed["encap_content_info"]["content"].parsed
    time: datetime = statement["gen_time"].native
    if time > datetime.now(UTC):
        raise TokenError(f"{token}: it states a time that has not come yet: {time:%Y-%m-%dT%H:%M:%SZ}")
    # `openssl ts -verify` knows the default provider only; `openssl cms` takes those of OPENSSL_CONF.
    examine = _by_cms if _is_gost(signed) else _by_ts
    trust = ["-CAfile", str(anchors), "-attime", str(int(time.timestamp()))]
    if fault := examine(token, signed, bytes.fromhex(head), query, trust):
        raise TokenError(f"{token}: no valid time stamp of the journal's head {head}: {fault}")
    return str(signed["signer_infos"][0]["sid"].chosen["issuer"].human_friendly), f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _read(token: Path) -> cms.SignedData:
    """The token, with all that is asked of it there: who certified its authority, and the time."""
    try:
        signed = tsp.TimeStampResp.load(token.read_bytes(), strict=True)["time_stamp_token"]["content"]
        named = signed["signer_infos"][0]["sid"].chosen["issuer"].human_friendly
        if not named or not isinstance(signed["encap_content_info"]["content"].parsed, tsp.TSTInfo):
            raise ValueError("it states no time")
        signed["encap_content_info"]["content"].parsed.native  # noqa: B018 -- asn1crypto reads what is asked for
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise TokenError(f"{token}: no time stamp: {error}") from error
    return signed


def _is_gost(signed: cms.SignedData) -> bool:
    return str(signed["signer_infos"][0]["signature_algorithm"]["algorithm"].dotted).startswith("1.2.643.")


def _by_ts(token: Path, _: cms.SignedData, head: bytes, query: Path | None, trust: list[str]) -> str:
    """Why the token does not hold, if it does not."""
    about = ["-queryfile", str(query)] if query else ["-digest", head.hex()]
    chain = token.with_suffix(CHAIN)
    untrusted = ["-untrusted", str(chain)] if chain.exists() else []
    return _openssl("ts", "-verify", "-in", str(token), *about, *untrusted, *trust)


def _by_cms(token: Path, signed: cms.SignedData, head: bytes, query: Path | None, trust: list[str]) -> str:
    """As `_by_ts`: the signature by OpenSSL, what RFC 3161 section 2.4.2 asks of its content beside it."""
    statement, chain = signed["encap_content_info"]["content"].parsed, token.with_suffix(CHAIN)
    imprint = statement["message_imprint"]
    if (imprint["hash_algorithm"]["algorithm"].native, imprint["hashed_message"].native) != ("sha256", head):
        return "it stamps something else"
    if query and tsp.TimeStampReq.load(query.read_bytes())["nonce"].native != statement["nonce"].native:
        return "it answers another query: the nonce differs"
    if not _names_its_certificate(signed):
        return "the certificate beside it is not the one that it names (RFC 5816)"
    whole = tsp.TimeStampResp.load(token.read_bytes())["time_stamp_token"]
    for _, _, one in pem.unarmor(chain.read_bytes(), multiple=True) if chain.exists() else ():
        whole["content"]["certificates"].append(cms.CertificateChoices("certificate", x509.Certificate.load(one)))
    with tempfile.TemporaryDirectory(prefix="kepil-token-") as folder:
        content = Path(folder, "token")
        content.write_bytes(whole.dump())
        words = ["-verify", "-inform", "DER", "-in", str(content), "-purpose", "timestampsign", "-out", os.devnull]
        return _openssl("cms", *words, *trust)


def _names_its_certificate(signed: cms.SignedData) -> bool:
    """Whether the signed ESSCertIDv2 (SHA-256, its default) is of the certificate that the signature names."""
    signer = signed["signer_infos"][0]
    serial = signer["sid"].chosen["serial_number"].native
    hashes = {
        sha256(one.chosen.dump()).digest()
        for one in signed["certificates"]
        if isinstance(one.chosen, x509.Certificate) and one.chosen.serial_number == serial
    }
    named = [
        value["certs"][0]
        for attribute in signer["signed_attrs"]
        if attribute["type"].native == "signing_certificate_v2"
        for value in attribute["values"]
    ]
    return bool(named) and all(
        (one["hash_algorithm"]["algorithm"].native, one["cert_hash"].native in hashes) == ("sha256", True)
        for one in named
    )


def _openssl(*words: str) -> str:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False, env=os.environ | _ENGLISH)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]
