"""What would become of a host for an organisation, in words: category, decision, why, by which clause."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address

from kepil.gateway.category import EXEMPT, Categories
from kepil.gateway.decision import Action, Decision, Reason, Target
from kepil.gateway.host_name import normal
from kepil.gateway.located import GatewayError
from kepil.gateway.lookup import Table
from kepil.gateway.policy import Policy

ANYWHERE = IPv4Address(0)
WORDS = {
    Action.SPLICE: "splice: passed on untouched, never decrypted",
    Action.INSPECT: "bump: TLS ends at the gateway and the content is inspected",
    Action.TERMINATE: "terminate: closed",
    Action.REFUSE: "refuse: no packet passes",
}
WHY = {
    Reason.NOT_YET_OPEN: "the organisation's access is not open yet",
    Reason.EXPIRED: "the organisation's calendar year is over",
    Reason.NAME_ENCRYPTED: "the name only covers another one, which is encrypted",
    Reason.MALWARE: "known malware or fraud is closed to everybody",
    Reason.CATEGORY_CLOSED: "the organisation did not apply for the category",
    Reason.EXEMPT: "the category is excepted from analysis",
    Reason.INSPECTED: "the category was applied for, and is not excepted from analysis",
}


def explain(policy: Policy, table: Table, identity: str, host: str, at: datetime) -> str:
    """The explanation, four lines; raises GatewayError for an organisation or a host that is none."""
    organisation = policy.organisations.get(identity)
    if organisation is None:
        known = ", ".join(sorted(policy.organisations)) or "none"
        raise GatewayError(f"no organisation '{identity}'; there are {known}")
    name = normal(host)
    if name is None:
        raise GatewayError(f"{host!r} is no name of a host; give it without https:// and path")
    listed, found = table.find(name)
    source = organisation.networks[0].network_address
    decided = policy.decide(source, Target(ANYWHERE, name, found), at)
    return "\n".join(
        (
            f"host:     {name}" + (f" (listed as {listed})" if listed and listed != name else ""),
            f"category: {', '.join(_category(policy.categories, each) for each in sorted(found))}",
            f"decision: {WORDS[decided.action]}{', with a page that says why' if decided.page else ''}",
            f"why:      {_why(decided, organisation.categories, found)} ({decided.reason.clause})",
        )
    )


def _category(categories: Categories, name: str) -> str:
    number = categories.by_name[name].exempt
    return name if number is None else f"{name} (GW-20 number {number}: {EXEMPT[number]})"


def _why(decided: Decision, allowed: tuple[str, ...], found: frozenset[str]) -> str:
    lacking = sorted(found - set(allowed))
    more = f": {', '.join(lacking)}" if decided.reason is Reason.CATEGORY_CLOSED else ""
    return f"{WHY.get(decided.reason, decided.reason.code)}{more}"
