"""The part of the firewall that changes with time and policy: elements of nftables' sets, with their ends.

The sets and the chains that use them are the role's (`gateway.nft`); elements are put in by the gateway itself, since
only it knows what time is left. The kernel takes each element out when its time is over, whoever is still alive then;
and whatever changes the clock, `kepil gateway apply` sees it at its next run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network

from kepil.gateway.organisation import Organisation
from kepil.gateway.policy import Policy

TABLE = "inet gateway"
SETS = ("enrolled", "exceptions", "catalogued", "blocked")
_BATCH = 1000


@dataclass(frozen=True, order=True)
class Element:
    """One element of a set. `closes` is when it ends; None for what ends with the policy only."""

    set: str
    key: str
    closes: datetime | None = None

    def text(self, at: datetime) -> str:
        """The element as nft reads it. The time that is left is rounded down: never open a moment too long."""
        if self.closes is None:
            return self.key
        return f"{self.key} timeout {max(1, int((self.closes - at).total_seconds()))}s"


def elements(policy: Policy, blocked: Iterable[IPv4Address], at: datetime) -> list[Element]:
    """What the sets hold at a moment, in order. What is not open then is not there at all."""
    found = [
        element
        for each in policy.organisations.values()
        if each.is_open(at) and (each.closes - at).total_seconds() >= 1
        for element in _organisation(each)
    ]
    found += [Element("catalogued", _text(network)) for network in policy.catalogue.networks()]
    found += [Element("blocked", str(address)) for address in blocked if not policy.catalogue.find(address)]
    return sorted(found, key=lambda element: (element.set, element.key))


def _organisation(organisation: Organisation) -> Iterator[Element]:
    for network in organisation.networks:
        yield Element("enrolled", _text(network), organisation.closes)
        for each in organisation.exceptions:
            for destination in each.destinations:
                key = f"{_text(network)} . {each.protocol} . {each.port} . {_text(destination)}"
                yield Element("exceptions", key, organisation.closes)


def script(wanted: Iterable[Element], at: datetime) -> str:
    """What replaces all elements, as one transaction: no packet meets a set that is half full."""
    by_set: dict[str, list[str]] = {name: [] for name in SETS}
    for element in wanted:
        by_set[element.set].append(element.text(at))
    lines = [f"flush set {TABLE} {name}" for name in SETS]
    for name, texts in by_set.items():
        for start in range(0, len(texts), _BATCH):
            lines.append(f"add element {TABLE} {name} {{ {', '.join(texts[start : start + _BATCH])} }}")
    return "\n".join(lines) + "\n"


def _text(network: IPv4Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
