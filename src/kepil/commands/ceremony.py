"""`kepil ceremony`: plan, print, hold, rehearse, pack and verify key ceremonies."""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kepil.commands import ceremony_acts, ceremony_medium
from kepil.errors import KepilError

if TYPE_CHECKING:
    from kepil.ceremony.engine import Ceremony, Performer
    from kepil.ceremony.hold import Desk
    from kepil.ceremony.plan import Plan
    from kepil.ceremony.verify import Verified

SCRIPTS = Path("playbooks/ceremonies/scripts")
PLAYBOOKS = SCRIPTS.parent
CEREMONIES = Path("ceremonies")
LANGUAGES = ("kk", "ru", "en")


class CeremonyCommandError(KepilError):
    """A command did not do what was asked; the message says why."""


def register(nouns: Any) -> None:
    """Add the noun and its verbs to the command line."""
    verbs = nouns.add_parser("ceremony", help="key ceremonies").add_subparsers(metavar="VERB", required=True)
    plan = _verb(verbs, "plan", _plan, "write a ceremony's plan for an environment, if it can work")
    _add_name(plan)
    plan.add_argument("--out", required=True, type=Path, metavar="FILE", help="written once")

    script = _verb(verbs, "script", _script, "render a plan as script, in three languages, HTML and PDF")
    script.add_argument("plan", type=Path, metavar="PLAN")
    script.add_argument("--out", required=True, type=Path, metavar="FOLDER")

    hold = _verb(verbs, "hold", _hold, "hold a ceremony at this terminal, or go on with an interrupted one")
    hold.add_argument("folder", type=Path, metavar="FOLDER", help="of the ceremony; journal and outputs lie there")
    hold.add_argument("--plan", type=Path, metavar="FILE", help="to begin: the plan")
    hold.add_argument("--people", type=Path, metavar="FILE", help="to begin: the participants")
    hold.add_argument("--reason", metavar="TEXT", help="to go on: why it was interrupted")
    hold.add_argument(
        "--keys", required=True, type=Path, metavar="FOLDER", help="PERSON (a key) or PERSON.pub (a card)"
    )
    _add_language(hold)

    rehearse = _verb(
        verbs, "rehearse", _rehearse, "play a ceremony, with a stand-in for hosts and modules or on an estate"
    )
    _add_name(rehearse)
    where = rehearse.add_mutually_exclusive_group(required=True)
    where.add_argument("--folder", type=Path, metavar="FOLDER", help="for people, ceremony and bundle")
    where.add_argument("--estate", action="store_true", help="on the hosts themselves, into ceremonies/ENVIRONMENT")
    rehearse.add_argument("--again", action="store_true", help="with --estate: though a verified bundle is there")
    rehearse.add_argument("--attended", action="store_true", help="ask at the terminal instead of signing for everyone")
    _add_language(rehearse)

    status = _verb(verbs, "status", _status, "show where a ceremony stands, and who is awaited")
    status.add_argument("folder", type=Path, metavar="FOLDER")
    _add_language(status)

    pack = _verb(verbs, "pack", _pack, "make the bundle of a ceremony that is over: journal, outputs, script, minutes")
    pack.add_argument("folder", type=Path, metavar="FOLDER")
    pack.add_argument("--out", required=True, type=Path, metavar="BUNDLE")

    seal = _verb(verbs, "seal", _seal, "sign a bundle as a participant who compared the minutes with what was seen")
    seal.add_argument("bundle", type=Path, metavar="BUNDLE")
    seal.add_argument("--person", required=True, metavar="ID")
    seal.add_argument("--key", required=True, type=Path, metavar="FILE")

    stamp = _verb(verbs, "stamp", _stamp, "have the head of a bundle stamped by two time-stamping authorities")
    stamp.add_argument("bundle", type=Path, metavar="BUNDLE")
    stamp.add_argument(
        "--tsa", required=True, action="append", metavar="URL", help="of an authority; #OID asks for a policy"
    )
    stamp.add_argument(
        "--anchors", required=True, type=Path, metavar="FILE", help="certificates trusted for this (PEM)"
    )
    stamp.add_argument("--chain", type=Path, metavar="FILE", help="certificates that the answers may lack (PEM)")

    verify = _verb(verbs, "verify", _verify, "verify a bundle, offline; exit 0 if it proves what it says")
    verify.add_argument("bundle", type=Path, metavar="BUNDLE")
    _add_anchors(verify)
    verify.add_argument("--head", metavar="SHA256", help="the journal's head, as the printed minutes have it")

    vouch = _verb(verbs, "vouch", _vouch, "exit 0 if verified bundles vouch for all these certificates")
    vouch.add_argument("certificates", nargs="+", type=Path, metavar="CERTIFICATE")
    vouch.add_argument("--environment", metavar="NAME", help="whose ceremonies they must have been")
    vouch.add_argument("--bundles", required=True, type=Path, metavar="FOLDER", help="holds a folder a bundle")
    _add_anchors(vouch)
    ceremony_acts.register(verbs)
    ceremony_medium.register(verbs)


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(run=run)
    return parser


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=f"of a ceremony: {SCRIPTS} has them")
    parser.add_argument("--environment", default="development", metavar="NAME", help="default: development")
    parser.add_argument("--families", metavar="LIST", help="of hierarchies, as rsa,gost; default: the environment's")
    parser.add_argument(
        "--issuing", metavar="LIST", help="CAs that `compromise` is about, as nca-rsa-2; default: those that issue"
    )


def _add_anchors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signers", required=True, type=Path, metavar="FILE", help="participants' keys as you know them (SSH format)"
    )
    parser.add_argument("--anchors", type=Path, metavar="FILE", help="certificates of time-stamping authorities (PEM)")


def _add_language(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of the progress display (default en)")


# What a verb needs is imported in it: hosts have this command and not all of what ceremonies are made with.
# ruff: noqa: PLC0415


def _plan(arguments: argparse.Namespace) -> int:
    made = _planned(arguments)
    _refuse_unreached(made)
    made.write(arguments.out)
    print(f"{arguments.out}: {len(made.steps)} steps, SHA-256 {made.sha256}")
    return 0


def _planned(arguments: argparse.Namespace) -> Plan:
    from kepil.ceremony.definition import read_definition
    from kepil.ceremony.plan import make_plan
    from kepil.ceremony.records import recorded, used
    from kepil.estate.inventory import all_variables
    from kepil.pki.hierarchy import chosen

    environment, families, issuing = arguments.environment, arguments.families, arguments.issuing
    definition = read_definition(SCRIPTS / f"{arguments.name}.yml")
    everywhere = all_variables(_listing(environment))
    names = families.split(",") if families is not None else everywhere["pki_families"]
    about = issuing.split(",") if issuing is not None else ()
    hierarchies, generations = chosen(everywhere["pki_hierarchies_known"], names), everywhere.get("pki_generations", {})
    records = CEREMONIES / environment
    return make_plan(definition, environment, hierarchies, generations, recorded(records), used(records), about)


@cache
def _listing(environment: str) -> dict[str, Any]:
    from kepil.estate.inventory import environment_sources, read_listing

    return read_listing(environment_sources(Path("inventories"), environment))


def _refuse_unreached(plan: Plan) -> None:
    """Raise ReachError for an act that would pass with nothing done."""
    from kepil.ceremony.reach import check_reach
    from kepil.estate.inventory import host_groups

    check_reach(plan, PLAYBOOKS / f"{plan.id}.yml", host_groups(_listing(plan.environment)))


def _script(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.documents.render import scripts, write_documents
    from kepil.ceremony.plan import read_plan

    plan = read_plan(arguments.plan)
    for path in write_documents(arguments.out, {f"script-{plan.id}": scripts(plan)}):
        print(path)
    return 0


def _hold(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.desk import Terminal, at_terminal

    if not at_terminal():
        raise CeremonyCommandError("nobody sits at this terminal: hold the ceremony where its people are")
    ceremony = _opened_or_resumed(arguments)
    desk = Terminal(arguments.keys)
    performer = _playbook(ceremony.course.plan, arguments.keys, desk)
    return _held(ceremony, performer, desk, arguments.language)


def _opened_or_resumed(arguments: argparse.Namespace) -> Ceremony:
    from kepil.ceremony.engine import JOURNAL, Ceremony
    from kepil.ceremony.people import read_people
    from kepil.ceremony.plan import read_plan

    if (arguments.folder / JOURNAL).exists():
        if not arguments.reason:
            raise CeremonyCommandError(f"{arguments.folder}: to go on, say why it was interrupted: --reason '…'")
        _refuse_unreached(Ceremony(arguments.folder).course.plan)
        return Ceremony.resume(arguments.folder, arguments.reason)
    if not (arguments.plan and arguments.people):
        raise CeremonyCommandError(f"{arguments.folder}: to begin, name --plan and --people")
    plan = read_plan(arguments.plan)
    _refuse_unreached(plan)
    return Ceremony.open(arguments.folder, plan, read_people(arguments.people))


def _held(ceremony: Ceremony, performer: Performer, desk: Desk, language: Any) -> int:
    from kepil.ceremony.hold import hold

    course = hold(ceremony, performer, desk, language)
    return 0 if course.outcome == "completed" else 1


def _rehearse(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.desk import Terminal, Unattended
    from kepil.ceremony.engine import JOURNAL, Ceremony
    from kepil.ceremony.rehearsal import rehearsal_people, seal_rehearsal
    from kepil.ceremony.stand_in import StandIn

    if arguments.estate:
        return _rehearse_on_estate(arguments)
    folder, keys = arguments.folder, arguments.folder / "people"
    plan = _planned(arguments)
    people = rehearsal_people(plan, keys)
    desk: Desk = Terminal(keys) if arguments.attended else Unattended(keys)
    hall = folder / "ceremony"
    again = (hall / JOURNAL).exists()
    ceremony = Ceremony.resume(hall, "Rehearsed on") if again else Ceremony.open(hall, plan, people)
    done = _held(ceremony, StandIn(folder / "module", plan, desk.sign_medium), desk, arguments.language)
    seal_rehearsal(folder, people, keys)
    print(f"{folder / 'bundle'}: kepil ceremony verify {folder / 'bundle'} --signers {keys / 'allowed_signers'}")
    return done


def _rehearse_on_estate(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.desk import Terminal, Unattended
    from kepil.ceremony.on_estate import PEOPLE, found, refuse_in_earnest, rehearse

    refuse_in_earnest(arguments.environment)
    plan = _planned(arguments)
    records = CEREMONIES / plan.environment
    if not arguments.again and (bundle := found(records, plan)):
        print(f"{bundle}: held already, and verified")
        return 0
    _refuse_unreached(plan)
    keys = records / PEOPLE
    performer = _playbook(plan, keys, Terminal(keys) if arguments.attended else Unattended(keys))
    made = rehearse(records, plan, performer, attended=arguments.attended, language=arguments.language)
    if made is None:
        return 1
    print(f"{made}: kepil ceremony verify {made} --signers {keys / 'allowed_signers'}")
    return 0


def _playbook(plan: Plan, keys: Path, desk: Desk) -> Performer:
    """The acts of a plan, on the hosts of its environment."""
    from kepil.ceremony.playbook import Playbook
    from kepil.estate.inventory import environment_sources

    inventory = [f"--inventory={source}" for source in environment_sources(Path("inventories"), plan.environment)]
    return Playbook(
        PLAYBOOKS / f"{plan.id}.yml",
        CEREMONIES / plan.environment,
        ("ansible-playbook", *inventory),
        {"ceremony_keys": str(keys.resolve())},
        desk.sign_medium,
    )


def _status(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.engine import Ceremony
    from kepil.ceremony.hold import progress

    print(progress(Ceremony(arguments.folder).course, arguments.language))
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.bundle import pack

    seal = pack(arguments.folder, arguments.out)
    print(f"{arguments.out}: the journal's head is {seal.head}")
    print(f"Next, two participants: kepil ceremony seal {arguments.out} --person ID --key FILE")
    return 0


def _seal(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.bundle import sign_seal
    from kepil.ceremony.course import follow
    from kepil.ceremony.engine import JOURNAL
    from kepil.journal.chain import Journal

    people = follow(Journal(arguments.bundle / JOURNAL).entries()).people
    print(sign_seal(arguments.bundle, arguments.person, arguments.key, people))
    return 0


def _stamp(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.stamp import stamp

    for line in stamp(arguments.bundle, arguments.tsa, arguments.anchors, arguments.chain):
        print(f"stamped by {line}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.people import NAMESPACE
    from kepil.ceremony.verify import verify_bundle
    from kepil.signed.signatures import AllowedSigners

    signers = AllowedSigners(arguments.signers, NAMESPACE)
    proved = verify_bundle(arguments.bundle, signers, anchors=arguments.anchors, head=arguments.head)
    print(f"{proved.ceremony}: {proved.outcome}, {proved.entries} entries, head {proved.head}")
    print(f"held from {proved.began:%Y-%m-%d %H:%M:%S} to {proved.ended:%Y-%m-%d %H:%M:%S} UTC: {_span(proved)}")
    for fingerprint, name in proved.vouches.items():
        print(f"vouches for {name}: SHA-256 {fingerprint}")
    for stamp in proved.stamped_by:
        print(f"stamped by {stamp}")
    for note in proved.notes:
        print(f"note: {note}")
    if not proved.stamped_by:
        print("its time is not proved: compare the head with the printed minutes (--head)")
    return 0


def _span(proved: Verified) -> str:
    """How long a ceremony took, as `1 h 02 min 03 s`; hours and minutes only where there are any."""
    minutes, seconds = divmod(round((proved.ended - proved.began).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min {seconds:02} s"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def _vouch(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.people import NAMESPACE
    from kepil.ceremony.vouch import check_vouched
    from kepil.signed.signatures import AllowedSigners

    signers = AllowedSigners(arguments.signers, NAMESPACE)
    found = check_vouched(arguments.certificates, arguments.bundles, signers, arguments.anchors, arguments.environment)
    for path, bundle in found.items():
        print(f"{path}: vouched for by {bundle}")
    return 0
