"""Generations of an issuing CA's key, and of the OCSP and TSP keys that it certifies (CP-5.6): which are in service.

A generation is a number that is given once. The first is called as the hierarchy says, the others NAME-NUMBER; so key,
label, record, certificate and CRL of each have their own name for ever, and what was issued points to it for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from kepil.pki.profile import Data, ProfileError, validated

Kind = Literal["root", "issuing", "ocsp", "tsp"]
Number = Annotated[int, Field(ge=1, le=9999)]


class NextStatus(Data):
    """The keys that shall follow those of OCSP and TSP, certified by the same issuing key."""

    ocsp: Number | None = None
    tsp: Number | None = None


class Next(NextStatus):
    """What follows. With `issuing`, which is a re-key, `ocsp` and `tsp` are the keys that the new one certifies."""

    issuing: Number | None = None


class FormerNext(Data):
    """The key that shall follow a former generation's OCSP key."""

    ocsp: Number | None = None


class Former(Data):
    """A generation that issues no more: it signs CRLs, and OCSP answers through its responder's key."""

    issuing: Number
    ocsp: Number
    next: FormerNext = FormerNext()


class Generations(Data):
    """Numbers of what a hierarchy has in service, of what follows, and of what it had before (`pki_generations`)."""

    issuing: Number = 1
    ocsp: Number = 1
    tsp: Number = 1
    next: Next = Next()
    former: tuple[Former, ...] = ()


Authority = dict[str, Any]
"""One generation of a hierarchy, as `pki_authorities` has it: `family`, `stage`, and its members.

`stage` is `current` (it issues to subscribers), `next` (it will) or `former` (it did). The members are `root`,
`issuing`, `ocsp` and, but for a former one, `tsp`; `renewal` has the `ocsp` and `tsp` that follow its own.
"""


def generation(member: Mapping[str, Any], kind: Kind, number: int) -> dict[str, Any]:
    """A member of a hierarchy as its generation of that number is called.

    Each issuing CA has a distinguished name of its own: who keeps CRLs by their issuer's name keeps both.
    """
    if number == 1:
        return dict(member)
    subject = dict(member["subject"])
    if kind == "issuing":
        subject["common_name"] = f"{subject['common_name']} G{number}"
    return {**member, "name": f"{member['name']}-{number}", "subject": subject}


def number_of(name: str, member: Mapping[str, Any]) -> int | None:
    """Which generation of a member is called `name`; None where none is."""
    if name == member["name"]:
        return 1
    stem, _, number = name.rpartition("-")
    return int(number) if stem == member["name"] and number.isdecimal() and int(number) > 1 else None


def members_named(hierarchies: Mapping[str, Any], kind: Kind, names: Collection[str]) -> list[dict[str, Any]]:
    """Of each hierarchy, as it is known, the generations of a member that have these names."""
    found = [
        (hierarchy[kind], number)
        for hierarchy in hierarchies.values()
        for name in names
        if (number := number_of(name, hierarchy[kind]))
    ]
    return [generation(member, kind, number) for member, number in found]


def refuse_unknown(known: Mapping[str, Any], stated: Mapping[str, Any]) -> None:
    """Raise ProfileError where `pki_generations` speaks of a family that `pki_hierarchies_known` lacks."""
    if unknown := sorted(set(stated) - set(known)):
        raise ProfileError(f"pki_generations: no hierarchy {', '.join(unknown)}; there are {', '.join(known)}")


def authorities(hierarchies: Mapping[str, Any], stated: Mapping[str, Any]) -> list[Authority]:
    """All generations of these hierarchies that `pki_generations` states: per family the current one, next, former.

    Raises ProfileError where numbers do not rise, or one is given twice.
    """
    numbers = validated(TypeAdapter(dict[str, Generations]), dict(stated), "pki_generations")
    made: list[Authority] = []
    for family, hierarchy in hierarchies.items():
        chosen = numbers.get(family, Generations())
        for wrong in _contradictions(chosen):
            raise ProfileError(f"pki_generations.{family}: {wrong}")
        made += _authorities(family, hierarchy, chosen)
    _refuse_shared_names(made)
    return made


def current(made: Iterable[Authority]) -> dict[str, dict[str, Any]]:
    """The hierarchies as they issue now: root, issuing CA, and its OCSP and TSP (`pki_hierarchies`)."""
    return {
        each["family"]: {kind: each[kind] for kind in ("root", "issuing", "ocsp", "tsp")}
        for each in made
        if each["stage"] == "current"
    }


def in_service(made: Iterable[Authority], kind: Literal["issuing", "ocsp"], folder: Path) -> list[Authority]:
    """Those that a host serves: of the next ones only what a ceremony has made, as the records in `folder` say."""
    return [each for each in made if each["stage"] != "next" or (folder / f"{each[kind]['name']}.json").exists()]


def issuers(made: Iterable[Authority]) -> dict[str, str]:
    """Who issues each certificate: the root that of an issuing CA, and that one its OCSP and TSP certificates."""
    every = list(made)
    return {each["issuing"]["name"]: each["root"]["name"] for each in every} | {
        member["name"]: issuing["name"] for issuing, member in delegations(every)
    }


def succeeded(made: Iterable[Authority]) -> dict[str, str]:
    """For each issuing CA that issues no more, the one of its family that does."""
    every = list(made)
    issuing = {family: hierarchy["issuing"]["name"] for family, hierarchy in current(every).items()}
    return {each["issuing"]["name"]: issuing[each["family"]] for each in every if each["stage"] == "former"}


def delegations(made: Iterable[Authority]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each issuing CA with each key of OCSP and TSP that it certifies, those that follow among them."""
    return [
        (each["issuing"], member)
        for each in made
        for member in (each["ocsp"], *([each["tsp"]] if "tsp" in each else []), *each["renewal"].values())
    ]


def published(hierarchies: Mapping[str, Any], made: Iterable[Authority]) -> list[str]:
    """Names of all issuing CAs that these hierarchies have or ever had: files of these names stay published."""
    last: dict[str, int] = {}
    for each in made:
        number = number_of(each["issuing"]["name"], hierarchies[each["family"]]["issuing"]) or 1
        last[each["family"]] = max(number, last.get(each["family"], 1))
    return [
        generation(hierarchies[family]["issuing"], "issuing", number)["name"]
        for family, count in last.items()
        for number in range(1, count + 1)
    ]


def _authorities(family: str, hierarchy: Mapping[str, Any], stated: Generations) -> Iterator[Authority]:
    def called(kind: Kind, number: int) -> dict[str, Any]:
        return generation(hierarchy[kind], kind, number)

    def renewal(follows: Next | FormerNext) -> dict[str, dict[str, Any]]:
        numbers: dict[Kind, int | None] = {"ocsp": follows.ocsp, "tsp": getattr(follows, "tsp", None)}
        return {kind: called(kind, number) for kind, number in numbers.items() if number}

    root, follows = dict(hierarchy["root"]), stated.next
    yield {
        "family": family,
        "stage": "current",
        "root": root,
        "issuing": called("issuing", stated.issuing),
        "ocsp": called("ocsp", stated.ocsp),
        "tsp": called("tsp", stated.tsp),
        "renewal": {} if follows.issuing else renewal(follows),
    }
    if follows.issuing and follows.ocsp and follows.tsp:
        yield {
            "family": family,
            "stage": "next",
            "root": root,
            "issuing": called("issuing", follows.issuing),
            "ocsp": called("ocsp", follows.ocsp),
            "tsp": called("tsp", follows.tsp),
            "renewal": {},
        }
    for each in stated.former:
        yield {
            "family": family,
            "stage": "former",
            "root": root,
            "issuing": called("issuing", each.issuing),
            "ocsp": called("ocsp", each.ocsp),
            "renewal": renewal(each.next),
        }


def _contradictions(stated: Generations) -> Iterator[str]:
    follows, former = stated.next, stated.former
    if follows.issuing and not (follows.ocsp and follows.tsp):
        yield "next.issuing: name next.ocsp and next.tsp too, the keys that it will certify"
    served: dict[str, list[int]] = {
        "issuing": [stated.issuing, *(each.issuing for each in former)],
        "ocsp": [stated.ocsp, *(each.ocsp for each in former)],
        "tsp": [stated.tsp],
    }
    coming: dict[str, list[int]] = {
        "issuing": [number for number in (follows.issuing,) if number],
        "ocsp": [number for number in (follows.ocsp, *(each.next.ocsp for each in former)) if number],
        "tsp": [number for number in (follows.tsp,) if number],
    }
    for kind, numbers in served.items():
        if twice := {number for number in numbers + coming[kind] if (numbers + coming[kind]).count(number) > 1}:
            yield f"{kind} {min(twice)} is there twice: a number is given once, and each key certified once (CP-3.3)"
        if low := [number for number in coming[kind] if number < max(numbers)]:
            yield f"next {kind} {min(low)}: take one above {max(numbers)}: numbers rise"
    if low := [each.issuing for each in former if each.issuing > stated.issuing]:
        yield f"former issuing {min(low)}: it follows {stated.issuing}, which issues"


def _refuse_shared_names(made: Iterable[Authority]) -> None:
    """Raise ProfileError where a generation is called as a member of another hierarchy is."""
    owners: dict[str, str] = {}
    for each in made:
        for name in (each["root"]["name"], *issuers([each])):
            if owners.setdefault(name, each["family"]) != each["family"]:
                raise ProfileError(f"pki_generations.{each['family']}: {name} is a name in {owners[name]} already")
