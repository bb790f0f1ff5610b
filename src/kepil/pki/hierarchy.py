"""The hierarchies that an environment has (CP-1.3.1, CP-2.1), and where their keys are made and live (CP-6.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

from kepil.pki.algorithm import KEY_KINDS, by_key
from kepil.pki.profile import Hierarchy, Member, ProfileError, load_hierarchies

KEY_FOLDER = "/etc/kepil/keys"
"""Holds a folder for each partition, and in it the keys that are files."""


class KeyPlace(TypedDict):
    """Where a key is, as `Signer.open` finds it, and how it is made there.

    `making` is what `openssl genpkey` (a file) or `pkcs11-tool --key-type` (a token) is told, `digest` what OpenSSL
    calls the hash that it signs ("" where the algorithm hashes by itself).
    """

    uri: str
    in_file: bool
    making: str
    digest: str


def chosen(known: Mapping[str, Any], families: Sequence[str]) -> dict[str, Any]:
    """The hierarchies of these families, in this order, as they were stated. Raises ProfileError."""
    if not families or len(set(families)) < len(families):
        raise ProfileError("pki_families: name at least one hierarchy, and each once")
    if unknown := [family for family in families if family not in known]:
        raise ProfileError(
            f"pki_families: no hierarchy {', '.join(unknown)}; pki_hierarchies_known has {', '.join(known)}"
        )
    hierarchies = load_hierarchies({family: known[family] for family in families})
    _refuse_repetition(hierarchies)
    return {family: known[family] for family in families}


def _refuse_repetition(hierarchies: Mapping[str, Hierarchy]) -> None:
    members = [member for each in hierarchies.values() for member in (each.root, each.issuing, each.ocsp, each.tsp)]
    for what, values in (
        ("name", [member.name for member in members]),
        ("policy", [member.policy for member in members if member.policy]),
    ):
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ProfileError(f"pki_hierarchies_known: {what} {', '.join(twice)} is there twice; each has its own")


def key_place(member: Member, file_key_types: Collection[str]) -> KeyPlace:
    """Tell where a member's key is: on its partition, or in a file where the HSM has nothing for keys of its type.

    Raises ProfileError for a type that is not known, or that tokens cannot make, UnknownAlgorithmError for a digest
    that does not go with it.
    """
    key = member.key
    if key.type not in KEY_KINDS:
        raise ProfileError(f"{member.name}: key.type: {key.type!r} is not one of {', '.join(KEY_KINDS)}")
    kind, in_file = KEY_KINDS[key.type], key.type in file_key_types
    making = f"-algorithm {kind.openssl} -pkeyopt {kind.option}".removesuffix(" -pkeyopt ") if in_file else kind.pkcs11
    if not making:
        raise ProfileError(
            f"{member.name}: keys of type {key.type} cannot be made on an HSM partition; take its hierarchy out of "
            "pki_families, or, in development only, name the type in hsm_file_key_types"
        )
    for size, value in (("bits", key.bits), ("curve", key.curve)):
        if f"{{{size}}}" in making and value is None:
            raise ProfileError(f"{member.name}: key.{size} is missing; keys of type {key.type} need it")
    return {
        "uri": f"{KEY_FOLDER}/{member.partition}/{member.name}.pem"
        if in_file
        else f"pkcs11:token={member.partition};object={member.name};type=private",
        "in_file": in_file,
        "making": making.format(bits=key.bits, curve=key.curve),
        "digest": by_key(key.type, member.digest).openssl_digest,
    }
