"""The bundle of a ceremony that is over: everything an auditor needs, and nothing that must not leave.

A bundle is a folder: `journal.jsonl` and its head, `files/` with what was made, `documents/` with script and minutes,
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

from kepil.ceremony.definition import LANGUAGES
from kepil.ceremony.engine import JOURNAL, Ceremony
from kepil.ceremony.evidence import FILES, FileMade, typed
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
    bundle.mkdir(parents=True)
    for name in (JOURNAL, HEAD):
        shutil.copyfile(folder / name, bundle / name)
    (bundle / FILES).mkdir()
    for thing, made in ceremony.course.made.items():
        model = typed(thing, {thing: made})
        if isinstance(model, FileMade) and thing not in ceremony.course.removed:
            shutil.copyfile(folder / FILES / model.file, bundle / FILES / model.file)
    entries = ceremony.journal.entries()
    render.write_documents(bundle / DOCUMENTS, "script", render.scripts(ceremony.course.plan))
    render.write_documents(bundle / DOCUMENTS, "minutes", render.all_minutes(entries))
    course = ceremony.course
    seal = Seal(ceremony=course.ceremony, head=course.head, form=render.form(), files=contents(bundle))
    write_once(bundle / SEAL, seal.content)
    return seal


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
