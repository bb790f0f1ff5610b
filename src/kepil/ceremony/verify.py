"""Verifies a bundle: offline, with the bundle and the public keys that the verifier has, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kepil.ceremony.bundle import (
    DOCUMENTS,
    HEAD,
    SEAL,
    SEALERS,
    SIGNATURES,
    TOKENS,
    BundleError,
    Seal,
    contents,
    document_names,
)
from kepil.ceremony.course import Course, follow
from kepil.ceremony.crossing import MEDIA, refuse_others
from kepil.ceremony.definition import LANGUAGES, Language, Thing
from kepil.ceremony.engine import JOURNAL
from kepil.ceremony.evidence import FILES, FileMade, check_file, typed
from kepil.ceremony.medium import crossed, signed_manifest
from kepil.ceremony.people import People, keys_of
from kepil.ceremony.roles import INDEPENDENT
from kepil.ceremony.statement import Signed, parse_time
from kepil.ceremony.timestamp import check_tokens
from kepil.errors import KepilError
from kepil.journal.chain import Entry, Journal
from kepil.signed.document import parse
from kepil.signed.signatures import AllowedSigners


class VerificationError(KepilError):
    """The bundle does not prove what it says; the message names every fault that was found."""


@dataclass
class Verified:
    """What a bundle proves. `vouches` maps the SHA-256 fingerprint of each certificate to its name.

    `began` and `ended` are the times of the journal's first and last entry, by the clock of who held the ceremony.
    """

    ceremony: str
    environment: str
    outcome: str
    head: str
    entries: int
    began: datetime
    ended: datetime
    vouches: Mapping[str, str]
    made: frozenset[Thing] = frozenset()
    stamped_by: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_bundle(
    bundle: Path, signers: AllowedSigners, *, anchors: Path | None = None, head: str | None = None
) -> Verified:
    """What a bundle proves, if it proves anything.

    `signers` are the participants' keys as the verifier knows them, `anchors` certificates (PEM) of time-stamping
    authorities, `head` the SHA-256 on the printed minutes. Who gives anchors wants time stamps; without anchors they
    prove nothing, and are neither asked for nor looked at. Raises VerificationError that names every fault.
    """
    entries = _journal(bundle)
    course = _course(bundle, entries)
    faults: list[str] = []
    stamped: list[str] = []
    notes: list[str] = []

    def attempt(check: Callable[[], object]) -> None:
        try:
            check()
        except (KepilError, OSError) as error:
            faults.append(" ".join(str(error).split()))

    attempt(lambda: _known(entries, course.people, signers))
    attempt(lambda: _closed(course, head))
    attempt(lambda: _made(bundle, course))
    attempt(lambda: _media(bundle, course))
    attempt(lambda: _seal(bundle, course))
    attempt(lambda: notes.extend(_documents(bundle, entries, course)))
    if anchors is not None:
        attempt(lambda: stamped.extend(check_tokens(bundle / TOKENS, course.head, anchors)))
    elif any((bundle / TOKENS).glob("*")):
        notes.append("time stamps are there, and were not looked at: give their authorities' certificates (--anchors)")
    if faults:
        raise VerificationError(f"{bundle}: {'; '.join(faults)}")
    return Verified(
        ceremony=course.ceremony,
        environment=course.plan.environment,
        outcome=course.outcome,
        head=course.head,
        entries=course.entries,
        began=parse_time(entries[0].time),
        ended=parse_time(entries[-1].time),
        vouches=_vouches(course),
        made=frozenset(course.made),
        stamped_by=stamped,
        notes=notes,
    )


def _journal(bundle: Path) -> list[Entry]:
    for name in (JOURNAL, HEAD):
        if not (bundle / name).is_file():
            raise VerificationError(f"{bundle / name} is missing")
    return Journal(bundle / JOURNAL).entries()


def _course(bundle: Path, entries: list[Entry]) -> Course:
    """Every entry is one that may come there, and every signature holds under the key that the journal names."""
    try:
        return follow(entries)
    except KepilError as error:
        raise VerificationError(f"{bundle / JOURNAL}: {error}") from error


def _known(entries: list[Entry], people: People, signers: AllowedSigners) -> None:
    """Who rewrites a journal with keys of her own names keys that the verifier does not know, or not for then."""
    for person, key in keys_of(people).items():
        if signers.holder(key) != person:
            known = "another key" if person in signers.people else "no key"
            raise VerificationError(f"{person} signed with a key that is not hers: {signers.path} has {known}")
    with tempfile.TemporaryDirectory(prefix="kepil-ceremony-") as folder:
        for entry in entries:
            if entry.event in ("present", "close"):
                signed = Signed.model_validate(entry.data)
                file = Path(folder, f"entry-{entry.number}")
                file.write_text(signed.signature, encoding="ascii")
                signers.verify(signed.statement.content, file, signed.statement.person, signed.statement.at)


def _closed(course: Course, head: str | None) -> None:
    if course.phase != "closed":
        raise VerificationError(f"the journal ends too early: signatures are missing: {', '.join(course.awaited())}")
    if head is not None and head.replace(" ", "").lower() != course.head:
        raise VerificationError(f"the journal's head is {course.head}, not the one on the minutes: it was rewritten")


def _made(bundle: Path, course: Course) -> None:
    faults, expected = [], set[str]()
    for thing in course.made:
        model = typed(thing, course.made)
        if thing in course.removed or not isinstance(model, FileMade):
            continue
        expected.add(model.file)
        try:
            check_file(bundle, thing, course.made, course.key_hashes())
        except KepilError as error:
            faults.append(str(error))
    strangers = {path.name for path in (bundle / FILES).glob("*")} - expected
    faults += [f"{bundle / FILES / name}: no step made it" for name in sorted(strangers)]
    if faults:
        raise VerificationError("; ".join(faults))


def _media(bundle: Path, course: Course) -> None:
    """Each medium is the one that the journal names, signed as media are, and carried what the journal has."""
    faults = []
    made = {one.file: one.sha256 for thing in course.made if isinstance(one := typed(thing, course.made), FileMade)}
    for name, (step, stated) in course.media.items():
        where = bundle / MEDIA / name
        try:
            manifest, signed = signed_manifest(where, course.people)
            refuse_others(where, manifest.files)
        except KepilError as error:
            faults.append(str(error))
            continue
        whose = (manifest.ceremony, manifest.environment, manifest.step)
        if whose != (course.ceremony, course.plan.environment, step) or crossed(manifest, signed) != stated:
            faults.append(
                f"{where}: it is not the medium that step {step} wrote by the journal, manifest {stated.manifest}, "
                f"signed by {', '.join(stated.signed)}"
            )
        faults += [
            f"{where}: {file} on it is not the one that the journal has"
            for file, carried in manifest.files.items()
            if made.get(file, carried.sha256) != carried.sha256
        ]
    strangers = {path.name for path in (bundle / MEDIA).glob("*")} - course.media.keys()
    faults += [f"{bundle / MEDIA / name}: no step wrote it" for name in sorted(strangers)]
    if faults:
        raise VerificationError("; ".join(faults))


def _seal(bundle: Path, course: Course) -> None:
    path = bundle / SEAL
    seal = parse(path.read_bytes(), Seal, path)
    if seal.content != path.read_bytes() or (seal.ceremony, seal.head) != (course.ceremony, course.head):
        raise BundleError(f"{path}: it seals another journal")
    found = contents(bundle)
    changed = sorted(name for name in {*found, *seal.files} if found.get(name) != seal.files.get(name))
    if changed:
        raise BundleError(f"{path}: not as it was sealed: {', '.join(changed)}")
    _sealers(bundle, seal, course)


def _sealers(bundle: Path, seal: Seal, course: Course) -> None:
    people: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kepil-seal-") as folder:
        allowed = course.people.allowed_signers(Path(folder))
        for signature in sorted((bundle / SIGNATURES).glob("*")):
            allowed.verify(seal.content, signature, signature.stem, datetime.now(UTC))
            people.append(signature.stem)
    roles = {role for who in people for person in [course.people.get(who)] if person for role in person.roles}
    if len(people) < SEALERS or INDEPENDENT.isdisjoint(roles):
        raise BundleError(
            f"{bundle / SIGNATURES}: the seal needs {SEALERS} participants' signatures, one of them of a witness or "
            f"auditor; it has {', '.join(people) or 'none'}"
        )


def _documents(bundle: Path, entries: list[Entry], course: Course) -> list[str]:
    """Script and minutes say what the journal says: they are rendered again and compared.

    Where today's templates are others than those of the bundle, the seal alone holds the documents; that is noted.
    """
    from kepil.ceremony.documents import render  # noqa: PLC0415 -- needs Jinja2

    folder = bundle / DOCUMENTS
    found = {path.name for path in folder.glob("*")}
    if found != document_names():
        raise BundleError(f"{folder}: missing or too many: {', '.join(sorted(found ^ document_names()))}")
    if parse((bundle / SEAL).read_bytes(), Seal, bundle / SEAL).form != render.form():
        return ["the documents were made from other templates; the seal holds them, and they were not rendered again"]
    pages: dict[str, Callable[[Language], str]] = {
        "script": lambda language: render.script(course.plan, language),
        "minutes": lambda language: render.minutes(entries, language),
    }
    for name, page in pages.items():
        for language in LANGUAGES:
            path = folder / f"{name}.{language}.html"
            if path.read_text(encoding="utf-8") != page(language):
                raise BundleError(f"{path} does not say what the journal says: it was changed after it was made")
    return []


def _vouches(course: Course) -> dict[str, str]:
    """Fingerprints of the certificates that a completed ceremony made; an aborted one vouches for nothing."""
    if course.outcome != "completed":
        return {}
    return {
        made["fingerprint"]: thing.partition(":")[2]
        for thing, made in course.made.items()
        if thing.startswith("certificate:") and thing not in course.destroyed
    }
