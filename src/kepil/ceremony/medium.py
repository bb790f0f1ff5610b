"""What crosses to and from the offline root: a folder with a manifest, signed by who wrote it and by who looked on.

A medium holds `files/`, `manifest.json`, which lists each of them by size and SHA-256, and `signatures/PERSON.sig`. On
arrival nothing is used in place: what was checked, to the byte, is copied to a new folder.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints

from kepil.ceremony.people import NAMESPACE, People
from kepil.ceremony.roles import INDEPENDENT, Role
from kepil.ceremony.statement import TIME, parse_time
from kepil.errors import KepilError
from kepil.journal.chain import canonical
from kepil.signed.document import Document, Name, Sha256, parse, write_once
from kepil.signed.signatures import SignatureError, make_signature

MANIFEST, FILES, SIGNATURES = "manifest.json", "files", "signatures"
CARRIER: Final[Role] = "operator"
REMEDY: Final = "throw it away and start over"

Direction = Literal["to-root", "from-root"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
Place = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63}){0,7}$")]
"""Below `files/`, with `/`: no part begins with a dot, so none leads outside."""

Time = Annotated[str, AfterValidator(lambda text: parse_time(text) and text)]


class MediumError(KepilError):
    """A medium is not to be used; the message names the medium, what is wrong with it and the remedy."""


class Carried(Document):
    """A file on the medium; the size is in octets."""

    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Manifest(Document):
    """What a medium holds, for which ceremony, and where it goes; `step` is whose act wrote it, if one did."""

    ceremony: Name
    environment: Name
    direction: Direction
    step: Name | None = None
    made_at: Time
    files: Annotated[dict[Place, Carried], Field(min_length=1)]

    @property
    def content(self) -> bytes:
        """The bytes that are signed."""
        return canonical(self.model_dump(mode="json", exclude_none=True))

    @property
    def sha256(self) -> str:
        """Of the content."""
        return sha256(self.content).hexdigest()


class Crossed(Document):
    """What the journal says of a medium: where it went, SHA-256 of its manifest and its files, and who signed it."""

    direction: Direction
    made_at: Time
    manifest: Sha256
    files: Annotated[dict[Place, Sha256], Field(min_length=1)]
    signed: Annotated[tuple[Name, ...], Field(min_length=2)]


def crossed(manifest: Manifest, signed: Iterable[str]) -> Crossed:
    """What the journal says of a medium with this manifest and these people's signatures."""
    return Crossed(
        direction=manifest.direction,
        made_at=manifest.made_at,
        manifest=manifest.sha256,
        files={place: carried.sha256 for place, carried in manifest.files.items()},
        signed=tuple(sorted(signed)),
    )


def write_medium(
    medium: Path,
    sources: Iterable[Path],
    ceremony: str,
    environment: str,
    direction: Direction,
    at: datetime,
    step: str | None = None,
) -> Manifest:
    """Copy files, and folders with all that is in them, to a new medium, unsigned yet. Raises KepilError, OSError."""
    if medium.exists():
        raise MediumError(f"{medium} is there already and is never replaced: choose another name")
    fresh = medium.with_name(f".{medium.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # what an interrupted run left
    (fresh / FILES).mkdir(parents=True)
    for source in sources:
        for path, place in _below(source, source.name):
            target = fresh / FILES / place
            target.parent.mkdir(parents=True, exist_ok=True)
            write_once(target, _read(path))
    files = {place: _carried(_read(path)) for path, place in _below(fresh / FILES, "")}
    stated = {"ceremony": ceremony, "environment": environment, "direction": direction, "made_at": at.strftime(TIME)}
    stated |= {"step": step} if step else {}
    content = canonical(stated | {"files": {place: one.model_dump() for place, one in files.items()}})
    manifest = parse(content, Manifest, medium / MANIFEST)
    write_once(fresh / MANIFEST, manifest.content)
    fresh.rename(medium)
    return manifest


def sign_medium(medium: Path, person: str, key: Path, people: People, *, quiet: bool = False) -> Path:
    """Add a signature under the manifest. Raises KepilError."""
    _refuse_other_roles(medium, person, people)
    made = make_signature(_read(medium / MANIFEST), key, NAMESPACE, quiet=quiet)
    (medium / SIGNATURES).mkdir(exist_ok=True)
    path = medium / SIGNATURES / f"{person}.sig"
    write_once(path, made)
    return path


def check_medium(
    medium: Path,
    people: People,
    ceremony: str,
    environment: str,
    direction: Direction | None,
    out: Path,
    since: datetime | None = None,
    step: str | None = None,
    digest: str | None = None,
) -> Crossed:
    """Copy what a medium holds to a new folder, if it is what its signers wrote, for this ceremony, in this direction.

    With `since`, what was written before then is refused: an earlier crossing's. With `step`, another step's is; with
    `digest`, every medium but the one whose manifest has this SHA-256. Raises KepilError, OSError.
    """
    if out.exists():
        raise MediumError(f"{out} is there already and is never replaced: choose another name")
    manifest, signed = signed_manifest(medium, people)
    stated = {"ceremony": ceremony, "environment": environment, "direction": direction, "step": step}
    expected = {name: value for name, value in stated.items() if value is not None}
    if wrong := [f"{name} {getattr(manifest, name)}" for name in expected if getattr(manifest, name) != expected[name]]:
        raise MediumError(f"{medium}: it is of {', '.join(wrong)}, not of {', '.join(expected.values())}")
    if since is not None and parse_time(manifest.made_at) < since:
        raise MediumError(f"{medium}: written {manifest.made_at}, before {since.strftime(TIME)}: an earlier crossing's")
    if digest not in (None, manifest.sha256):
        whose = f"step {manifest.step or 'none'}, written {manifest.made_at}, manifest {manifest.sha256}"
        raise MediumError(f"{medium}: another medium than the journal names, whose manifest is {digest}: {whose}")
    _take(medium, manifest, out)
    return crossed(manifest, signed)


def signed_manifest(medium: Path, people: People) -> tuple[Manifest, list[str]]:
    """What a medium says that it holds, and who signed that; its files are not looked at. Raises KepilError."""
    content, signed = _signed(medium, people)
    manifest = parse(content, Manifest, medium / MANIFEST)
    if manifest.content != content:
        raise MediumError(f"{medium / MANIFEST}: not as this project writes manifests: write the medium again")
    return manifest, signed


def read_medium(medium: Path) -> Manifest:
    """What a medium says that it holds, and holds, whoever says so: for those who are to sign it. Raises KepilError."""
    manifest = parse(_read(medium / MANIFEST), Manifest, medium / MANIFEST)
    _contents(medium, manifest)
    return manifest


def _signed(medium: Path, people: People) -> tuple[bytes, list[str]]:
    """The manifest's bytes and its signers, once their signatures hold."""
    if not medium.is_dir():
        raise MediumError(f"{medium}: no medium is there")
    allowed = {MANIFEST, FILES, SIGNATURES}
    if strangers := sorted(path.name for path in medium.iterdir() if path.name not in allowed):
        raise MediumError(f"{medium}: no part of a medium: {', '.join(strangers)}: {REMEDY}")
    content = _read(medium / MANIFEST)
    manifest = parse(content, Manifest, medium / MANIFEST)
    signed = []
    with TemporaryDirectory(prefix="kepil-medium-") as folder:
        known = people.allowed_signers(Path(folder))
        for path, name in _below(medium / SIGNATURES, ""):
            person = name.removesuffix(".sig")
            signed.append(person)
            _refuse_other_roles(medium, person, people)
            signature = Path(folder, name)
            signature.write_bytes(_read(path))
            try:
                known.verify(content, signature, person, parse_time(manifest.made_at))
            except SignatureError as error:
                over = f"{medium / MANIFEST}: one of the two was changed"
                raise MediumError(f"{path}: no valid signature of '{person}' over {over}: {REMEDY}") from error
    refuse_signers(medium, signed, people)
    return content, signed


def refuse_signers(medium: Path, signed: Iterable[str], people: People) -> None:
    """Raise MediumError unless who wrote a medium and who looked on, and nobody else, are among its signers."""
    roles: set[Role] = set()
    for person in signed:
        roles |= _refuse_other_roles(medium, person, people)
    if CARRIER not in roles or INDEPENDENT.isdisjoint(roles):
        raise MediumError(
            f"{medium}: it needs the signatures of an {CARRIER} who wrote it and of auditor or witness "
            f"who looked on; it has those of {', '.join(sorted(roles)) or 'nobody'}: kepil ceremony medium sign"
        )


def _refuse_other_roles(medium: Path, person: str, people: People) -> set[Role]:
    """The roles of a signer. Raises MediumError for one who has no part in carrying."""
    known = people.get(person)
    if known is None:
        raise MediumError(f"{medium}: {person} took no part: {', '.join(one.id for one in people.people)}")
    roles = set(known.roles) & {CARRIER, *INDEPENDENT}
    if not roles:
        raise MediumError(
            f"{medium}: {person} is {', '.join(known.roles)} and signs no media: {CARRIER} and witness do"
        )
    return roles


def _take(medium: Path, manifest: Manifest, out: Path) -> None:
    """Copy every file, as it was compared; `out` is made last. Raises MediumError."""
    contents = _contents(medium, manifest)
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # what an interrupted run left
    for place, read in contents.items():
        (fresh / place).parent.mkdir(parents=True, exist_ok=True)
        write_once(fresh / place, read)
    fresh.rename(out)


def _contents(medium: Path, manifest: Manifest) -> dict[str, bytes]:
    """Every file, by its place, as the manifest has it. Raises MediumError that names every fault."""
    found = {place: path for path, place in _below(medium / FILES, "")}
    faults = [f"{place} is missing" for place in manifest.files if place not in found]
    faults += [f"{place} is not in its manifest" for place in found if place not in manifest.files]
    contents = {place: _read(path) for place, path in found.items() if place in manifest.files}
    faults += [f"{place} was changed" for place, read in contents.items() if _carried(read) != manifest.files[place]]
    if faults:
        raise MediumError(f"{medium}: {'; '.join(sorted(faults))}: {REMEDY}")
    return contents


def _below(path: Path, place: str) -> Iterator[tuple[Path, str]]:
    """Every file at or below a path, with its place. Raises MediumError for what is neither a file nor a folder."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if place:
            raise
        return
    if stat.S_ISREG(mode):
        yield path, place
    elif stat.S_ISDIR(mode):
        for one in sorted(path.iterdir()):
            yield from _below(one, f"{place}/{one.name}" if place else one.name)
    else:
        raise MediumError(f"{path}: a medium holds plain files and folders: {REMEDY}")


def _read(path: Path) -> bytes:
    """A plain file's content; a link is not followed, and a pipe is not waited for. Raises MediumError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise MediumError(f"{path}: no plain file that can be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise MediumError(f"{path}: a medium holds plain files and folders: {REMEDY}")
        return file.read()


def _carried(content: bytes) -> Carried:
    return Carried(size=len(content), sha256=sha256(content).hexdigest())
