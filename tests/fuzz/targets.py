"""What anyone may send, and what may come of it: an answer, or one of the refusals that the reader names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import tsp as asn1_tsp
from pydantic import ValidationError

from kepil.errors import KepilError
from kepil.pki import ocsp, request, tsp
from kepil.pki.profile import Profile, load_profiles
from kepil.ra.messages import NewApplication

CORPUS: Final = Path(__file__).parent / "corpus"
PROFILES: Final = Path(__file__).parents[2] / "inventories/common/group_vars/all/profiles.yml"


def read_ocsp(data: bytes) -> bool:
    """Read an OCSP request; asn1crypto must understand what is accepted alike."""
    try:
        read = ocsp.read_request(data)
    except ocsp.MalformedRequestError:
        return False
    other = asn1_ocsp.OCSPRequest.load(data, strict=True)["tbs_request"]
    asked = [each["req_cert"] for each in other["request_list"]]
    assert [each.encoded for each in read.certificates] == [each.dump() for each in asked]
    assert [each.serial for each in read.certificates] == [each["serial_number"].native for each in asked]
    nonces = [each["extn_value"].parsed for each in other["request_extensions"] if each["extn_id"].native == "nonce"]
    assert [read.nonce] == [each.native for each in nonces] or (read.nonce is None and not nonces)
    return True


def read_tsp(data: bytes) -> bool:
    """Read a time-stamp request; asn1crypto must understand what is accepted alike."""
    try:
        read = tsp.read_request(data)
    except tsp.RejectionError:
        return False
    other = asn1_tsp.TimeStampReq.load(data, strict=True)
    assert read.imprint == other["message_imprint"].dump()
    assert read.nonce == other["nonce"].dump()
    assert read.certificates == bool(other["cert_req"].native)
    return True


def read_csr(data: bytes) -> bool:
    """Read a certification request and check it under a subscriber's profile."""
    try:
        request.check(request.read_request(data), _profiles()["natural-person"])
    except KepilError:
        return False
    return True


def read_application(data: bytes) -> bool:
    """Read what a registrar enters, as the registration authority does, and check the request in it."""
    try:
        entered = NewApplication.model_validate_json(data)
        request.check(request.read_request(entered.request.encode()), _profiles()[entered.profile])
    except (ValidationError, KeyError, KepilError):
        return False
    return True


@cache
def _profiles() -> dict[str, Profile]:
    return load_profiles(yaml.safe_load(PROFILES.read_text("utf-8"))["pki_profiles"])


TARGETS: Final[dict[str, Callable[[bytes], bool]]] = {
    "ocsp": read_ocsp,
    "tsp": read_tsp,
    "csr": read_csr,
    "ra": read_application,
}
"""By the name of its folder in the corpus. Each tells whether it accepted; an exception is a finding."""


def corpus(target: str) -> dict[str, bytes]:
    """What is kept for a target, by file name: what is accepted has no `no-` before its name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / target).iterdir())}
