"""The offline root's module opens with shares of enough custodians, for as long as a ceremony needs it (CP-6.4)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from kepil.ceremony.definition import DefinitionError, Step, read_definition
from kepil.ceremony.engine import ActFailedError, Ceremony
from kepil.ceremony.evidence import kind
from kepil.ceremony.hold import hold
from kepil.ceremony.plan import make_plan
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.ceremony.stand_in import StandIn

from .conftest import PROJECT, SCRIPTS, Hall, definition, planned, step

pytestmark = pytest.mark.clause("CP-6.4")
STEPS = PROJECT / "playbooks/ceremonies/steps"
SAMPLE = PROJECT / "docs/ceremonies/sample/bundle/files"


def at_root(*steps: dict[str, Any]) -> dict[str, Any]:
    """A ceremony of these steps, on the offline root's host."""
    holds = {"partition:root": "once", "key:{name}": "root", "certificate:{name}": "root"}
    return definition() | {"holds": holds, "steps": [one | {"at": "root"} for one in steps]}


OPEN = step("open", act="open", needs=["partition:root"], makes=["opened:root"])
CRL = step("crl", each="root", act="crl", makes=["crl:{name}"])
CLOSE = step("close", act="close", destroys=["opened:root"])


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([CRL], "step crl-krnca-rsa: it uses the root's module, and needs none that custodians opened"),
        ([CRL | {"needs": ["opened:root"]}], "it needs opened:root, which is not there yet"),
        ([OPEN, CLOSE, CRL | {"needs": ["opened:root"]}], "it needs opened:root, which was destroyed before"),
        ([OPEN, CRL | {"needs": ["opened:root"]}], "opened:root: no step closes it"),
        ([OPEN | {"confirms": {"custodian": "1"}}, CLOSE], "is touched, and one person confirms"),
    ],
)
def test_a_ceremony_that_uses_a_closed_module_is_refused(
    tmp_path: Path, hierarchies: dict[str, Any], steps: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(DefinitionError, match=reason):
        planned(tmp_path, at_root(*steps), {"rsa": hierarchies["rsa"]})


class Giving(StandIn):
    """A module that opens with the shares of these people, whoever they are."""

    given: tuple[str, ...] = ()

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        done = dict(super().perform(step, folder))
        opened = {thing: {"threshold": 2, "holders": self.given} for thing in step.makes if kind(thing) == "opened"}
        return done | {"made": done["made"] | opened}


@pytest.fixture
def crl(tmp_path: Path, keys: Path, hierarchies: dict[str, Any]) -> Hall:
    """Ceremony `crl`, with one hierarchy."""
    plan = make_plan(read_definition(SCRIPTS / "crl.yml"), "development", {"rsa": hierarchies["rsa"]})
    return Hall(tmp_path / "ceremony", keys, plan, rehearsal_people(plan, keys))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("custodian-1",), "2 custodians open it, and shares were given by custodian-1"),
        ((), "shares were given by nobody"),
        (("custodian-1", "custodian-1"), "2 custodians open it"),
        (("custodian-1", "operator-1"), "operator-1 is no custodian of this ceremony"),
    ],
)
def test_too_few_custodians_open_nothing(crl: Hall, given: tuple[str, ...], reason: str) -> None:
    ceremony = crl.open()
    crl.until(ceremony, 5)
    assert ceremony.course.current.id == "open-root"
    module = Giving(crl.folder.parent / "module", crl.plan)
    module.given = given
    with pytest.raises(ActFailedError, match=reason):
        ceremony.perform(module)


@pytest.mark.parametrize("name", ["crl", "root", "hsm_initialisation", "custodian_replacement"])
def test_aborted_at_any_step_it_leaves_the_module_closed(
    tmp_path: Path, keys: Path, hierarchies: dict[str, Any], name: str
) -> None:
    """Threat: people go home, and the next who comes to the host needs no custodian."""
    plan = make_plan(read_definition(SCRIPTS / f"{name}.yml"), "development", {"rsa": hierarchies["rsa"]})
    opened = next(n for n, one in enumerate(plan.steps, start=1) if "opened:root" in one.makes)
    closed = next(n for n, one in enumerate(plan.steps, start=1) if "opened:root" in one.destroys)
    hall = Hall(tmp_path / "ceremony", keys, plan, rehearsal_people(plan, keys))
    for number in range(opened, closed + 1):
        hall.folder = tmp_path / f"{number}" / "ceremony"
        ceremony = hall.open()
        hall.until(ceremony, number)
        ceremony._append("began", {"step": ceremony.course.current.id})
        hall.module().perform(ceremony.course.current, hall.folder)  # and nobody is left to say so
        again = Ceremony.resume(hall.folder, "The power failed")
        assert (hall.folder.parent / "module/root.opened").exists() is (number < closed)
        for who in ("custodian-1", "witness-1"):
            again.accept(hall.signed(again, "abort", who, note="Enough"))
        assert hold(again, hall.module(), hall.desk()).outcome == "aborted"
        assert not (hall.folder.parent / "module/root.opened").exists()


class Host:
    """The offline root's host, as far as its scripts know it."""

    def __init__(self, folder: Path, memory: Path) -> None:
        self.disk, self.memory, self.ceremony = folder / "credentials", memory, folder / "ceremony"
        for place in (self.disk, self.ceremony):
            place.mkdir()

    def run(self, text: str, **words: str) -> str:
        """What is said where it is refused, or nothing."""
        text = text.replace("/etc/kepil/credentials", str(self.disk)).replace("/etc/kepil/ceremony", str(self.ceremony))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-eus"], input=text, text=True, capture_output=True, check=False, env={"PATH": path} | words
        )
        return "" if done.returncode == 0 else done.stderr or "refused"

    def open(self, pins: Path) -> str:
        """Whether what shares gave, in a folder, opens a token that opens with `right`."""
        opens = 'pin=$PINS/hsm-$PARTITION\nopens() { grep -qx right "$1"; }\n'
        return self.run(opens + (STEPS / "open_root.sh").read_text(), PINS=str(pins), PARTITION="root")

    def take(self, name: str) -> str:
        """Whether this host takes what was brought to it in a folder."""
        script = f"folder={self.ceremony}\n" + (STEPS / "take_state.sh").read_text()
        (self.ceremony / "arrived").mkdir(exist_ok=True)
        (self.ceremony / "arrived/state").unlink(missing_ok=True)
        (self.ceremony / "arrived/state").symlink_to(name)
        return self.run(script, CEREMONY="crl-2")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with TemporaryDirectory(dir="/dev/shm") as memory:
        yield Host(tmp_path, Path(memory))


def test_what_opens_lies_in_memory_and_on_no_disk(host: Host, tmp_path: Path) -> None:
    (host.disk / "hsm-root.pin").write_text("of an earlier release")
    (host.disk / "hsm-root.so-pin").write_text("of an earlier release")
    (host.disk / "hsm-nca.pin").write_text("another partition's")
    (host.memory / "hsm-root.pin").write_text("wrong\n")
    assert "does not open partition root" in host.open(host.memory)
    assert len(list(host.disk.iterdir())) == 3, "nothing goes before something else opens it"
    (host.memory / "hsm-root.pin").write_text("right\n")
    assert host.open(host.memory) == ""
    assert [path.name for path in host.disk.iterdir()] == ["hsm-nca.pin"]
    (host.disk / "hsm-root.pin").write_text("right\n")
    disk = subprocess.run(["stat", "-f", "-c", "%T", host.disk], capture_output=True, text=True, check=True).stdout
    if disk.strip() not in ("tmpfs", "ramfs"):
        assert "is not in memory" in host.open(host.disk)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What a root signed before, as it arrives."""
    folder = tmp_path / "state"
    folder.mkdir()
    for name in ("krnca-rsa.crt", "krnca-rsa.crl"):
        (folder / name).write_bytes((SAMPLE / name).read_bytes())
    (folder / "krnca-rsa.withdrawn.crl").write_bytes(b"withdrawn")
    return folder


def test_a_host_that_keeps_nothing_knows_what_was_signed_before(host: Host, state: Path) -> None:
    assert host.take(str(state)) == ""
    for name in ("crt", "crl", "withdrawn.crl"):
        assert (host.ceremony / f"krnca-rsa.{name}").read_bytes() == (state / f"krnca-rsa.{name}").read_bytes()
    before = host.ceremony / "krnca-rsa.before-crl-2.crl"
    assert before.read_bytes() == (SAMPLE / "krnca-rsa.crl").read_bytes()
    assert (host.ceremony / "state-crl-2").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda here, _: (here / "krnca-rsa.crl").write_bytes(b"newer"), "was signed here and is not the same"),
        (lambda here, _: (here / "krnca-rsa.crt").write_bytes(b"other"), "is not the one that is here"),
        (lambda _, state: (state / "krnca-rsa.crl").write_bytes(b"none"), "is not its root's"),
        (
            lambda _, state: (state / "krnca-rsa.crl").write_bytes((SAMPLE / "krnca-gost.crl").read_bytes()),
            "not its root's",
        ),
    ],
)
def test_what_is_older_or_not_the_roots_is_refused(
    host: Host, state: Path, change: Callable[[Path, Path], Any], reason: str
) -> None:
    """Threat: old records are brought, and a CRL takes a revocation back, or a number is given twice."""
    change(host.ceremony, state)
    assert reason in host.take(str(state))
    assert not (host.ceremony / "state-crl-2").exists()


def test_what_was_signed_in_this_ceremony_is_not_older(host: Host, state: Path) -> None:
    """An act was interrupted after it signed: what is here stays."""
    (host.ceremony / "krnca-rsa.before-crl-2.crl").write_bytes((state / "krnca-rsa.crl").read_bytes())
    (host.ceremony / "krnca-rsa.crl").write_bytes(b"signed now")
    assert host.take(str(state)) == ""
    assert (host.ceremony / "krnca-rsa.crl").read_bytes() == b"signed now"
