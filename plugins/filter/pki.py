"""Filters over hierarchies and certificates: types and errors are adapted here, what they do is in the package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ansible.errors import AnsibleFilterError
from asn1crypto import pem

from kepil.errors import KepilError
from kepil.pki.algorithm import UnknownAlgorithmError
from kepil.pki.generation import Authority, Kind, delegations, in_service, issuers, members_named, published, succeeded
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


def kepil_members(hierarchies: dict[str, Any], kind: Kind, names: list[str]) -> list[dict[str, Any]]:
    """Of each hierarchy, as `pki_hierarchies_known` has it, the generations of a member that have these names."""
    return members_named(plain(hierarchies), kind, names)


def kepil_in_service(made: list[Any], kind: Literal["issuing", "ocsp"], folder: str) -> list[Authority]:
    """Of `pki_authorities` those that a host serves; see `kepil.pki.generation.in_service`."""
    return in_service(plain(made), kind, Path(folder))


def kepil_delegations(made: list[Any]) -> list[dict[str, Any]]:
    """Each `member` that answers for the status or stamps time, and the `issuing` CA that certifies it."""
    return [{"issuing": issuing, "member": member} for issuing, member in delegations(plain(made))]


def kepil_succeeded(made: list[Any]) -> dict[str, str]:
    """For each issuing CA of `pki_authorities` that issues no more, the one that does."""
    return succeeded(plain(made))


def kepil_published(hierarchies: dict[str, Any], made: list[Any]) -> list[str]:
    """Names of all issuing CAs that there ever were; see `kepil.pki.generation.published`."""
    return published(plain(hierarchies), plain(made))


def kepil_issuers(made: list[Any]) -> dict[str, str]:
    """Who issues each certificate of `pki_authorities`, by name."""
    return issuers(plain(made))


class FilterModule:
    """Filters over hierarchies and certificates."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {
            "kepil_key": kepil_key,
            "kepil_fingerprint": kepil_fingerprint,
            "kepil_members": kepil_members,
            "kepil_in_service": kepil_in_service,
            "kepil_issuers": kepil_issuers,
            "kepil_delegations": kepil_delegations,
            "kepil_succeeded": kepil_succeeded,
            "kepil_published": kepil_published,
        }
