"""What an act leaves behind for the journal. Nothing else fits in: a secret has no field to slip into (CP-5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final

from asn1crypto import pem, x509
from pydantic import Field, StringConstraints

from kepil.ceremony.definition import Step, Thing
from kepil.ceremony.medium import Crossed
from kepil.errors import KepilError
from kepil.pki.crl_content import read_crl
from kepil.signed.document import Document, Line, Name, Sha256, build

Words = Annotated[str, StringConstraints(pattern=r"^[\w .,:;/()+%=@-]+$", max_length=200)]
FILES = "files"
"""The folder, in the ceremony's and in the bundle, that holds what the acts made."""


class EvidenceError(KepilError):
    """What an act left is not what its step is to make; the message names step, thing and field."""


class Module(Document):
    """A hardware security module, as it calls itself."""

    make: Words
    model: Words
    serial: Words
    firmware: Words


class KeyMade(Document):
    """EN 319 411-1 GEN-6.5.1-13A: `sha256` is over the SubjectPublicKeyInfo; `module` is the serial number."""

    identifier: Words
    algorithm: Words
    bits: Annotated[int, Field(ge=128, le=65536)]
    sha256: Sha256
    module: Words
    settings: Words
    random_source: Words


class FileMade(Document):
    """A file that was carried out, by the SHA-256 of its bytes."""

    file: Name
    sha256: Sha256


class CertificateMade(FileMade):
    """`fingerprint` is SHA-256 over DER. What was linted, under a throw-away key, is what was signed."""

    fingerprint: Sha256
    public_key_sha256: Sha256
    linted_tbs_sha256: Sha256
    linter: Words


class CrlMade(FileMade):
    """What was linted, under a throw-away key, is what was signed. `order` is of the file that says what to revoke."""

    number: Annotated[int, Field(ge=0)]
    linted_tbs_sha256: Sha256
    linter: Words
    order: Sha256 | None = None


class PartitionMade(Document):
    """A partition of a module, by its own serial number."""

    serial: Words
    module: Words


class SharesMade(Document):
    """Who holds a share, by the SHA-256 of the encrypted share, and how many of them open."""

    threshold: Annotated[int, Field(ge=2, le=16)]
    holders: dict[Name, Sha256]


class OpenedMade(Document):
    """Whose shares opened a partition for this ceremony; nobody's where the ceremony itself initialised it."""

    threshold: Annotated[int, Field(ge=2, le=16)]
    holders: tuple[Name, ...]


class StateMade(Document):
    """What the roots signed before, as it goes to their host: the SHA-256 of what `sha256sum *` prints of the files."""

    sha256: Sha256


class BackupMade(Document):
    """A wrapped partition, by the SHA-256 of what was carried: it goes on its own media, and into no bundle."""

    sha256: Sha256
    wrapping: Words


MODELS: Final[Mapping[str, type[Document]]] = {
    "partition": PartitionMade,
    "shares": SharesMade,
    "opened": OpenedMade,
    "state": StateMade,
    "key": KeyMade,
    "request": FileMade,
    "certificate": CertificateMade,
    "crl": CrlMade,
    "file": FileMade,
    "backup": BackupMade,
}


class Evidence(Document):
    """`account` is every key that the modules say they hold: name and SHA-256 of the public key.

    `media` is every medium that the act wrote (`kepil.ceremony.crossing`), by name.
    """

    made: dict[Thing, dict[str, Any]] = Field(default_factory=dict)
    destroyed: dict[Thing, Words] = Field(default_factory=dict)
    modules: tuple[Module, ...] = ()
    account: dict[Name, Sha256] | None = None
    media: dict[Name, Crossed] = Field(default_factory=dict)


def kind(thing: Thing) -> str:
    """`key` of `key:krnca-rsa`."""
    return thing.partition(":")[0]


def name_of(thing: Thing) -> str:
    """`krnca-rsa` of `key:krnca-rsa`."""
    return thing.partition(":")[2]


def fingerprint(thing: Thing, made: Mapping[str, Any]) -> str:
    """By what people know a thing: certificates and keys by SHA-256, partitions by serial number."""
    match kind(thing):
        case "certificate":
            return str(made["fingerprint"])
        case "partition":
            return str(made["serial"])
        case "shares":
            return f"{made['threshold']}/{len(made['holders'])}"
        case "opened":
            return ", ".join(made["holders"]) or "-"
        case _:
            return str(made["sha256"])


def read_evidence(step: Step, stated: Mapping[str, Any]) -> Evidence:
    """What a step's act states, if it is what the step is to leave. Raises KepilError that names step and thing."""
    where = Path(f"step {step.id}")
    evidence = build(Evidence, stated, where)
    for what, wanted, left in (
        ("make", step.makes, evidence.made),
        ("destroy", step.destroys, evidence.destroyed),
    ):
        if set(wanted) != set(left):
            raise EvidenceError(
                f"{where}: it is to {what} {', '.join(wanted) or 'nothing'}, and reports {', '.join(left) or 'nothing'}"
            )
    if step.account is (evidence.account is None):
        raise EvidenceError(
            f"{where}: the modules' account of their keys is {'missing' if step.account else 'not due'}"
        )
    for thing in evidence.made:
        if isinstance(made := typed(thing, evidence.made), CrlMade) and made.order and not step.order:
            raise EvidenceError(f"{where}: {thing} followed an order, and the step is to follow none")
    return evidence


def typed(thing: Thing, everything: Mapping[Thing, Any]) -> Document:
    """What was made, as the model of its kind. Raises DocumentError."""
    return build(MODELS[kind(thing)], everything[thing], Path(thing))


def check_file(folder: Path, thing: Thing, everything: Mapping[Thing, Any], keys: Mapping[str, str]) -> None:
    """Raise EvidenceError unless a made file is there as it was made; `keys` are SHA-256 of keys of this ceremony."""
    made = typed(thing, everything)
    if not isinstance(made, FileMade):
        return
    path = folder / FILES / made.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{thing}: {path} is missing: bring it back from the other medium") from error
    if sha256(content).hexdigest() != made.sha256:
        raise EvidenceError(f"{thing}: {path} is not the file that was made: its SHA-256 differs from the journal's")
    if isinstance(made, CertificateMade):
        _check_certificate(path, content, thing, made, keys)
    if isinstance(made, CrlMade):
        _check_crl(path, thing, made)


def _check_certificate(
    path: Path, content: bytes, thing: Thing, made: CertificateMade, keys: Mapping[str, str]
) -> None:
    try:
        certificate = x509.Certificate.load(pem.unarmor(content)[2] if pem.detect(content) else content, strict=True)
        tbs = sha256(certificate["tbs_certificate"].dump()).hexdigest()
        key = sha256(certificate.public_key.dump()).hexdigest()
    except ValueError as error:
        raise EvidenceError(f"{thing}: {path} is no certificate: {error}") from error
    if certificate.sha256.hex() != made.fingerprint:
        raise EvidenceError(f"{thing}: {path} has the fingerprint {certificate.sha256.hex()}, not {made.fingerprint}")
    if tbs != made.linted_tbs_sha256:
        raise EvidenceError(f"{thing}: {path}: what was signed is not what was linted: revoke it, and abort")
    name = name_of(thing)
    if key != made.public_key_sha256 or keys.get(name, key) != key:
        raise EvidenceError(f"{thing}: {path} certifies another key than {name}: revoke it, and abort")


def _check_crl(path: Path, thing: Thing, made: CrlMade) -> None:
    listing = read_crl(path)
    if listing.tbs_sha256 != made.linted_tbs_sha256:
        raise EvidenceError(f"{thing}: {path}: what was signed is not what was linted: abort")
    if listing.number != made.number:
        raise EvidenceError(f"{thing}: {path} has number {listing.number}, not {made.number}")


def describe_file(path: Path) -> dict[str, str]:
    """What the journal says of a file that was made. Raises OSError."""
    return {"file": path.name, "sha256": sha256(path.read_bytes()).hexdigest()}


def describe_crl(path: Path, linted_tbs_sha256: str, linter: Line, order: str | None = None) -> dict[str, Any]:
    """What the journal says of a CRL that was made. Raises OSError, CrlContentError."""
    stated = {"number": read_crl(path).number, "linted_tbs_sha256": linted_tbs_sha256, "linter": linter}
    return describe_file(path) | stated | ({"order": order} if order else {})


def describe_state(folder: Path) -> dict[str, str]:
    """What the journal says of what roots signed before, from the files that go to their host. Raises OSError."""
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    return {"sha256": sha256("".join(f"{one}  {name}\n" for name, one in files.items()).encode()).hexdigest()}


def describe_certificate(path: Path, linted_tbs_sha256: str, linter: Line) -> dict[str, str]:
    """What the journal says of a certificate that was made. Raises OSError, ValueError."""
    content = path.read_bytes()
    certificate = x509.Certificate.load(pem.unarmor(content)[2] if pem.detect(content) else content, strict=True)
    return describe_file(path) | {
        "fingerprint": certificate.sha256.hex(),
        "public_key_sha256": sha256(certificate.public_key.dump()).hexdigest(),
        "linted_tbs_sha256": linted_tbs_sha256,
        "linter": linter,
    }
