"""`kepil gateway`: the internet access gateway's policy, on the controller and on the gateways."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kepil.errors import KepilError

INVENTORIES = Path("inventories")
ENROLMENT = Path("enrolment")
POLICY = Path("/etc/kepil/gateway/policy.json")
TABLE = Path("/var/lib/kepil/gateway/categories.mdb")
BLOCKED = Path("/var/lib/kepil/gateway/blocked")


class GatewayCommandError(KepilError):
    """A command did not do what was asked; the message says why."""


def register(nouns: Any) -> None:
    """Add the noun and its verbs to the command line."""
    verbs = nouns.add_parser("gateway", help="who may reach the internet, and how").add_subparsers(
        metavar="VERB", required=True
    )
    _controller(verbs)
    _enrolment(verbs)
    _gateway(verbs)


# What a verb needs is imported in it: gateways have this command and not all of what the controller has.
# ruff: noqa: PLC0415


def _controller(verbs: Any) -> None:
    policy = _verb(verbs, "policy", _policy, "check an environment's organisations and catalogue, and write the policy")
    _environment(policy)
    policy.add_argument("--out", type=Path, metavar="FILE", help="where the policy goes (default: only check)")
    catalogue = _verb(verbs, "import-catalogue", _import_catalogue, "take an operator's CSV export of its catalogue")
    _environment(catalogue)
    catalogue.add_argument("--operator", required=True, metavar="NAME", help="one of gateway_operators")
    catalogue.add_argument("file", type=Path, metavar="FILE", help="columns network, bin and perhaps name")
    lists = _verb(verbs, "import-lists", _import_lists, "make the table of categories of domain lists and overrides")
    _environment(lists)
    lists.add_argument("--out", type=Path, default=Path("build/gateway/categories.mdb"), metavar="FILE")
    lists.add_argument("folder", type=Path, metavar="FOLDER", help="a folder a list, each with a file `domains`")
    explain = _verb(verbs, "explain", _explain, "say which category a host has, what becomes of it, and why")
    explain.add_argument("organisation", metavar="ORG", help="the name of its file")
    explain.add_argument("host", metavar="HOST")
    explain.add_argument("--environment", metavar="NAME", help="take the policy from the inventory, not from --policy")
    explain.add_argument("--policy", type=Path, default=POLICY, metavar="FILE", help=f"default: {POLICY}")
    explain.add_argument("--table", type=Path, default=TABLE, metavar="FILE", help=f"default: {TABLE}")
    explain.add_argument("--at", type=_time, metavar="TIME", help="UTC, 2026-11-21T18:00:00Z (default: now)")


def _enrolment(verbs: Any) -> None:
    enrol = _verb(verbs, "enrol", _enrol, "carry out a signed application, or refuse it with the reason")
    _environment(enrol)
    enrol.add_argument("file", type=Path, metavar="FILE", help="CMS, DER or PEM, with the text inside")
    enrol.add_argument("--roots", required=True, type=Path, metavar="FILE", help="PEM: the roots, RSA and GOST")
    enrol.add_argument(
        "--issuers", required=True, type=Path, metavar="FILE", help="PEM: the National CA's, RSA and GOST"
    )
    enrol.add_argument("--config", type=Path, metavar="FILE", help="openssl.cnf that activates GOST")
    enrol.add_argument("--ocsp-url", metavar="URL", help="default: as the certificate says")
    applied = _verb(
        verbs, "applied", _applied, "enter that an organisation's policy is on the gateways; print the notice"
    )
    _environment(applied)
    applied.add_argument("organisation", metavar="ORG", help="the name of its file")
    register_ = _verb(verbs, "register", _register, "print the register of applications; exit 1 if any is late")
    _environment(register_)


def _gateway(verbs: Any) -> None:
    apply = _verb(verbs, "apply", _apply, "bring this gateway's firewall to what policy and clock say")
    watch = _verb(verbs, "watch", _watch, "run the catalogue watch once")
    for verb in (apply, watch):
        verb.add_argument("--policy", type=Path, default=POLICY, metavar="FILE", help=f"default: {POLICY}")
        verb.add_argument("--blocked", type=Path, default=BLOCKED, metavar="FILE", help=f"default: {BLOCKED}")
    apply.add_argument("--skeleton", type=Path, default=Path("/etc/kepil/gateway/gateway.nft"), metavar="FILE")
    apply.add_argument("--state", type=Path, default=Path("/run/kepil-gateway/applied"), metavar="FILE")
    watch.add_argument("--settings", type=Path, default=Path("/etc/kepil/gateway/watch.json"), metavar="FILE")


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(run=run)
    return parser


def _environment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--environment", default="development", metavar="NAME", help="default: development")


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _policy(arguments: argparse.Namespace) -> int:
    from kepil.gateway.policy import Policy, write_policy
    from kepil.gateway.settings import read_policy_file

    stated = read_policy_file(INVENTORIES, arguments.environment)
    Policy.of(stated)
    changed = arguments.out is not None and write_policy(arguments.out, stated)
    found = {"organisations": len(stated.organisations), "catalogue": len(stated.catalogue), "changed": changed}
    print(json.dumps(found))
    return 0


def _import_catalogue(arguments: argparse.Namespace) -> int:
    from kepil.gateway import catalogue
    from kepil.gateway.settings import read_settings

    operators = sorted(read_settings(INVENTORIES, arguments.environment).gateway_operators)
    if arguments.operator not in operators:
        raise GatewayCommandError(f"'{arguments.operator}' is not in gateway_operators ({', '.join(operators)})")
    place = INVENTORIES / arguments.environment / catalogue.FOLDER
    rows = catalogue.read_export(arguments.file)
    others = catalogue.read_catalogue(place)
    others.pop(arguments.operator, None)
    catalogue.check([*(row for each in others.values() for row in each), *rows])
    catalogue.write(place / f"{arguments.operator}.csv", rows)
    print(json.dumps({"operator": arguments.operator, "networks": len(rows)}))
    return 0


def _import_lists(arguments: argparse.Namespace) -> int:
    from kepil.gateway.lists import Imported, read_lists
    from kepil.gateway.lookup import build
    from kepil.gateway.settings import read_settings

    settings, report = read_settings(INVENTORIES, arguments.environment), Imported()
    categories = settings.categories
    names = read_lists(arguments.folder, categories, report)
    count = build(arguments.out, names, settings.overrides, categories)
    print(json.dumps({"names": count, "lists": report.names, "left": report.left, "skipped": report.skipped}))
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from kepil.gateway.explain import explain
    from kepil.gateway.lookup import Table
    from kepil.gateway.policy import Policy, read_policy
    from kepil.gateway.settings import read_policy_file

    chosen = arguments.environment
    policy = Policy.of(read_policy_file(INVENTORIES, chosen)) if chosen else read_policy(arguments.policy)
    table = Table(arguments.table, policy.categories)
    print(explain(policy, table, arguments.organisation, arguments.host, arguments.at or datetime.now(UTC)))
    return 0


def _open_register(environment: str) -> Any:
    from kepil.gateway.calendar import Calendar
    from kepil.gateway.register import Register
    from kepil.gateway.settings import read_settings

    settings = read_settings(INVENTORIES, environment)
    calendar = Calendar(settings.gateway_days_off, settings.gateway_working_days)
    return settings, Register(ENROLMENT / environment, calendar)


def _enrol(arguments: argparse.Namespace) -> int:
    from kepil.gateway.cms import Trust
    from kepil.gateway.enrol import enrol

    settings, entries = _open_register(arguments.environment)
    trust = Trust(arguments.roots, arguments.issuers, arguments.config, arguments.ocsp_url)
    done = enrol(arguments.file, INVENTORIES, arguments.environment, settings, trust, entries, datetime.now(UTC))
    print(json.dumps({"organisation": done.identity, "file": str(done.path), "changed": done.changed}))
    return 0


def _applied(arguments: argparse.Namespace) -> int:
    from kepil.gateway.located import read
    from kepil.gateway.notice import notice
    from kepil.gateway.organisation import Organisation
    from kepil.gateway.organisations import folder

    settings, entries = _open_register(arguments.environment)
    path = folder(INVENTORIES, arguments.environment) / f"{arguments.organisation}.yml"
    organisation = read(path, Organisation).value
    if organisation.application.sha256 in entries.items():
        entries.decide(organisation.application.sha256, "applied")
    print(notice(organisation, settings.categories), end="")
    return 0


def _register(arguments: argparse.Namespace) -> int:
    from kepil.gateway.calendar import day_of

    _, entries = _open_register(arguments.environment)
    today, late = day_of(datetime.now(UTC)), 0
    for item in entries.items().values():
        is_late = item.late(today)
        late += is_late
        named = item.organisation or "-"
        last = "  ".join([*(["LATE"] if is_late else []), *([item.note] if item.note else [])])
        print(f"{item.received}  {item.due}  {item.state:<8}  {named:<20}  {item.sha256[:16]}  {last}".rstrip())
    return 1 if late else 0


def _apply(arguments: argparse.Namespace) -> int:
    from kepil.gateway.apply import apply, run_nft
    from kepil.gateway.blocked import read_blocked
    from kepil.gateway.policy import read_policy

    policy, blocked = read_policy(arguments.policy), read_blocked(arguments.blocked)
    if apply(policy, blocked, datetime.now(UTC), arguments.skeleton, arguments.state, run_nft):
        print("changed", file=sys.stderr)
    return 0


def _watch(arguments: argparse.Namespace) -> int:
    from kepil.gateway.watch_host import watch

    count = watch(arguments.policy, arguments.blocked, arguments.settings, datetime.now(UTC))
    print(f"{count} sources are blocked", file=sys.stderr)
    return 0
