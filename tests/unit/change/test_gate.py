"""Each refusal of the gate is provoked once, and each permission used once."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kepil.change import gate
from kepil.change.record import TIME
from kepil.change.tree import Tree
from kepil.errors import KepilError
from kepil.journal.chain import JournalError

from .conftest import ENVIRONMENT, Site


def at(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime(TIME)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.clause("CP-2.4")
def test_what_two_people_signed_may_run(site: Site) -> None:
    path = site.propose("change-manager", "deputy-manager")
    record, content, people = site.examine()
    assert record.id == "first"
    assert content == path.read_bytes()
    assert people == ("change-manager", "deputy-manager")


def test_a_record_may_be_used_again_inside_its_window(site: Site) -> None:
    site.propose("change-manager", "deputy-manager")
    for _ in range(2):
        site.log().start(*site.examine(), check=False)
        site.examine()
    assert [run.start.data["record"] for run in site.log().runs()] == ["first", "first"]


def test_a_process_is_one_run_however_often_it_reads_its_inventory(site: Site) -> None:
    site.propose("change-manager", "deputy-manager")
    for _ in range(2):
        gate.admit(
            ENVIRONMENT,
            site.path,
            site.cliargs(),
            config=str(site.path / "ansible.cfg"),
            environ={gate.VARIABLE: "first"},
        )
    assert len(site.log().runs()) == 1


# The record


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "no change record is named: set KEPIL_CHANGE"),
        ({gate.VARIABLE: ""}, "no change record is named"),
        ({gate.VARIABLE: "../first"}, "is no id of a record"),
        ({gate.VARIABLE: "other"}, "is the record's id right, and did its folder arrive"),
    ],
)
def test_a_run_names_its_record(site: Site, environ: dict[str, str], reason: str) -> None:
    site.propose("change-manager", "deputy-manager")
    with pytest.raises(KepilError, match=reason):
        site.examine(environ=environ)


def test_a_record_of_another_environment_is_refused(site: Site) -> None:
    path = site.propose("change-manager", "deputy-manager")
    rewrite(path, "environment: trial", "environment: other")
    with pytest.raises(KepilError, match="record 'first' of 'other', and does not belong in this folder"):
        site.examine()


def test_a_record_under_another_id_is_refused(site: Site) -> None:
    path = site.propose("change-manager", "deputy-manager")
    shutil.copytree(path.parent, path.parent.with_name("second"))
    with pytest.raises(KepilError, match="record 'first' of 'trial', and does not belong"):
        site.examine("second")


@pytest.mark.parametrize(
    ("old", "new"),
    [("Try the gate", "Try the gates"), ("limit: all", "limit:  all"), ("reason:", "# reviewed\nreason:")],
)
def test_a_tampered_record_is_refused(site: Site, old: str, new: str) -> None:
    """Byte for byte: what means the same was not signed either."""
    rewrite(site.propose("change-manager", "deputy-manager"), old, new)
    with pytest.raises(KepilError, match=r"change-manager\.sig: no valid signature of 'change-manager'"):
        site.examine()


@pytest.mark.parametrize(("since", "until"), [(1, 2), (-2, -1), (-3, -0.001)], ids=["not yet", "over", "just over"])
def test_outside_the_window_is_refused(site: Site, since: float, until: float) -> None:
    site.propose("change-manager", "deputy-manager", window={"from": at(since), "until": at(until)})
    with pytest.raises(KepilError, match=r"it is \S+Z, the window is \S+Z to \S+Z"):
        site.examine()


# The signers


@pytest.mark.parametrize("people", [(), ("change-manager",)])
def test_two_people_must_sign(site: Site, people: tuple[str, ...]) -> None:
    site.propose(*people)
    with pytest.raises(
        KepilError, match=f"needs 2 different signers and has {', '.join(people) or 'none'}: kepil change"
    ):
        site.examine()


def test_a_second_key_makes_no_second_person(site: Site) -> None:
    path = site.propose("change-manager")
    with pytest.raises(KepilError, match=r"change-manager has signed .* already"):
        site.sign(path, "change-manager-second")
    foreign_sign(site, path, "change-manager-second", "deputy-manager")
    with pytest.raises(KepilError, match=r"deputy-manager\.sig: no valid signature of 'deputy-manager'"):
        site.examine()


@pytest.mark.parametrize("name", ["deputy-manager", "Aigerim", "change-manager-2"])
def test_a_copied_signature_makes_no_second_person(site: Site, name: str) -> None:
    path = site.propose("change-manager")
    shutil.copy(path.with_name("change-manager.sig"), path.with_name(f"{name}.sig"))
    with pytest.raises(KepilError, match=rf"{name}\.sig: (no valid signature|'{name}' is no allowed signer)"):
        site.examine()


def test_a_signer_who_is_not_allowed_is_refused(site: Site) -> None:
    path = site.propose("change-manager", "deputy-manager")
    foreign_sign(site, path, "stranger", "stranger")
    with pytest.raises(
        KepilError,
        match=r"'stranger' is no allowed signer: .* names change-manager, deputy-manager, reviewer, shift-operator",
    ):
        site.examine()


def test_a_signature_for_another_purpose_is_refused(site: Site) -> None:
    path = site.propose("change-manager")
    foreign_sign(site, path, "deputy-manager", "deputy-manager", namespace="git")
    with pytest.raises(KepilError, match=r"deputy-manager\.sig: no valid signature"):
        site.examine()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ('valid-before="20200101"', "key has expired"),
        ('valid-after="20990101"', "key is not yet valid"),
        ('namespaces="git"', "not permitted for use in signature namespace"),
    ],
)
def test_a_key_counts_while_and_for_what_it_is_allowed(site: Site, options: str, reason: str) -> None:
    signers = site.path / "inventories/trial/allowed_signers"
    rewrite(signers, 'deputy-manager namespaces="change@kepil"', f"deputy-manager {options}")
    site.commit()
    path = site.propose("change-manager")
    foreign_sign(site, path, "deputy-manager", "deputy-manager")
    with pytest.raises(KepilError, match=reason):
        site.examine()


def foreign_sign(site: Site, path: Path, key: str, name: str, namespace: str = "change@kepil") -> None:
    """A signature made by ssh-keygen alone, under any name."""
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", site.key(key), "-n", namespace, path], check=True)
    path.with_name("record.yml.sig").rename(path.with_name(f"{name}.sig"))


# The checkout


def assume(option: str) -> Callable[[Site], None]:
    def hide(site: Site) -> None:
        site.git("update-index", option, "playbooks/touch.yml")
        site.write("playbooks/touch.yml", "[]")

    return hide


def in_its_own_ignore(site: Site) -> None:
    site.write("roles/.gitignore", "*")
    site.write("roles/new/tasks/main.yml", "[]")


def in_the_machines_ignore(site: Site) -> None:
    (site.path / ".git/info/exclude").write_text("new.yml\n")
    site.write("playbooks/new.yml", "[]")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda site: site.write("playbooks/touch.yml", "[]"), "playbooks/touch.yml"),
        (lambda site: site.write("playbooks/new.yml", "[]"), "playbooks/new.yml"),
        (lambda site: (site.path / "playbooks/fail.yml").unlink(), "playbooks/fail.yml"),
        (lambda site: (site.path / "playbooks/fail.yml").chmod(0o755), "playbooks/fail.yml"),
        (lambda site: (site.write("a.yml", ""), site.git("add", "a.yml")), "a.yml"),
        (assume("--assume-unchanged"), "playbooks/touch.yml"),
        (assume("--skip-worktree"), "playbooks/touch.yml"),
        (in_its_own_ignore, "roles/new/tasks/main.yml"),
        (in_the_machines_ignore, "playbooks/new.yml"),
    ],
    ids=["edited", "added", "removed", "mode", "staged", "assume-unchanged", "skip-worktree", "gitignore", "exclude"],
)
def test_a_dirty_tree_is_refused(site: Site, change: Callable[[Site], Any], path: str) -> None:
    site.propose("change-manager", "deputy-manager")
    change(site)
    with pytest.raises(KepilError, match=rf"the checkout is not clean: .*{path}"):
        site.examine()


def test_what_the_project_ignores_is_no_dirt(site: Site) -> None:
    site.propose("change-manager", "deputy-manager")
    site.write("build/changed", "")
    site.examine()


def test_variables_of_git_point_to_no_other_tree(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.propose("change-manager", "deputy-manager")
    shutil.copytree(site.path, tmp_path / "clean")
    site.write("playbooks/touch.yml", "[]")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "clean/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "clean"))
    with pytest.raises(KepilError, match="not clean"):
        site.examine()


def test_a_replaced_commit_is_not_taken_for_the_one_that_was_signed(site: Site) -> None:
    site.propose("change-manager", "deputy-manager")
    signed = site.git("rev-parse", "HEAD")
    other = site.commit(**{"playbooks/touch.yml": "[]"})
    site.git("update-ref", gate.MAIN, signed)
    site.git("replace", signed, other)
    site.git("update-ref", "refs/heads/main", signed)
    with pytest.raises(KepilError, match="not clean"):
        site.examine()


def test_another_commit_is_refused(site: Site) -> None:
    site.propose("change-manager", "deputy-manager")
    named = site.git("rev-parse", "HEAD")
    head = site.commit(**{"README.md": "x"})
    with pytest.raises(KepilError, match=f"the checkout stands at {head}, the record names {named}: git checkout"):
        site.examine()


def test_an_unknown_commit_is_refused(site: Site) -> None:
    site.propose("change-manager", "deputy-manager", commit="0" * 39 + "1")
    with pytest.raises(KepilError, match=r"commit 0+1 is unknown here: git fetch"):
        site.examine()


def test_a_commit_that_only_this_machine_has_is_refused(site: Site) -> None:
    known = site.git("rev-parse", gate.MAIN)
    site.commit(**{"README.md": "x"})
    site.git("update-ref", gate.MAIN, known)
    site.propose("change-manager", "deputy-manager")
    with pytest.raises(KepilError, match="is unknown to refs/remotes/origin/main: merge it first"):
        site.examine()
    site.examine(branch="HEAD")


def test_a_missing_branch_is_named(site: Site) -> None:
    site.propose("change-manager", "deputy-manager")
    with pytest.raises(KepilError, match="has no refs/remotes/other/main: git fetch"):
        site.examine(branch="refs/remotes/other/main")


def test_a_folder_inside_a_checkout_is_no_project(site: Site) -> None:
    with pytest.raises(KepilError, match="not the top of a checkout"):
        Tree(site.path / "playbooks")


# Break-glass


def test_broken_glass_needs_one_signer_and_no_known_commit(site: Site) -> None:
    known = site.git("rev-parse", gate.MAIN)
    site.commit(**{"README.md": "x"})
    site.git("update-ref", gate.MAIN, known)
    site.propose("change-manager", kind="break-glass")
    record, _, people = site.examine()
    assert (record.kind, people) == ("break-glass", ("change-manager",))


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({"people": ()}, {}, "needs 1 different signers and has none"),
        ({"people": ("change-manager",), "window": {"from": at(-13), "until": at(-1)}}, {}, "the window is"),
        ({"people": ("change-manager",)}, {"subset": "app01"}, "limit: the record names all, not app01"),
    ],
)
def test_broken_glass_is_held_to_its_record(
    site: Site, changes: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    people = changes.pop("people")
    site.propose(*people, kind="break-glass", **changes)
    with pytest.raises(KepilError, match=reason):
        site.examine(**options)


def test_broken_glass_needs_a_clean_tree(site: Site) -> None:
    site.propose("change-manager", kind="break-glass")
    site.write("playbooks/touch.yml", "[]")
    with pytest.raises(KepilError, match="not clean"):
        site.examine()


# The log


def test_a_run_that_cannot_be_logged_does_not_begin(site: Site) -> None:
    site.propose("change-manager", kind="break-glass")
    log = site.log().journal.path
    log.write_bytes(b"free\n")
    with pytest.raises(JournalError, match="line 1: it is not JSON"):
        gate.admit(
            ENVIRONMENT,
            site.path,
            site.cliargs(),
            config=str(site.path / "ansible.cfg"),
            environ={gate.VARIABLE: "first"},
        )
    assert gate.admission() is None


def test_the_system_log_hears_of_runs_and_refusals(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, str]] = []
    monkeypatch.setattr("syslog.syslog", lambda priority, message: heard.append((priority, message)))
    site.propose("change-manager", kind="break-glass")
    config = str(site.path / "ansible.cfg")
    for options in (site.cliargs(extra_vars=("pin=271828",)), site.cliargs()):
        try:
            gate.admit(ENVIRONMENT, site.path, options, config=config, environ={gate.VARIABLE: "first"})
        except gate.GateError:
            continue
    (warning, refusal), (alert, start) = heard
    assert warning > alert  # syslog counts down to the most urgent
    assert refusal.startswith("trial: refused: extra-vars")
    assert "271828" not in refusal
    assert start == f"trial: entry 1: break-glass start of first: sha256 {site.log().runs()[0].start.sha256}"
