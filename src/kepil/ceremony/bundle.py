"""The bundle of a ceremony that is over: everything an auditor needs, and nothing that must not leave.

A bundle is a folder: `journal.jsonl` and its head, `files/` with what was made, `media/` with manifest and
signatures of each medium that crossed, `documents/` with script and minutes,
`tokens/` with time stamps of the head, and `seal.json`, which lists every other file by SHA-256 and is signed by
participants (`seal/PERSON.sig`). Tokens come later, when the network is back, and prove themselves.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kepil.ceremony.crossing import MEDIA
from kepil.ceremony.definition import LANGUAGES
from kepil.ceremony.engine import JOURNAL, Ceremony
from kepil.ceremony.evidence import FILES, FileMade, typed
from kepil.ceremony.medium import MANIFEST
from kepil.ceremony.medium import SIGNATURES as MEDIUM_SIGNATURES
from kepil.ceremony.people import NAMESPACE, People
from kepil.errors import KepilError
from kepil.journal.chain import canonical
from kepil.signed.document import Document, Name, Sha256, write_once
from kepil.signed.signatures import make_signature

DOCUMENTS, TOKENS, SEAL, SIGNATURES = "documents", "tokens", "seal.json", "seal"
HEAD = f"{JOURNAL}.head"
SEALERS = 2
"""How many participants sign the seal, one of them independent: they compared the minutes with what they saw."""


class BundleError(KepilError):
    """The bundle cannot be made, or is not what was sealed; the message names the file and the remedy."""


class Seal(Document):
    """What the bundle holds, by SHA-256. `form` is that of the templates from which its documents were made."""

    ceremony: Name
    head: Sha256
    form: Sha256
    files: Annotated[dict[str, Sha256], Field(min_length=1)]

    @property
    def content(self) -> bytes:
        """The bytes that are signed."""
        return canonical(self.model_dump(mode="json"))


def pack(folder: Path, bundle: Path) -> Seal:
    """Make the bundle of a ceremony that is over, unsigned yet. Raises KepilError; nothing there is replaced."""
    from kepil.ceremony.documents import render  # noqa: PLC0415 -- only where documents are made

    ceremony = Ceremony(folder)
    if ceremony.course.phase != "closed":
        raise BundleError(f"{folder}: the ceremony is not over: awaited are {', '.join(ceremony.course.awaited())}")
    if bundle.exists():
        raise BundleError(f"{bundle} is there already and is never replaced: choose another name")
    fresh = bundle.with_name(f".{bundle.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # what an interrupted run left
    _copy(ceremony, fresh)
    entries, course = ceremony.journal.entries(), ceremony.course
    papers = {"script": render.scripts(course.plan), "minutes": render.all_minutes(entries)}
    render.write_documents(fresh / DOCUMENTS, papers)
    seal = Seal(ceremony=course.ceremony, head=course.head, form=render.form(), files=contents(fresh))
    write_once(fresh / SEAL, seal.content)
    fresh.rename(bundle)
    return seal


def _copy(ceremony: Ceremony, fresh: Path) -> None:
    """The journal and what was made, as far as it was not destroyed since; what was on media is in it by its hash."""
    (fresh / FILES).mkdir(parents=True)
    for name in (JOURNAL, HEAD):
        shutil.copyfile(ceremony.folder / name, fresh / name)
    for thing in ceremony.course.made:
        model = typed(thing, ceremony.course.made)
        if isinstance(model, FileMade) and thing not in ceremony.course.removed:
            shutil.copyfile(ceremony.folder / FILES / model.file, fresh / FILES / model.file)
    for name in ceremony.course.media:
        medium, kept = ceremony.folder / MEDIA / name, fresh / MEDIA / name
        shutil.copytree(medium / MEDIUM_SIGNATURES, kept / MEDIUM_SIGNATURES)
        shutil.copyfile(medium / MANIFEST, kept / MANIFEST)


def contents(bundle: Path) -> dict[str, str]:
    """SHA-256 of every file that the seal covers, by its path. Raises BundleError for what is no plain file."""
    return {str(path.relative_to(bundle)): sha256(path.read_bytes()).hexdigest() for path in _covered(bundle)}


def _covered(bundle: Path) -> Iterator[Path]:
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f"{path}: a bundle holds plain files")
        if path.is_file() and name.parts[0] not in (SEAL, SIGNATURES, TOKENS):
            yield path


def sign_seal(bundle: Path, person: str, key: Path, people: People, *, quiet: bool = False) -> Path:
    """Add a participant's signature under the seal. Raises KepilError."""
    if people.get(person) is None:
        raise BundleError(f"{person} took no part: {', '.join(one.id for one in people.people)}")
    made = make_signature((bundle / SEAL).read_bytes(), key, NAMESPACE, quiet=quiet)
    (bundle / SIGNATURES).mkdir(exist_ok=True)
    path = bundle / SIGNATURES / f"{person}.sig"
    write_once(path, made)
    return path


def document_names() -> set[str]:
    """What `documents/` of a bundle holds."""
    return {f"{name}.{lang}.{kind}" for name in ("script", "minutes") for lang in LANGUAGES for kind in ("html", "pdf")}
