"""A stand-in for modules and hosts: real keys and certificates, in files, that nobody relies on.

With it any ceremony is rehearsed where there is no estate: people, papers, media, journal and bundle are the real ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from asn1crypto import pem, x509

from kepil.ceremony.activation import encrypt, new_secret, split
from kepil.ceremony.course import follow
from kepil.ceremony.crossing import MEDIA, STATE, SUFFIXES, Media, SignMedium
from kepil.ceremony.definition import Side, Step, Thing
from kepil.ceremony.engine import Removed
from kepil.ceremony.evidence import (
    FILES,
    describe_certificate,
    describe_crl,
    describe_file,
    describe_state,
    kind,
    name_of,
)
from kepil.ceremony.medium import Direction, write_medium
from kepil.ceremony.plan import Plan
from kepil.errors import KepilError
from kepil.journal.chain import Journal, now
from kepil.pki.crl_content import read_crl

THRESHOLD = 2
MODULE = {"make": "Kepil", "model": "Rehearsal stand-in", "serial": "STANDIN-1", "firmware": "none"}
_CA = """[ca]
default_ca = here
[here]
database = {index}
crlnumber = {number}
default_md = sha256
default_crl_days = 365
"""


class StandInError(KepilError):
    """OpenSSL did not do what a rehearsal asked of it."""


class StandIn:
    """Keys are files in `module`; what earlier ceremonies would have left is made at once.

    With `sign`, what would cross to or from the offline root does so on media, which that has signed.
    """

    def __init__(self, module: Path, plan: Plan, sign: SignMedium | None = None) -> None:
        self.module, self.plan, self.sign = module, plan, sign
        self._issuers = {step.id: self._issuer(step) for step in plan.steps}
        module.mkdir(parents=True, exist_ok=True)
        held = module / "held"  # a ceremony that is taken up again finds what it destroyed destroyed
        if not held.exists():
            for name in (name_of(thing) for thing in plan.holds if kind(thing) == "key"):
                self._key(name)
                self._certificate(name, None, self.module)
            held.touch()

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        """Make what the step makes, or find it. Raises StandInError."""
        files = folder / FILES
        made = {thing: self._make(thing, step, files) for thing in step.makes}
        for thing in step.destroys:
            self.remove(thing, folder)
        media = self._cross(step, folder, made) if self.sign else {}
        return {
            "made": made,
            **({"media": media} if media else {}),
            "destroyed": dict.fromkeys(step.destroys, "file removed (rehearsal)"),
            "modules": [MODULE] if step.act else [],
            **({"account": self._account(step.at)} if step.account else {}),
        }

    def _cross(self, step: Step, folder: Path, made: Mapping[Thing, Mapping[str, Any]]) -> dict[str, Any]:
        """Have what the other side of the air gap needs, and all that a root signs, leave on media."""
        course = follow(Journal(folder / "journal.jsonl").entries())
        media = Media(folder, course, step, lambda _: None)
        media.forget()
        needed = {thing for other in self.plan.steps if other.at == "root" for thing in other.needs}
        direction: Direction = "from-root" if step.at == "root" else "to-root"
        for thing in made:
            if kind(thing) in SUFFIXES and (step.at == "root" or thing in needed):
                towards: Direction = "to-root" if kind(thing) == STATE else direction
                file = self._state() if kind(thing) == STATE else folder / FILES / str(made[thing]["file"])
                medium = folder / MEDIA / f"{name_of(thing)}.{SUFFIXES[kind(thing)]}"
                write_medium(medium, [file], course.ceremony, self.plan.environment, towards, now(), step.id)
        return media.sign(self.sign) if self.sign else {}

    def remove(self, thing: Thing, folder: Path) -> Removed:
        """Remove what was made, if it is there."""
        place, pattern = {
            "key": (self.module, "{}.pem"),
            "shares": (self.module, "{}.*.cms"),
            "opened": (self.module, "{}.opened"),
            "state": (self.module, "{}.none"),
            "request": (folder / FILES, "{}.csr"),
            "certificate": (folder / FILES, "{}.crt"),
            "crl": (folder / FILES, "{}.crl"),
            "file": (folder / FILES, "{}"),
            "partition": (self.module, "{}.partition"),
            "backup": (self.module, "{}.wrapped"),
        }[kind(thing)]
        for path in place.glob(pattern.format(name_of(thing))):
            path.unlink()
        return Removed("file removed (rehearsal)")

    def _make(self, thing: Thing, step: Step, files: Path) -> dict[str, Any]:
        name = name_of(thing)
        makers: dict[str, Callable[[], dict[str, Any]]] = {
            "partition": lambda: self._partition(name),
            "shares": lambda: self._shares(name, files.parent),
            "opened": lambda: self._opened(name, step, files.parent),
            "state": lambda: describe_state(self._state()),
            "key": lambda: self._key(name),
            "request": lambda: self._request(name, files),
            "certificate": lambda: self._certificate(name, self._issuers[step.id], files),
            "crl": lambda: self._crl(name, files),
            "file": lambda: self._paper(name, step, files),
            "backup": lambda: self._backup(name),
        }
        return makers[kind(thing)]()

    def _partition(self, name: str) -> dict[str, Any]:
        return {"serial": sha256(name.encode()).hexdigest()[:16], "module": MODULE["serial"]}

    def _request(self, name: str, files: Path) -> dict[str, Any]:
        self._openssl("req", "-new", "-key", self._pem(name), "-subj", f"/CN={name}", out=files / f"{name}.csr")
        return describe_file(files / f"{name}.csr")

    def _paper(self, name: str, step: Step, files: Path) -> dict[str, Any]:
        (files / name).write_text(f"{step.title.en} (rehearsal)\n", encoding="utf-8")
        return describe_file(files / name)

    def _backup(self, name: str) -> dict[str, Any]:
        wrapped = self.module / f"{name}.wrapped"
        wrapped.write_text("nothing is wrapped (rehearsal)\n", encoding="utf-8")
        return {"sha256": describe_file(wrapped)["sha256"], "wrapping": "none (rehearsal)"}

    def _issuer(self, step: Step) -> str | None:
        made = {name_of(thing) for thing in step.makes}
        return next((name_of(t) for t in step.needs if kind(t) == "key" and name_of(t) not in made), None)

    def _pem(self, name: str) -> Path:
        return self.module / f"{name}.pem"

    def _key(self, name: str) -> dict[str, Any]:
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", out=self._pem(name))
        return {
            "identifier": f"stand-in:{name}",
            "algorithm": "EC P-256",
            "bits": 256,
            "sha256": self._public(name),
            "module": MODULE["serial"],
            "settings": "prime256v1",
            "random_source": "OpenSSL CTR-DRBG (rehearsal)",
        }

    def _public(self, name: str) -> str:
        return sha256(self._run("pkey", "-in", self._pem(name), "-pubout", "-outform", "DER")).hexdigest()

    def _certificate(self, name: str, issuer: str | None, files: Path) -> dict[str, Any]:
        path = files / f"{name}.crt"
        by: list[str | Path] = ["-CA", self.module / f"{issuer}.crt", "-CAkey", self._pem(issuer)] if issuer else []
        key = self._pem(name)
        self._openssl("req", "-x509", "-new", "-key", key, "-subj", f"/CN={name}", "-days", "30", *by, out=path)
        certificate = x509.Certificate.load(pem.unarmor(path.read_bytes())[2])
        return describe_certificate(
            path, sha256(certificate["tbs_certificate"].dump()).hexdigest(), "none (rehearsal stand-in)"
        )

    def _crl(self, name: str, files: Path) -> dict[str, Any]:
        config, index, number = (self.module / f"{name}.{kind}" for kind in ("cnf", "index", "number"))
        index.touch()
        number.write_text("01\n", encoding="ascii")
        config.write_text(_CA.format(index=index, number=number), encoding="utf-8")
        certificate = files / f"{name}.crt"
        if not certificate.exists():  # made by an earlier ceremony
            certificate = self.module / f"{name}.crt"
        words = ("ca", "-gencrl", "-config", config, "-keyfile", self._pem(name), "-cert", certificate)
        self._openssl(*words, out=files / f"{name}.crl")
        path = files / f"{name}.crl"
        return describe_crl(path, read_crl(path).tbs_sha256, "none (rehearsal stand-in)")

    def _shares(self, name: str, folder: Path) -> dict[str, Any]:
        """Split what would open a partition, and encrypt each share to its custodian."""
        course = follow(Journal(folder / "journal.jsonl").entries())
        custodians = course.people.holders("custodian")
        threshold = course.plan.threshold or len(custodians)
        holders: dict[str, str] = {}
        shares = split(new_secret(), threshold, len(custodians))
        for person, share in zip(custodians, shares, strict=True):
            encrypted = encrypt(share, person.certificate or "")
            (self.module / f"{name}.{person.id}.cms").write_bytes(encrypted)
            holders[person.id] = sha256(encrypted).hexdigest()
        return {"threshold": threshold, "holders": holders}

    def _opened(self, name: str, step: Step, folder: Path) -> dict[str, Any]:
        """Custodians give their shares; what opens lies in no file here, only that it is open."""
        (self.module / f"{name}.opened").touch()
        course = follow(Journal(folder / "journal.jsonl").entries())
        given = [] if f"partition:{name}" in step.makes else [who.id for who in course.people.holders("custodian")]
        return {"threshold": course.plan.threshold or THRESHOLD, "holders": given}

    def _state(self) -> Path:
        """What the roots signed before this ceremony."""
        state = self.module / STATE
        state.mkdir(exist_ok=True)
        for name in (name_of(thing) for thing in self.plan.holds if kind(thing) == "certificate"):
            if self.plan.at(f"certificate:{name}") == "root":
                shutil.copy(self.module / f"{name}.crt", state)
        return state

    def _account(self, side: Side) -> dict[str, str]:
        names = [path.stem for path in sorted(self.module.glob("*.pem"))]
        return {name: self._public(name) for name in names if self.plan.at(f"key:{name}") == side}

    def _openssl(self, *words: str | Path, out: Path) -> None:
        """Make a file, once: one that is there stays."""
        if not out.exists():
            fresh = out.with_name(f".{out.name}.new")
            self._run(*words, "-out", fresh)
            fresh.rename(out)

    def _run(self, *words: str | Path) -> bytes:
        done = subprocess.run(["openssl", *words], capture_output=True, check=False, env=os.environ | {"LC_ALL": "C"})
        if done.returncode != 0:
            raise StandInError(f"openssl {words[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout
