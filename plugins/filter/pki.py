"""Filters over hierarchies and certificates: types and errors are adapted here, what they do is in the package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from asn1crypto import pem

from kepil.errors import KepilError
from kepil.pki.algorithm import UnknownAlgorithmError
from kepil.pki.hierarchy import KeyPlace, key_place
from kepil.pki.profile import load_member
from kepil.plain import plain


def kepil_key(member: dict[str, Any], file_key_types: list[str]) -> KeyPlace:
    """Where the key of a hierarchy's member is and how it is made; see `kepil.pki.hierarchy.key_place`."""
    try:
        return key_place(load_member(plain(member)), file_key_types)
    except (KepilError, UnknownAlgorithmError) as error:
        raise AnsibleFilterError(str(error)) from error


def kepil_fingerprint(certificate: str) -> str:
    """The SHA-256 fingerprint of a certificate in PEM, of whatever algorithm: hexadecimal, lower case."""
    try:
        _, _, encoded = pem.unarmor(certificate.encode())
    except ValueError as error:
        raise AnsibleFilterError(f"no certificate in PEM: {error}") from error
    return hashlib.sha256(encoded).hexdigest()


def kepil_members(hierarchies: dict[str, Any], kind: str, names: list[str]) -> list[dict[str, Any]]:
    """Of each hierarchy the member of a kind, if its name is among these, and the one that follows it (`NAME-next`)."""
    members = [plain(hierarchy)[kind] for hierarchy in hierarchies.values()]
    return [
        {**member, "name": name}
        for member in members
        for name in (member["name"], f"{member['name']}-next")
        if name in names
    ]


class FilterModule:
    """Filters over hierarchies and certificates."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"kepil_key": kepil_key, "kepil_fingerprint": kepil_fingerprint, "kepil_members": kepil_members}
