"""Whatever is done to a bundle afterwards is found, offline, with public keys alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.bundle import BundleError, pack, sign_seal
from kepil.ceremony.course import follow
from kepil.ceremony.documents import render
from kepil.ceremony.engine import Ceremony
from kepil.ceremony.people import NAMESPACE, read_people
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.ceremony.verify import Verified, verify_bundle
from kepil.errors import KepilError
from kepil.journal.chain import GENESIS, Journal, canonical
from kepil.signed.signatures import AllowedSigners

from .authority import Authority
from .conftest import Hall

Lines = list[bytes]


@pytest.fixture
def hall(made: tuple[Hall, Path]) -> Hall:
    """The people of that ceremony."""
    return made[0]


@pytest.fixture
def bundle(made: tuple[Hall, Path], tmp_path: Path) -> Path:
    """A copy of the bundle."""
    return Path(shutil.copytree(made[1], tmp_path / "bundle"))


def verified(hall: Hall, bundle: Path, **options: Any) -> Verified:
    """Verify with the keys that the verifier has from elsewhere."""
    file = bundle.parent / "signers"
    file.write_text("".join(f"{person.id} {person.key}\n" for person in hall.people.people))
    return verify_bundle(bundle, AllowedSigners(file, NAMESPACE), **options)


def refused(hall: Hall, bundle: Path, reason: str, **options: Any) -> None:
    with pytest.raises(KepilError, match=reason):
        verified(hall, bundle, **options)


def lines(bundle: Path) -> Lines:
    return (bundle / "journal.jsonl").read_bytes().splitlines(keepends=True)


def write(bundle: Path, content: Lines) -> None:
    """The journal and its head, as somebody would write them who can write both."""
    (bundle / "journal.jsonl").write_bytes(b"".join(content))
    (bundle / "journal.jsonl.head").write_text(f"{len(content)} {sha256(content[-1]).hexdigest()}\n")


def chain(entries: list[dict[str, Any]]) -> Lines:
    """Entries numbered and chained anew."""
    made: Lines = []
    for number, entry in enumerate(entries, start=1):
        previous = sha256(made[-1]).hexdigest() if made else GENESIS
        made.append(canonical(entry | {"number": number, "previous": previous}))
    return made


def parsed(bundle: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(bundle)]


@pytest.mark.clause("CP-6.1")
def test_a_whole_bundle_proves_its_certificates(hall: Hall, bundle: Path) -> None:
    proved = verified(hall, bundle)
    certificate = Ceremony(hall.folder).course.made["certificate:krnca-rsa"]
    assert proved.outcome == "completed"
    assert proved.vouches == {certificate["fingerprint"]: "krnca-rsa"}
    assert verified(hall, bundle, head=proved.head.upper()).head == proved.head


@pytest.mark.clause("CP-5.4")
@pytest.mark.parametrize(
    "change",
    [
        lambda x: [x[0], x[1].replace(b"operator-1", b"operator-2"), *x[2:]],
        lambda x: [*x[:5], *x[6:]],
        lambda x: [*x[:3], x[4], x[3], *x[5:]],
        lambda x: [*x, x[-1]],
        lambda x: x[:-1],
        lambda x: x[1:],
    ],
    ids=["edited", "dropped", "reordered", "appended", "cut", "beheaded"],
)
def test_entries_that_were_changed_are_found(hall: Hall, bundle: Path, change: Callable[[Lines], Lines]) -> None:
    original = (bundle / "journal.jsonl.head").read_bytes()
    write(bundle, change(lines(bundle)))
    refused(hall, bundle, r"journal.jsonl|ends too early")
    (bundle / "journal.jsonl.head").write_bytes(original)
    refused(hall, bundle, r"journal.jsonl")


def tamper(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    def changed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        change(entries)
        return entries

    return changed


def index(entries: list[dict[str, Any]], event: str) -> int:
    return next(number for number, entry in enumerate(entries) if entry["event"] == event)


@pytest.mark.clause("CP-5.4")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: e[index(e, "began")].update(time="2020-01-01T00:00:00Z"), "the signature follows another entry"),
        (lambda e: e.pop(index(e, "confirm")), "the signature follows another entry|not begin here"),
        (lambda e: e[index(e, "confirm")]["data"].pop("signature"), "signature: Field required"),
        (lambda e: e[index(e, "confirm")]["data"]["statement"].update(note="Fine"), "no valid signature"),
        (lambda e: e[index(e, "performed")]["data"]["evidence"]["account"].update(x="0" * 64), "follows another entry"),
        (lambda e: e.append(e[index(e, "began")]), "the ceremony was closed before it"),
        (lambda e: e.append({"event": "refused", "time": "", "data": {}}), "the ceremony was closed before it"),
        (lambda e: e.insert(1, {"event": "party", "time": "", "data": {}}), "'party' may not be there"),
        (lambda e: e.insert(1, {"event": "follow", "time": "", "data": {}}), "'follow' may not be there"),
        (lambda e: e.insert(3, e[0]), "'opened' may not be there"),
        (lambda e: e.pop(), "signatures are missing: auditor-1"),
        (lambda e: e[0]["data"]["plan"]["steps"].pop(), "account is not taken both|signature is for another ceremony"),
        (lambda e: e[0]["data"]["people"]["people"].pop(), "cannot hold this ceremony"),
    ],
)
def test_a_journal_that_was_rewritten_whole_is_found(
    hall: Hall, bundle: Path, change: Callable[[list[dict[str, Any]]], Any], reason: str
) -> None:
    """Chain and head fit; what does not are the signatures, each of which is for one place of one journal."""
    write(bundle, chain(tamper(change)(parsed(bundle))))
    refused(hall, bundle, reason)


WORTHLESS: tuple[Any, ...] = (None, 0, "", [], {})


@pytest.mark.parametrize("event", ["opened", "present", "began", "performed", "confirm", "close"])
def test_an_entry_of_any_shape_is_refused_and_breaks_nothing(hall: Hall, bundle: Path, event: str) -> None:
    """Each field of an entry removed, and put in some other type: the verifier says no, and does not stumble."""
    whole = json.dumps(parsed(bundle))
    data = json.loads(whole)[index(json.loads(whole), event)]["data"]
    for value in WORTHLESS:
        entries = json.loads(whole)
        entries[index(entries, event)]["data"] = value
        write(bundle, chain(entries))
        refused(hall, bundle, "journal.jsonl")
    for field in data:
        for value in ("remove", *WORTHLESS):
            entries = json.loads(whole)
            there = entries[index(entries, event)]["data"]
            if value == "remove":
                del there[field]
            else:
                there[field] = value
            write(bundle, chain(entries))
            refused(hall, bundle, "journal.jsonl")


@pytest.mark.clause("CP-5.4")
def test_a_ceremony_held_by_others_under_the_same_names_is_found(
    hall: Hall, tmp_path: Path, hierarchies: dict[str, Any]
) -> None:
    impostors = Hall(tmp_path / "c", tmp_path / "k", hall.plan, rehearsal_people(hall.plan, tmp_path / "k"))
    impostors.hold(impostors.open())
    pack(impostors.folder, tmp_path / "bundle")
    for who in ("auditor-1", "custodian-1"):
        sign_seal(tmp_path / "bundle", who, tmp_path / "k" / who, impostors.people, quiet=True)
    verified(impostors, tmp_path / "bundle")
    refused(hall, tmp_path / "bundle", "operator-1 signed with a key that is not hers: .* has another key")


@pytest.mark.parametrize("option", ['valid-before="20200101"', 'namespaces="change@kepil"'])
def test_a_key_that_was_no_longer_valid_or_is_for_something_else_proves_nothing(
    hall: Hall, bundle: Path, tmp_path: Path, option: str
) -> None:
    lines = [f"{person.id} {option} {person.key}\n" for person in hall.people.people]
    (tmp_path / "ended").write_text("".join(lines))
    with pytest.raises(KepilError, match="no valid signature of 'operator-1'"):
        verify_bundle(bundle, AllowedSigners(tmp_path / "ended", NAMESPACE))


def test_a_second_journal_of_the_same_people_is_not_the_one_on_the_minutes(hall: Hall, bundle: Path) -> None:
    refused(hall, bundle, "not the one on the minutes: it was rewritten", head="0" * 64)


@pytest.mark.clause("CP-2.4")
def test_a_swapped_certificate_is_found(hall: Hall, bundle: Path, tmp_path: Path) -> None:
    path = bundle / "files/krnca-rsa.crt"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-subj", "/CN=krnca-rsa", "-keyout", str(tmp_path / "k.pem"), "-out", str(path)]
    subprocess.run([*words, *files], check=True, capture_output=True)
    refused(hall, bundle, "krnca-rsa.crt is not the file that was made: its SHA-256 differs")
    path.unlink()
    refused(hall, bundle, "krnca-rsa.crt is missing")


def test_a_file_that_no_step_made_is_found(hall: Hall, bundle: Path) -> None:
    (bundle / "files/other.crt").write_text("x")
    refused(hall, bundle, "other.crt: no step made it")
    (bundle / "files/other.crt").unlink()
    (bundle / "notes.txt").write_text("x")
    refused(hall, bundle, "not as it was sealed: notes.txt")
    (bundle / "notes.txt").unlink()
    (bundle / "link").symlink_to("/etc/passwd")
    refused(hall, bundle, "a bundle holds plain files")


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("name", ["minutes.kk.html", "script.en.html", "minutes.ru.pdf"])
def test_minutes_that_say_something_else_are_found(hall: Hall, bundle: Path, name: str) -> None:
    path = bundle / "documents" / name
    path.write_bytes(path.read_bytes().replace(b"custodian-1", b"custodian-9") + b"\n")
    refused(hall, bundle, f"not as it was sealed: documents/{re.escape(name)}")
    path.unlink()
    refused(hall, bundle, rf"missing or too many: {re.escape(name)}")


def test_minutes_sealed_with_something_else_in_them_are_found(hall: Hall, bundle: Path, keys: Path) -> None:
    """Even two participants' signatures do not make the minutes say what the journal does not."""
    path = bundle / "documents/minutes.en.html"
    path.write_text(path.read_text().replace("Done", "Dropped"))
    seal = json.loads((bundle / "seal.json").read_bytes())
    seal["files"]["documents/minutes.en.html"] = sha256(path.read_bytes()).hexdigest()
    (bundle / "seal.json").write_bytes(canonical(seal))
    shutil.rmtree(bundle / "seal")
    for who in ("auditor-1", "custodian-1"):
        sign_seal(bundle, who, keys / who, hall.people, quiet=True)
    refused(hall, bundle, "minutes.en.html does not say what the journal says")


def test_a_seal_needs_two_one_of_them_independent(hall: Hall, bundle: Path, keys: Path) -> None:
    (bundle / "seal/auditor-1.sig").unlink()
    refused(hall, bundle, "it has custodian-1")
    sign_seal(bundle, "custodian-2", keys / "custodian-2", hall.people, quiet=True)
    refused(hall, bundle, "one of them of a witness or auditor; it has custodian-1, custodian-2")
    shutil.copy(bundle / "seal/custodian-1.sig", bundle / "seal/witness-1.sig")
    refused(hall, bundle, "no valid signature of 'witness-1'")
    with pytest.raises(BundleError, match="stranger took no part"):
        sign_seal(bundle, "stranger", keys / "auditor-1", hall.people, quiet=True)


def test_documents_of_an_older_form_are_held_by_the_seal(
    hall: Hall, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle is verified years later, when the minutes look otherwise."""
    monkeypatch.setattr(render, "form", lambda: "0" * 64)
    assert verified(hall, bundle).notes == [
        "the documents were made from other templates; the seal holds them, and they were not rendered again"
    ]
    path = bundle / "documents/minutes.en.html"
    path.write_text(path.read_text().replace("Done", "Dropped"))
    refused(hall, bundle, "not as it was sealed: documents/minutes.en.html")


def test_who_says_another_form_breaks_the_seal(hall: Hall, bundle: Path) -> None:
    seal = json.loads((bundle / "seal.json").read_bytes())
    (bundle / "seal.json").write_bytes(canonical(seal | {"form": "0" * 64}))
    refused(hall, bundle, "no valid signature of 'auditor-1'")


def test_a_journal_of_other_rules_says_so(hall: Hall, bundle: Path) -> None:
    entries = parsed(bundle)
    entries[0]["data"]["rules"] = 1
    write(bundle, chain(entries))
    refused(hall, bundle, "held by rules 1; this version knows 3")


def test_a_seal_of_another_journal_seals_nothing(hall: Hall, bundle: Path) -> None:
    seal = json.loads((bundle / "seal.json").read_bytes())
    (bundle / "seal.json").write_bytes(canonical(seal | {"head": "0" * 64}))
    refused(hall, bundle, "it seals another journal")


def test_what_is_not_over_gets_no_bundle(hall: Hall, tmp_path: Path) -> None:
    other = Hall(tmp_path / "ceremony", hall.keys, hall.plan, hall.people)
    other.open()
    with pytest.raises(BundleError, match="not over: awaited are operator-1"):
        pack(other.folder, tmp_path / "bundle")


def test_an_aborted_ceremony_vouches_for_nothing(hall: Hall, tmp_path: Path, keys: Path) -> None:
    other = Hall(tmp_path / "ceremony", keys, hall.plan, hall.people)
    ceremony = other.open()
    other.until(ceremony, 4)
    for who in ("custodian-1", "witness-1"):
        ceremony.accept(other.signed(ceremony, "abort", who, note="Enough"))
    other.hold(ceremony)
    pack(other.folder, tmp_path / "bundle")
    for who in ("witness-1", "custodian-1"):
        sign_seal(tmp_path / "bundle", who, keys / who, hall.people, quiet=True)
    proved = verified(hall, tmp_path / "bundle")
    assert proved.outcome == "aborted"
    assert proved.vouches == {}


def test_people_can_be_read_from_a_journal_alone(hall: Hall, bundle: Path, tmp_path: Path) -> None:
    course = follow(Journal(bundle / "journal.jsonl").entries())
    course.people.write(tmp_path / "people.json")
    assert read_people(tmp_path / "people.json") == hall.people


@pytest.mark.clause("CP-5.4")
def test_the_head_is_stamped_by_two_authorities(hall: Hall, bundle: Path, tmp_path: Path) -> None:
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    anchors = tmp_path / "anchors.pem"
    anchors.write_bytes((first.folder / "crt").read_bytes() + (second.folder / "crt").read_bytes())
    head = verified(hall, bundle).head
    refused(hall, bundle, "the head is to be stamped, and no token is there", anchors=anchors)
    first.stamp(head, bundle / "tokens/first.tsr")
    assert verified(hall, bundle).stamped_by == []
    assert "were not looked at" in verified(hall, bundle).notes[0]
    refused(hall, bundle, "alone; two different authorities are needed", anchors=anchors)
    first.stamp(head, bundle / "tokens/again.tsr")
    refused(hall, bundle, "alone; two different authorities are needed", anchors=anchors)
    (bundle / "tokens/again.tsr").unlink()
    second.stamp(head, bundle / "tokens/second.tsr")
    stamped = verified(hall, bundle, anchors=anchors).stamped_by
    assert [line.split(",")[0] for line in stamped] == ["Common Name: first", "Common Name: second"]
    second.stamp("0" * 64, bundle / "tokens/second.tsr")
    refused(hall, bundle, "second.tsr: no valid time stamp of the journal's head", anchors=anchors)
    stranger = Authority(tmp_path, "stranger")
    stranger.stamp(head, bundle / "tokens/second.tsr")
    refused(hall, bundle, "second.tsr: no valid time stamp", anchors=anchors)
