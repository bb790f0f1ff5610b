"""Ceremonies on the hosts of an environment that is not in earnest: real acts, rehearsal people, real bundles.

Everything lies with the environment's records, in `ceremonies/ENVIRONMENT`: `halls/NAME` while a ceremony is under way,
`bundles/CEREMONY` once it is over and sealed, `people/` with the keys of those who are made for it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kepil.ceremony.bundle import SEAL, pack, sign_seal
from kepil.ceremony.definition import Language
from kepil.ceremony.desk import Terminal, Unattended
from kepil.ceremony.engine import JOURNAL, Ceremony, Performer
from kepil.ceremony.evidence import kind
from kepil.ceremony.hold import hold
from kepil.ceremony.people import NAMESPACE
from kepil.ceremony.plan import Plan
from kepil.ceremony.rehearsal import rehearsal_people, sealers
from kepil.ceremony.verify import verify_bundle
from kepil.errors import KepilError
from kepil.signed.signatures import AllowedSigners

BUNDLES, HALLS, PEOPLE, SIGNERS = "bundles", "halls", "people", "allowed_signers"
REHEARSED = ("development", "rehearsal")
PASSING = ("opened", "state")
"""Kinds of things that end with their ceremony: a bundle from before there were any lacks nothing."""


class EarnestError(KepilError):
    """People that a machine made for a rehearsal would hold a ceremony in earnest."""


def refuse_in_earnest(environment: str) -> None:
    """Raise EarnestError for an environment whose keys somebody relies on. Nothing lifts this."""
    if environment not in REHEARSED and not environment.startswith("molecule-"):
        raise EarnestError(
            f"{environment}: rehearsal people hold no ceremony here; its own people do, at a terminal: "
            "kepil ceremony hold (docs/ceremonies.md)"
        )


def found(records: Path, plan: Plan) -> Path | None:
    """The bundle of a completed ceremony that made all that the plan makes, if there is one.

    Raises KepilError where a bundle of this ceremony does not verify: it is not passed over.
    """
    wanted = {thing for step in plan.steps for thing in step.makes if kind(thing) not in PASSING}
    for seal in sorted((records / BUNDLES).glob(f"{plan.id.replace('_', '-')}-*/{SEAL}")):
        proved = verify_bundle(seal.parent, AllowedSigners(records / PEOPLE / SIGNERS, NAMESPACE))
        if proved.outcome == "completed" and proved.environment == plan.environment and wanted <= proved.made:
            return seal.parent
    return None


def rehearse(
    records: Path, plan: Plan, performer: Performer, *, attended: bool = False, language: Language = "en"
) -> Path | None:
    """Hold a ceremony, or go on with an interrupted one, and return its sealed bundle: None where it was aborted."""
    refuse_in_earnest(plan.environment)
    keys, hall = records / PEOPLE, records / HALLS / plan.id
    people = rehearsal_people(plan, keys)
    write_signers(keys)
    under_way = (hall / JOURNAL).exists()
    ceremony = Ceremony(hall) if under_way else Ceremony.open(hall, plan, people)
    if under_way and ceremony.course.phase != "closed":
        ceremony = Ceremony.resume(hall, "Rehearsed on")
    course = hold(ceremony, performer, Terminal(keys) if attended else Unattended(keys), language)
    bundle = _sealed(records, ceremony, keys)
    shutil.rmtree(hall)
    return bundle if course.outcome == "completed" else None


def _sealed(records: Path, ceremony: Ceremony, keys: Path) -> Path:
    """The bundle of a ceremony that is over, which an interruption may have left without all of its signatures."""
    bundle = records / BUNDLES / ceremony.course.ceremony
    if not bundle.exists():
        bundle.parent.mkdir(exist_ok=True)
        pack(ceremony.folder, bundle)
    for person in sealers(ceremony.people):
        if not (bundle / "seal" / f"{person}.sig").exists():
            sign_seal(bundle, person, keys / person, ceremony.people, quiet=True)
    return bundle


def write_signers(keys: Path) -> None:
    """The keys of all rehearsal people of an environment, as OpenSSH reads them."""
    lines = [
        f'{key.stem} namespaces="{NAMESPACE}" {" ".join(key.read_text(encoding="ascii").split()[:2])}\n'
        for key in sorted(keys.glob("*.pub"))
    ]
    (keys / SIGNERS).write_text("".join(lines), encoding="ascii")
