"""What a ceremony must be to work at all, found before anybody comes together for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from kepil.ceremony.definition import SIDES, DefinitionError, Step, Thing
from kepil.ceremony.roles import INDEPENDENT, Role

EYES = 2
"""How many people confirm a step that touches a key, activation data or a signature (CP-6.2: dual control)."""
GUARDED = ("key:", "shares:", "opened:", "partition:", "certificate:", "crl:", "backup:")


def check(
    name: str,
    roles: Mapping[Role, int],
    holds: Sequence[Thing],
    steps: Sequence[Step],
    threshold: int | None,
) -> None:
    """Raise DefinitionError that names every step which cannot work."""
    wrong = [
        *_twice(steps),
        *_people(roles, steps),
        *_things(holds, steps),
        *_eyes(steps),
        *_accounts(steps),
        *_orders(steps),
        *_opened(steps),
        *_shares(roles, steps, threshold),
    ]
    if wrong:
        raise DefinitionError(f"{name}: this ceremony cannot work: {'; '.join(wrong)}")


def _twice(steps: Sequence[Step]) -> Iterator[str]:
    for identity, times in Counter(step.id for step in steps).items():
        if times > 1:
            yield f"step {identity} is there {times} times"


def _people(roles: Mapping[Role, int], steps: Sequence[Step]) -> Iterator[str]:
    for missing in sorted(INDEPENDENT - set(roles)):
        yield f"no {missing} is among the roles, and CP-6.1 asks for an independent party's supervision"
    for step in steps:
        if step.actor not in roles:
            yield f"step {step.id}: {step.actor} acts, a role that nobody holds"
        if step.actor in INDEPENDENT and (step.act or step.makes or step.destroys):
            yield f"step {step.id}: {step.actor} acts, who must only look on"
        for role, number in step.confirms.items():
            if role not in roles:
                yield f"step {step.id}: {role} confirms, a role that nobody holds"
            elif number > roles[role]:
                yield f"step {step.id}: {number} people confirm as {role}, and {roles[role]} will be there"
        if set(step.confirms) == {step.actor} and roles.get(step.actor) == 1:
            yield f"step {step.id}: the {step.actor} who acts confirms alone: somebody else has to"


def _things(holds: Sequence[Thing], steps: Sequence[Step]) -> Iterator[str]:
    there, gone = set(holds), set[Thing]()
    for step in steps:
        for thing in (*step.needs, *step.destroys):
            if thing not in there:
                how = "was destroyed before" if thing in gone else "is not there yet: no earlier step makes it"
                yield f"step {step.id}: it needs {thing}, which {how}"
        for thing in step.makes:
            if thing in there or thing in gone:
                yield f"step {step.id}: it makes {thing}, which was made before: outputs are made once"
        if step.makes and step.act is None:
            yield f"step {step.id}: it makes {', '.join(step.makes)} and has no act"
        there = (there | set(step.makes)) - set(step.destroys)
        gone |= set(step.destroys)


def _eyes(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        touched = [t for t in (*step.needs, *step.makes, *step.destroys) if t.startswith(GUARDED)]
        if (step.secret or (step.act and touched)) and sum(step.confirms.values()) < EYES:
            why = "secrets pass" if step.secret else f"{touched[0]} is touched"
            yield f"step {step.id}: {why}, and one person confirms: it needs {EYES}"


def _accounts(steps: Sequence[Step]) -> Iterator[str]:
    """Each side's HSMs give an account before the first of their keys is made or destroyed, and after the last."""
    for step in steps:
        if step.account and step.act is None:
            yield f"step {step.id}: it takes the HSM's account and has no act"
        if step.empty and not step.account:
            yield f"step {step.id}: no key may be left, and it takes no account"
    for side in SIDES:
        here = [step for step in steps if step.at == side]
        changing = [n for n, s in enumerate(here) if any(t.startswith("key:") for t in (*s.makes, *s.destroys))]
        accounts = [n for n, s in enumerate(here) if s.account]
        if changing and not (accounts and accounts[0] < changing[0] and accounts[-1] > changing[-1]):
            yield f"keys are made or destroyed ({side}), and the HSM's account is not taken both before and after"


def _orders(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        if step.order and not any(thing.startswith("crl:") for thing in step.makes):
            yield f"step {step.id}: an order says what it revokes, and it makes no CRL"


def _opened(steps: Sequence[Step]) -> Iterator[str]:
    """The offline root's module is open when it is used, and closed at the end (CP-6.4)."""
    for step in steps:
        uses = [t for t in step.makes if t.startswith(("key:", "certificate:", "crl:"))]
        uses += [t for t in step.destroys if t.startswith("key:")]
        if step.at == "root" and (uses or step.account) and not any(t.startswith("opened:") for t in step.needs):
            yield f"step {step.id}: it uses the root's module, and needs none that custodians opened (opened:root)"
    closed = {thing for step in steps for thing in step.destroys}
    for thing in (t for step in steps for t in step.makes if t.startswith("opened:")):
        if thing not in closed:
            yield f"{thing}: no step closes it"


def _shares(roles: Mapping[Role, int], steps: Sequence[Step], threshold: int | None) -> Iterator[str]:
    handed_out = any(t.startswith("shares:") for step in steps for t in step.makes)
    if handed_out and threshold is None:
        yield "shares are handed out, and threshold does not say how many of them open a partition"
    if threshold is not None and threshold > roles.get("custodian", 0):
        yield f"threshold: {threshold} shares are needed, and {roles.get('custodian', 0)} custodians will be there"
