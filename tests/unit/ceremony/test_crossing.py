"""What crosses to and from the offline root does so on media: signed at the desk, checked before each use."""

from __future__ import annotations

import builtins
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.bundle import SEAL, Seal, contents, pack, sign_seal
from kepil.ceremony.course import follow
from kepil.ceremony.crossing import MEDIA, refuse_others
from kepil.ceremony.definition import LANGUAGES, Step
from kepil.ceremony.desk import Terminal, Unattended
from kepil.ceremony.documents.render import minutes
from kepil.ceremony.engine import ActFailedError, Ceremony
from kepil.ceremony.examination import CourseError
from kepil.ceremony.hold import hold
from kepil.ceremony.medium import MediumError, sign_medium, write_medium
from kepil.ceremony.people import NAMESPACE, People
from kepil.ceremony.playbook import Playbook
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.ceremony.shown import rows
from kepil.ceremony.verify import verify_bundle
from kepil.ceremony.words import everything, role_text
from kepil.errors import KepilError
from kepil.journal.chain import Journal, canonical
from kepil.signed.document import parse
from kepil.signed.signatures import AllowedSigners

from .conftest import PROJECT, Hall, definition, lint, listing, planned, step

STEPS = PROJECT / "playbooks/ceremonies/steps"
CSR, CRL, FORMER = "nca-rsa.csr", "krnca-rsa.crl", "krnca-rsa.former.crl"
LIST, FORMERLY = listing(2), listing(1)
WITHDRAWN = "krnca-rsa.withdrawn.crl"


class Hosts(Playbook):
    """The playbook's acts on folders, by its own scripts: a request goes to the root, and its CRL comes back."""

    def __init__(self, folder: Path, sign: Callable[[Path, People], None]) -> None:
        (folder / "trial.yml").touch()
        super().__init__(folder / "trial.yml", folder / "records", sign=sign)
        self.root = folder / "root01"
        for name in ("root01", "records/medium", "records/lint"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.signs = LIST
        self.on_the_way: Callable[[Path], Any] = lambda _: None
        self.used: bytes | None = None

    def _run(self, tag: str, step: Step, told: Mapping[str, Any], folder: Path) -> None:
        act = self.withdraw if tag == "remove" else getattr(self, tag)
        act({"ceremony_step": step.model_dump(mode="json"), **told}, folder)

    def request(self, told: Mapping[str, Any], folder: Path) -> None:
        request = self.records.folder / "medium" / CSR
        request.write_bytes(b"request")
        shutil.rmtree(folder / MEDIA / CSR, ignore_errors=True)
        (folder / MEDIA).mkdir(exist_ok=True)
        course = Ceremony(folder).course
        at, by = datetime.now(UTC), told["ceremony_step"]["id"]
        write_medium(folder / MEDIA / CSR, [request], course.ceremony, course.plan.environment, "to-root", at, by)

    def crl(self, told: Mapping[str, Any], folder: Path) -> None:
        shutil.copytree(folder / MEDIA / CSR, self.root / "arriving" / CSR)
        self.on_the_way(self.root / "arriving" / CSR)
        people = json.dumps(Ceremony(folder).people.model_dump(mode="json", exclude_none=True), ensure_ascii=False)
        self.script("arrive.sh", told, folder, people, CARRIED=CSR, MANIFEST=told["ceremony_media"][CSR])
        assert (self.root / CSR).read_bytes() == b"request"
        if (self.root / CRL).exists():
            (self.root / CRL).rename(self.root / f"krnca-rsa.before-{Ceremony(folder).course.ceremony}.crl")
        (self.root / CRL).write_bytes(self.signs)
        lint(self.records.folder, self.signs)
        self.leave(CRL, told=told, folder=folder)

    def withdraw(self, told: Mapping[str, Any], folder: Path) -> None:
        if told["ceremony_thing"] == "crl:krnca-rsa" and (printed := self.script("withdraw_crl.sh", told, folder, "")):
            self.leave(*printed.split(), told=told, folder=folder)

    def leave(self, name: str, *along: str, told: Mapping[str, Any], folder: Path) -> None:
        printed = self.script("leave.sh", told, folder, "", CARRIED=name, RECORD="", ALONG=" ".join(along))
        shutil.rmtree(folder / MEDIA / name, ignore_errors=True)
        shutil.copytree(self.root / "leaving" / name, folder / MEDIA / name)
        assert sha256((folder / MEDIA / name / "manifest.json").read_bytes()).hexdigest() == printed.strip()
        self.on_the_way(folder / MEDIA / name)

    def use(self, told: Mapping[str, Any], _folder: Path) -> None:
        self.used = Path(told["ceremony_arrived"], CRL, CRL).read_bytes()

    def script(self, name: str, told: Mapping[str, Any], folder: Path, stdin: str, **words: str) -> str:
        course = Ceremony(folder).course
        text = (STEPS / name).read_text(encoding="utf-8").replace("/etc/kepil/ceremony", str(self.root))
        environment = os.environ | words | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment |= {"CEREMONY": course.ceremony, "ENVIRONMENT": course.plan.environment}
        environment |= {"STEP": told["ceremony_step"]["id"], "NAME": "krnca-rsa"}
        done = subprocess.run(
            ["sh", "-euc", text], input=stdin, text=True, env=environment, capture_output=True, check=False
        )
        if done.returncode != 0:
            raise KepilError(f"{name}: {done.stderr}")
        return done.stdout


def crossing_hall(folder: Path, keys: Path, hierarchies: dict[str, Any]) -> Hall:
    """Three steps: a request is made, a root signs, what it signed is used."""
    steps = [
        step("request", act="request", makes=["request:nca-rsa"]),
        step("crl", act="crl", needs=["request:nca-rsa"], makes=["crl:krnca-rsa"]),
        step("use", act="use", needs=["crl:krnca-rsa"]),
    ]
    plan = planned(folder, definition() | {"steps": steps}, {"rsa": hierarchies["rsa"]})
    return Hall(folder / "ceremony", keys, plan, rehearsal_people(plan, keys))


@pytest.fixture
def hall(tmp_path: Path, keys: Path, hierarchies: dict[str, Any]) -> Hall:
    return crossing_hall(tmp_path, keys, hierarchies)


@pytest.fixture
def hosts(tmp_path: Path, hall: Hall) -> Hosts:
    return Hosts(tmp_path, hall.desk().sign_medium)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, keys: Path, hierarchies: dict[str, Any]) -> Path:
    """The folder of a ceremony in which both media have crossed, and the last act is still to be done."""
    folder = tmp_path_factory.mktemp("both")
    hall = crossing_hall(folder, keys, hierarchies)
    until(hall, hall.open(), Hosts(folder, hall.desk().sign_medium), 3)
    return folder


def until(hall: Hall, ceremony: Ceremony, hosts: Hosts, number: int) -> None:
    """To a step's act, which is still to be done."""
    while ceremony.course.phase == "gathering" or ceremony.course.step < number - 1:
        if ceremony.course.must_act():
            ceremony.perform(hosts)
        else:
            ceremony.accept(hall.desk().sign(ceremony))


def bundled(hall: Hall) -> Path:
    bundle = hall.folder.parent / "bundle"
    pack(hall.folder, bundle)
    seal(hall, bundle)
    return bundle


def seal(hall: Hall, bundle: Path) -> None:
    for who in ("auditor-1", "custodian-1"):
        sign_seal(bundle, who, hall.keys / who, hall.people, quiet=True)


def verified(hall: Hall, bundle: Path) -> None:
    signers = bundle.parent / "signers"
    signers.write_text("".join(f"{person.id} {person.key}\n" for person in hall.people.people))
    verify_bundle(bundle, AllowedSigners(signers, NAMESPACE))


@pytest.mark.clause("CP-6.1")
def test_a_ceremony_crosses_and_its_bundle_proves_how(hall: Hall, hosts: Hosts) -> None:
    ceremony = hall.open()
    assert hold(ceremony, hosts, hall.desk()).outcome == "completed"
    assert hosts.used == LIST
    assert (hosts.records.folder / CRL).read_bytes() == LIST
    assert sorted(path.name for path in hosts.root.iterdir()) == [CRL, "leaving", CSR]
    manifests = {
        name: sha256((hall.folder / MEDIA / name / "manifest.json").read_bytes()).hexdigest() for name in (CSR, CRL)
    }
    said = {name: (step, one.direction, one.manifest, one.files) for name, (step, one) in ceremony.course.media.items()}
    assert said == {
        CSR: ("request", "to-root", manifests[CSR], {CSR: sha256(b"request").hexdigest()}),
        CRL: ("crl", "from-root", manifests[CRL], {CRL: sha256(LIST).hexdigest()}),
    }
    assert [one.signed for _, one in ceremony.course.media.values()] == [("operator-1", "witness-1")] * 2
    shown = [entry.data["statement"]["shown"] for entry in ceremony.journal.entries() if entry.event == "confirm"]
    assert [one[f"medium {CSR}"] for one in shown if f"medium {CSR}" in one] == [manifests[CSR]] * 3
    verified(hall, bundled(hall))


def resigned(hall: Hall, medium: Path, **changes: str) -> None:
    """Another medium under the name, as the same two people signed it."""
    stated = json.loads((medium / "manifest.json").read_bytes()) | changes
    (medium / "manifest.json").write_bytes(canonical(stated))
    shutil.rmtree(medium / "signatures")
    for who in ("operator-1", "witness-1"):
        sign_medium(medium, who, hall.keys / who, hall.people, quiet=True)


CHANGES: list[tuple[Callable[[Hall, Path], Any], str]] = [
    (lambda _, m: (m / "files" / m.name).write_bytes(b"Request"), "{name} was changed"),
    (lambda _, m: (m / "files" / m.name).unlink(), "{name} is missing"),
    (lambda _, m: (m / "files/autorun.inf").write_bytes(b""), "autorun.inf is not in its manifest"),
    (lambda _, m: (m / "autorun.inf").write_bytes(b""), "no part of a medium: autorun.inf"),
    (lambda _, m: shutil.rmtree(m), "{name}: no medium is there"),
    (lambda _, m: shutil.rmtree(m / "signatures"), "it has those of nobody"),
    (lambda _, m: (m / "signatures/witness-1.sig").unlink(), "it has those of operator"),
    (
        lambda _, m: (m / "manifest.json").write_bytes((m / "manifest.json").read_bytes().replace(b"2026", b"2027")),
        "operator-1.sig: no valid signature of 'operator-1' over .*manifest.json",
    ),
    (lambda hall, m: resigned(hall, m, ceremony="trial-20260101-000000"), "it is of ceremony trial-20260101-000000"),
    (lambda hall, m: resigned(hall, m, environment="production"), "it is of environment production"),
    (lambda hall, m: resigned(hall, m, step="another"), "it is of step another"),
    (
        lambda hall, m: resigned(hall, m, made_at="2026-01-01T00:00:00Z"),
        "another medium than the journal names.*written 2026-01-01",
    ),
]


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("name", [CSR, CRL])
@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_medium_that_is_not_as_it_was_signed_stops_the_ceremony(
    both: Path, hall: Hall, name: str, change: Callable[[Hall, Path], Any], reason: str
) -> None:
    """Whichever way it crossed, before anything is done; brought back, the ceremony goes on."""
    folder = hall.folder.parent
    shutil.copytree(both, folder, dirs_exist_ok=True)
    hosts, ceremony = Hosts(folder, hall.desk().sign_medium), Ceremony(hall.folder)
    change(hall, hall.folder / MEDIA / name)
    with pytest.raises(ActFailedError, match=reason.format(name=name)) as refused:
        ceremony.perform(hosts)
    assert f"Bring {name} as it was signed at step {ceremony.course.media[name][0]}" in str(refused.value)
    assert ceremony.journal.entries()[-1].event == "failed"
    assert name in ceremony.journal.entries()[-1].data["reason"]
    assert hosts.used is None
    shutil.rmtree(hall.folder / MEDIA)
    shutil.copytree(both / "ceremony" / MEDIA, hall.folder / MEDIA)
    ceremony.perform(hosts)
    assert hosts.used == LIST


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: (m / "files" / CSR).write_bytes(b"exchanged"), f"{CSR} was changed"),
        (lambda m: (m / "files/more").write_bytes(b""), "more is not in its manifest"),
        (lambda m: shutil.rmtree(m / "signatures"), "it has those of nobody"),
    ],
)
def test_what_is_exchanged_on_the_way_the_roots_host_refuses(
    hall: Hall, hosts: Hosts, change: Callable[[Path], Any], reason: str
) -> None:
    """Threat: the medium that the desk checked is not the one that the root reads."""
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    hosts.on_the_way = change
    with pytest.raises(ActFailedError, match=reason):
        ceremony.perform(hosts)
    assert not list(hosts.root.iterdir()), "nothing is taken, and nothing stays of the medium"
    hosts.on_the_way = lambda _: None
    assert hold(ceremony, hosts, hall.desk()).outcome == "completed"


def test_the_roots_host_refuses_an_older_medium_of_the_same_step(hall: Hall, hosts: Hosts) -> None:
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    hosts.on_the_way = lambda medium: resigned(hall, medium, made_at="2026-01-01T00:00:00Z")
    with pytest.raises(ActFailedError, match="another medium than the journal names"):
        ceremony.perform(hosts)
    assert not list(hosts.root.iterdir())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: (m / "files" / CRL).write_bytes(b"another"), f"{CRL} was changed"),
        (lambda m: (m / "files/more").write_bytes(b""), "more is not in its manifest"),
        (lambda m: shutil.copytree(m, m.with_name("other.crl")), "other.crl: step crl writes no such medium"),
        (lambda m: (m / "signatures").mkdir(), "it has those of nobody"),
    ],
)
def test_what_came_back_otherwise_than_it_was_written_is_not_kept(
    hall: Hall, hosts: Hosts, change: Callable[[Path], Any], reason: str
) -> None:
    """Neither signed nor kept; the act is repeated, and what the first try left is gone."""
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    hosts.on_the_way = lambda medium: medium.name == CRL and change(medium)
    asked: list[Path] = []
    hosts.sign = lambda medium, _: asked.append(medium)
    with pytest.raises(ActFailedError, match=reason):
        ceremony.perform(hosts)
    assert not asked
    assert not (hosts.records.folder / CRL).exists()
    hosts.on_the_way, hosts.sign = lambda _: None, hall.desk().sign_medium
    assert hold(ceremony, hosts, hall.desk()).outcome == "completed"
    assert sorted(path.name for path in (hall.folder / MEDIA).iterdir()) == [CRL, CSR]
    verified(hall, bundled(hall))


def rewritten(hall: Hall, medium: Path, files: dict[str, bytes], *, signed: bool) -> None:
    """The medium as the act would have written it with these files, and as its two people may have signed it."""
    by = json.loads((medium / "manifest.json").read_bytes())["step"]
    shutil.rmtree(medium)
    more = hall.folder.parent / "more"
    for place, content in files.items():
        (more / place).parent.mkdir(parents=True, exist_ok=True)
        (more / place).write_bytes(content)
    course, at = Ceremony(hall.folder).course, datetime.now(UTC)
    write_medium(medium, sorted(more.iterdir()), course.ceremony, course.plan.environment, "from-root", at, by)
    shutil.rmtree(more)
    for who in ("operator-1", "witness-1") if signed else ():
        sign_medium(medium, who, hall.keys / who, hall.people, quiet=True)


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({CRL: LIST, "nca-rsa.json": b"{}"}, "nca-rsa.json is none of its files; it carries krnca-rsa.crl alone"),
        ({CRL: LIST, "krnca-rsa.json": b"{}"}, "krnca-rsa.json is none of its files"),
        ({CRL: LIST, "keys/nca-rsa.json": b"{}"}, "keys/nca-rsa.json is none of its files"),
        ({"keys/nca-rsa.json": b"{}"}, "keys/nca-rsa.json is none of its files; krnca-rsa.crl is not on it"),
    ],
)
def test_a_medium_brings_the_file_of_its_name_and_no_other(
    hall: Hall, hosts: Hosts, files: dict[str, bytes], reason: str, signed: bool
) -> None:
    """Threat: with a CRL comes the record of a certificate, though two people signed for the medium."""
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    hosts.on_the_way = lambda medium: rewritten(hall, medium, files, signed=signed) if medium.name == CRL else None
    asked: list[Path] = []
    hosts.sign = lambda medium, _: asked.append(medium)
    with pytest.raises(ActFailedError, match=reason):
        ceremony.perform(hosts)
    assert not asked
    assert [path.name for path in hosts.records.folder.rglob("*.*") if path.parent.name != "lint"] == [CSR]


@pytest.mark.clause("CP-4.9")
def test_an_act_that_signs_no_crl_does_not_pass_with_the_old_one(
    hall: Hall, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat: the act does nothing, the list of last year is confirmed, and what was to be revoked is on none."""
    (hosts.records.folder / CRL).write_bytes(FORMERLY)
    lint(hosts.records.folder, FORMERLY)
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    with monkeypatch.context() as patched:
        patched.setattr(hosts, "crl", lambda *_: None)
        with pytest.raises(ActFailedError, match=f"step crl: no medium of {CRL} came from its act, which signed none"):
            ceremony.perform(hosts)
    hosts.signs = FORMERLY
    with pytest.raises(ActFailedError, match=f"{CRL} has number 1, and number 1 stood before this ceremony"):
        ceremony.perform(hosts)
    hosts.signs = LIST
    assert hold(ceremony, hosts, hall.desk()).outcome == "completed"
    assert ceremony.course.made["crl:krnca-rsa"]["number"] == 2


@pytest.mark.parametrize(
    ("name", "carried", "wrong"),
    [
        ("nca-rsa.crt", ["nca-rsa.crt", "nca-rsa.json"], None),
        ("nca-rsa.csr", ["nca-rsa.csr", "nca-rsa.json"], "nca-rsa.json is none of its files; it carries nca-rsa.csr"),
        (FORMER, [FORMER, WITHDRAWN], None),
        (CRL, [CRL, WITHDRAWN], f"{WITHDRAWN} is none of its files; it carries {CRL} alone"),
        ("root.state", ["state/krnca-rsa.crt", f"state/{CRL}"], None),
        (
            "root.state",
            [f"state/{CRL}", CRL, "state/keys/root"],
            f"{CRL} is none of its files; state/keys/root is none",
        ),
    ],
)
def test_what_may_come_with_a_file(name: str, carried: list[str], wrong: str | None) -> None:
    if wrong is None:
        refuse_others(Path(name), carried)
    else:
        with pytest.raises(MediumError, match=re.escape(wrong)):
            refuse_others(Path(name), carried)


def test_where_nobody_signs_nothing_is_kept(hall: Hall, hosts: Hosts, tmp_path: Path) -> None:
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    del hosts.__dict__["sign"]
    alone = Playbook(hosts.playbook, hosts.records.folder)
    hosts.sign = alone.sign
    with pytest.raises(ActFailedError, match=f"{CRL}: nobody is there to sign it"):
        ceremony.perform(hosts)
    assert not (hosts.records.folder / CRL).exists()
    hosts.sign = Unattended(hall.keys).sign_medium
    assert hold(ceremony, hosts, hall.desk()).outcome == "completed"


def test_killed_between_signature_and_journal_it_goes_on_with_the_same_medium(
    hall: Hall, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat: the certificate is kept and its record is not, and no later run can tell whose it is."""
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    with monkeypatch.context() as patched:
        patched.setattr(hosts.records, "receive", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ceremony.perform(hosts)
    manifest = (hall.folder / MEDIA / CRL / "manifest.json").read_bytes()
    assert not (hosts.records.folder / CRL).exists()
    monkeypatch.setattr(hosts, "crl", lambda *_: None)  # as the playbook, which finds it in the records
    ceremony = Ceremony.resume(hall.folder, "The power failed")
    until(hall, ceremony, hosts, 2)
    ceremony.perform(hosts)
    assert ceremony.course.media[CRL][1].manifest == sha256(manifest).hexdigest()
    assert (hosts.records.folder / CRL).read_bytes() == LIST


def test_people_sign_a_medium_at_the_terminal(
    hall: Hall, hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A custodian signs none, an operator is not who looks on, and who does not sign stops the act."""
    hosts.sign = Terminal(hall.keys).sign_medium
    ceremony = hall.open()
    until_gathered = Unattended(hall.keys, say=lambda _: None)
    while ceremony.course.phase == "gathering":
        ceremony.accept(until_gathered.sign(ceremony))
    replies = iter(["operator-1", "", "custodian-1", "operator-1", "operator-1", "auditor-1"])
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return next(replies)

    monkeypatch.setattr(builtins, "input", answer)
    with pytest.raises(ActFailedError, match=f"{CSR}: nobody signed it as witness or auditor who looked on"):
        ceremony.perform(hosts)
    ceremony.perform(hosts)
    told = capsys.readouterr().out
    assert f"Medium {CSR} (to-root), to be signed by operator who wrote it and by witness or auditor" in told
    assert f"  {CSR}:\n    1:  {sha256(b'request').hexdigest()[:4]} " in told
    assert "custodian-1 is no operator who wrote it of this ceremony: operator-1" in told
    assert "operator-1 is no witness or auditor who looked on of this ceremony: witness-1, auditor-1" in told
    assert asked[-1] == "Who signs it as witness or auditor who looked on? (witness-1, auditor-1; empty: nobody) "
    assert {path.name for path in (hall.folder / MEDIA / CSR / "signatures").iterdir()} == {
        "operator-1.sig",
        "auditor-1.sig",
    }


def test_who_signs_sees_what_the_medium_holds(hall: Hall, hosts: Hosts) -> None:
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    (hall.folder / MEDIA / CSR / "files" / CSR).write_bytes(b"another")
    with pytest.raises(MediumError, match=f"{CSR} was changed"):
        Terminal(hall.keys).sign_medium(hall.folder / MEDIA / CSR, hall.people)


def test_a_medium_crosses_once(hall: Hall, hosts: Hosts) -> None:
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    ceremony.perform(hosts)
    for _ in range(3):
        ceremony.accept(hall.desk().sign(ceremony))
    ceremony._append("began", {"step": "use"})
    crossed = ceremony.course.media[CSR][1].model_dump(mode="json")
    with pytest.raises(CourseError, match=f"medium {CSR} crossed already"):
        ceremony.course.tried("performed", {"step": "use", "evidence": {"media": {CSR: crossed}}})


@pytest.mark.parametrize(
    ("signed", "reason"),
    [
        (["operator-1", "custodian-1"], "custodian-1 is custodian and signs no media"),
        (["operator-1", "passer-by"], "passer-by took no part"),
        (["auditor-1", "witness-1"], "it needs the signatures of an operator"),
    ],
)
def test_the_journal_takes_no_medium_of_other_signers(both: Path, hall: Hall, signed: list[str], reason: str) -> None:
    shutil.copytree(both, hall.folder.parent, dirs_exist_ok=True)
    course = Ceremony(hall.folder).course
    crossed = course.media.pop(CSR)[1].model_dump(mode="json") | {"signed": signed}
    course.began = True
    with pytest.raises(MediumError, match=f"step use: medium {CSR}: {reason}"):
        course.tried("performed", {"step": "use", "evidence": {"media": {CSR: crossed}}})


def sealed_again(hall: Hall, bundle: Path) -> None:
    """The bundle as its sealers would seal it after the change."""
    was = parse((bundle / SEAL).read_bytes(), Seal, bundle / SEAL)
    (bundle / SEAL).write_bytes(was.model_copy(update={"files": contents(bundle)}).content)
    shutil.rmtree(bundle / "seal")
    seal(hall, bundle)


def test_an_aborted_ceremonys_media_are_in_its_bundle(both: Path, hall: Hall) -> None:
    """What was on them was destroyed; that it had crossed, and by whom, stays."""
    folder = hall.folder.parent
    shutil.copytree(both, folder, dirs_exist_ok=True)
    ceremony = Ceremony(hall.folder)
    for who in ("custodian-1", "witness-1"):
        ceremony.accept(hall.signed(ceremony, "abort", who, note="Enough"))
    assert hold(ceremony, Hosts(folder, hall.desk().sign_medium), hall.desk()).outcome == "aborted"
    assert not (folder / "records/medium" / CSR).exists()
    bundle = bundled(hall)
    assert {path.name for path in (bundle / MEDIA).iterdir()} == {CSR, CRL}
    assert not (bundle / "files" / CSR).exists()
    assert not list(bundle.rglob("media/*/files"))
    verified(hall, bundle)


def aborted_with_a_former_crl(hall: Hall, hosts: Hosts) -> Ceremony:
    """The root had a CRL; the ceremony's own was signed, and its people abort before they confirm it."""
    (hosts.root / CRL).write_bytes(FORMERLY)
    (hosts.records.folder / CRL).write_bytes(FORMERLY)
    ceremony = hall.open()
    until(hall, ceremony, hosts, 2)
    ceremony.perform(hosts)
    assert (hosts.records.folder / CRL).read_bytes() == LIST
    for who in ("custodian-1", "witness-1"):
        ceremony.accept(hall.signed(ceremony, "abort", who, note="Enough"))
    return ceremony


@pytest.mark.clause("CP-4.9")
def test_the_crl_that_stands_again_comes_on_a_medium(hall: Hall, hosts: Hosts) -> None:
    """Signed as every medium is; its bundle proves it, and the minutes name it."""
    ceremony = aborted_with_a_former_crl(hall, hosts)
    hold(ceremony, hosts, hall.desk())
    assert (hosts.root / CRL).read_bytes() == (hosts.records.folder / CRL).read_bytes() == FORMERLY
    step, crossed = ceremony.course.media[FORMER]
    assert (step, crossed.direction, crossed.files) == (
        "crl",
        "from-root",
        {FORMER: sha256(FORMERLY).hexdigest(), WITHDRAWN: sha256(LIST).hexdigest()},
    )
    assert (hosts.records.folder / "withdrawn" / WITHDRAWN).read_bytes() == LIST, "its number stays taken"
    assert ceremony.course.removed["crl:krnca-rsa"].startswith("withdrawn, and the CRL before it stands again")
    assert f"<b>{FORMER}</b>" in minutes(ceremony.journal.entries(), "en")
    bundle = bundled(hall)
    verified(hall, bundle)
    shutil.rmtree(bundle / MEDIA / FORMER)
    sealed_again(hall, bundle)
    with pytest.raises(KepilError, match=f"{FORMER}: no medium is there"):
        verified(hall, bundle)


@pytest.mark.clause("CP-4.9")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: (m / "files" / FORMER).write_bytes(b"another"), f"{FORMER} was changed"),
        (lambda m: shutil.copytree(m, m.with_name("other.crl")), "other.crl: step crl writes no such medium"),
    ],
)
def test_a_crl_that_comes_back_otherwise_does_not_stand(
    hall: Hall, hosts: Hosts, change: Callable[[Path], Any], reason: str
) -> None:
    """Threat: an abort is what brings a false CRL in. The medium holds, or it is tried again."""
    ceremony = aborted_with_a_former_crl(hall, hosts)
    hosts.on_the_way = change
    with pytest.raises(KepilError, match=reason):
        ceremony.remove_remains(hosts)
    assert "crl:krnca-rsa" in ceremony.course.remains()
    assert (hosts.records.folder / CRL).read_bytes() == LIST
    hosts.on_the_way = lambda _: None
    resumed = Ceremony.resume(hall.folder, "The medium was thrown away")
    assert hold(resumed, hosts, hall.desk()).outcome == "aborted"
    assert (hosts.records.folder / CRL).read_bytes() == FORMERLY


@pytest.mark.clause("CP-6.1")
def test_minutes_tell_what_crossed(both: Path) -> None:
    """From the journal alone: direction, step, files, manifest, and who signed."""
    entries = Journal(both / "ceremony/journal.jsonl").entries()
    course = follow(entries)
    words = everything()
    for language in LANGUAGES:
        page = unescape(" ".join(minutes(entries, language).split()))
        for name, (by, crossed) in course.media.items():
            wanted = [name, by, crossed.made_at, " ".join(rows(crossed.manifest)), words[crossed.direction][language]]
            wanted += [" ".join(rows(sha256)) for sha256 in crossed.files.values()]
            wanted += [f"{who}-1 ({role_text(who, 'name', language)})" for who in ("operator", "witness")]
            section = page[page.index(f"<b>{name}</b>") :]
            section = section[: section.index("</table>")]
            assert not [text for text in wanted if text not in section], (language, name)


@pytest.mark.clause("CP-6.1")
def test_a_bundle_whose_media_are_others_proves_nothing(hall: Hall, hosts: Hosts, tmp_path: Path) -> None:
    """Though it is sealed so: the journal and the signatures of those who carried are against it."""
    hold(hall.open(), hosts, hall.desk())
    whole = bundled(hall)
    more = ("auditor-1", hall.keys / "auditor-1", hall.people)
    changes: list[tuple[Callable[[Path], Any], str]] = [
        (lambda m: sign_medium(m / CSR, *more, quiet=True), f"{CSR}: it is not the medium .*signed by operator-1, wit"),
        (lambda m: shutil.rmtree(m / CSR), f"{CSR}: no medium is there"),
        (lambda m: (m / CSR / "signatures/operator-1.sig").unlink(), f"{CSR}: it needs the signatures of an operator"),
        (lambda m: resigned(hall, m / CSR, made_at="2026-01-01T00:00:00Z"), f"{CSR}: it is not the medium that step"),
        (lambda m: shutil.copytree(m / CSR, m / "more.csr"), "more.csr: no step wrote it"),
    ]
    for number, (change, reason) in enumerate(changes):
        bundle = Path(shutil.copytree(whole, tmp_path / f"changed-{number}"))
        change(bundle / MEDIA)
        sealed_again(hall, bundle)
        with pytest.raises(KepilError, match=reason):
            verified(hall, bundle)


def test_what_was_on_the_medium_is_what_the_journal_has(
    hall: Hall, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat: one request crosses, and another is confirmed."""
    request = hosts.request

    def exchanged(told: Mapping[str, Any], folder: Path) -> None:
        request(told, folder)
        (hosts.records.folder / "medium" / CSR).write_bytes(b"another")

    monkeypatch.setattr(hosts, "request", exchanged)
    hold(hall.open(), hosts, hall.desk())
    with pytest.raises(KepilError, match=f"{CSR} on it is not the one that the journal has"):
        verified(hall, bundled(hall))
