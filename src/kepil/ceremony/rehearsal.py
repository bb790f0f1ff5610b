"""People for rehearsals: named after their roles, with keys that are files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kepil.ceremony.bundle import pack, sign_seal
from kepil.ceremony.people import People, Person
from kepil.ceremony.plan import Plan
from kepil.ceremony.roles import Role
from kepil.errors import KepilError


class RehearsalError(KepilError):
    """A rehearsal's people could not be made."""


def rehearsal_people(plan: Plan, folder: Path) -> People:
    """As many people as a plan asks for, each with an SSH key in `folder`, made once. Raises RehearsalError."""
    folder.mkdir(parents=True, exist_ok=True)
    return People(
        people=tuple(
            _person(folder, role, number) for role, wanted in plan.roles.items() for number in range(1, wanted + 1)
        )
    )


def seal_rehearsal(folder: Path, people: People, keys: Path) -> None:
    """Pack a rehearsed ceremony into `bundle`, and have two participants sign the seal. Raises KepilError."""
    pack(folder / "ceremony", folder / "bundle")
    for person in sealers(people):
        sign_seal(folder / "bundle", person, keys / person, people, quiet=True)
    people.allowed_signers(keys)


def sealers(people: People) -> list[str]:
    """Who signs a rehearsal's seal: an auditor and a custodian."""
    return [next(p.id for p in people.people if role in p.roles) for role in ("auditor", "custodian")]


def _person(folder: Path, role: Role, number: int) -> Person:
    name = f"{role}-{number}"
    key = folder / name
    if not key.exists():
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key)
    certificate = folder / f"{name}.crt"
    if role == "custodian" and not certificate.exists():
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        words = ("req", "-x509", *new, "-subj", f"/CN={name}", "-days", "30")
        _run("openssl", *words, "-keyout", folder / f"{name}.pem", "-out", certificate)
    return Person(
        id=name,
        name=f"{name} (rehearsal)",
        organisation="Rehearsal",
        roles=(role,),
        key=" ".join(key.with_suffix(".pub").read_text(encoding="ascii").split()[:2]),
        certificate=certificate.read_text(encoding="ascii") if certificate.exists() else None,
    )


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RehearsalError(f"{words[0]} failed: {done.stderr.strip()}")
