"""The gate as Ansible meets it: real runs of Ansible's own commands against a small guarded project."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from kepil.change.log import Run

from .conftest import ENVIRONMENT, SOURCES, Site


class Controller:
    """Where an operator types."""

    def __init__(self, site: Site, traces: Path) -> None:
        self.site = site
        self.traces = traces
        traces.mkdir()

    def environment(self, change: str | None, **settings: str) -> dict[str, str]:
        """Variables of the operator's shell."""
        named = {"KEPIL_CHANGE": change} if change else {}
        return os.environ | {"TRACES": str(self.traces), "NO_COLOR": "1", "COLUMNS": "500"} | named | settings

    def __call__(self, *command: str, change: str | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder."""
        environment = self.environment(change, **settings)
        return subprocess.run(
            command, cwd=self.site.path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def touched(self) -> list[str]:
        """Hosts that were reached."""
        return sorted(trace.name for trace in self.traces.iterdir())

    def last_run(self) -> Run:
        """The last run in the change log."""
        return self.site.log().runs()[-1]


@pytest.fixture
def run(site: Site, tmp_path: Path) -> Controller:
    return Controller(site, tmp_path / "traces")


@pytest.mark.clause("CP-2.4")
def test_an_approved_change_runs_and_is_logged(site: Site, run: Controller) -> None:
    site.propose("change-manager", "deputy-manager")
    done = run("ansible-playbook", "playbooks/touch.yml", change="first")
    assert done.returncode == 0, done.stderr
    assert run.touched() == ["app01", "app02"]
    logged = run.last_run()
    assert logged.start.data["signers"] == ["change-manager", "deputy-manager"]
    assert logged.start.data["commit"] == site.git("rev-parse", "HEAD")
    assert logged.start.data["check"] is False
    assert logged.start.data["runner"]["user"]
    assert logged.result is not None
    assert logged.result.data["exit"] == 0
    assert logged.result.data["as_committed"] is True
    assert {host: counts["changed"] for host, counts in logged.result.data["hosts"].items()} == {"app01": 1, "app02": 1}


@pytest.mark.parametrize(("playbook", "status"), [("fail", 2), ("away", 4)])
def test_the_log_has_the_exit_status_of_a_run_that_went_wrong(
    site: Site, run: Controller, playbook: str, status: int
) -> None:
    site.propose("change-manager", "deputy-manager", playbook=f"playbooks/{playbook}.yml")
    done = run("ansible-playbook", f"playbooks/{playbook}.yml", change="first")
    assert done.returncode == status, done.stderr
    result = run.last_run().result
    assert result is not None
    assert result.data["exit"] == status
    wrong = {host for host, counts in result.data["hosts"].items() if counts["failures"] or counts["unreachable"]}
    assert wrong == {"app02" if playbook == "fail" else "away01"}


@pytest.mark.parametrize(
    "command",
    [
        ("ansible-playbook", "playbooks/touch.yml"),
        ("ansible-playbook", "playbooks/touch.yml", "--check"),
        ("ansible-playbook", "playbooks/touch.yml", "--limit", "app01"),
        ("ansible", "app01", "-m", "ansible.builtin.command", "-a", "touch traced"),
        ("ansible-console", "app01"),
    ],
    ids=" ".join,
)
def test_no_host_is_touched_without_a_record(run: Controller, command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode != 0
    assert "the change gate refuses this run: no change record is named: set KEPIL_CHANGE" in " ".join(
        done.stderr.split()
    )
    assert run.touched() == []
    assert run.site.log().runs() == []


def test_a_setting_that_makes_inventory_errors_warnings_leaves_no_host(run: Controller) -> None:
    done = run("ansible-playbook", "playbooks/touch.yml", ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="false")
    assert "the change gate refuses this run" in " ".join(done.stderr.split())
    assert run.touched() == []


@pytest.mark.parametrize("command", ["ansible", "ansible-console"])
def test_a_record_opens_the_door_for_its_playbook_alone(site: Site, run: Controller, command: str) -> None:
    site.propose("change-manager", "deputy-manager")
    done = run(command, "app01", change="first")
    assert "only ansible-playbook runs here" in " ".join(done.stderr.split())
    assert done.returncode != 0


@pytest.mark.parametrize(
    "command",
    [
        ("ansible-playbook", "playbooks/touch.yml", "--syntax-check"),
        ("ansible-playbook", "playbooks/touch.yml", "--list-hosts"),
        ("ansible-inventory", "--list"),
        ("ansible", "all", "--list-hosts"),
    ],
    ids=" ".join,
)
def test_what_only_lists_needs_no_record(run: Controller, command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert run.touched() == []
    assert run.site.log().runs() == []


def test_options_are_compared_as_ansible_parses_them(site: Site, run: Controller) -> None:
    """One spelling in the record, another on the command line; and what differs is refused."""
    settings: dict[str, Any] = {"limit": "app01", "tags": ["one", "always"], "extra_vars": ["mode=x", '{"n": 1}']}
    site.propose("change-manager", "deputy-manager", **settings)
    same = ("-i", SOURCES[0], f"--inventory={SOURCES[1]}", "-lapp01", "-t", "always,one", "-e", "mode=x")
    done = run("ansible-playbook", *same, "-e", '{"n": 1}', "playbooks/../playbooks/touch.yml", change="first")
    assert done.returncode == 0, done.stderr
    done = run("ansible-playbook", *same, "-e", "pin=271828", "playbooks/touch.yml", change="first")
    assert "extra-vars: not the 2 that the record names" in " ".join(done.stderr.split())
    assert "271828" not in done.stderr


def test_a_run_that_is_stopped_is_shown_as_interrupted(site: Site, run: Controller) -> None:
    site.propose("change-manager", "deputy-manager", playbook="playbooks/wait.yml")
    process = subprocess.Popen(
        ["ansible-playbook", "playbooks/wait.yml"],
        cwd=site.path,
        env=run.environment("first"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while "waits" not in run.touched():
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert run.last_run().result is None
    listing = run("kepil", "change", "log", ENVIRONMENT)
    assert "interrupted, or not over" in listing.stdout
    assert listing.returncode == 0


def test_a_run_during_which_the_checkout_changes_says_so(site: Site, run: Controller) -> None:
    commit = site.commit(
        **{
            "playbooks/edit.yml": "- hosts: app01\n  gather_facts: false\n  tasks:\n"
            "    - ansible.builtin.copy: {content: x, dest: '{{ playbook_dir }}/new.yml', mode: '0644'}\n"
        }
    )
    site.propose("change-manager", "deputy-manager", playbook="playbooks/edit.yml", commit=commit)
    assert run("ansible-playbook", "playbooks/edit.yml", change="first").returncode == 0
    result = run.last_run().result
    assert result is not None
    assert result.data["as_committed"] is False
    assert "THE CHECKOUT CHANGED MEANWHILE" in run("kepil", "change", "log", ENVIRONMENT).stdout


@pytest.mark.clause("CP-5.4")
def test_broken_glass_is_loud_and_stops_everything_else_until_it_is_reviewed(site: Site, run: Controller) -> None:
    def kepil(*arguments: str) -> str:
        done = run("kepil", "change", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    kepil(
        *("break-glass", ENVIRONMENT, "--playbook", "playbooks/touch.yml", "--limit", "app01", "--id", "urgent"),
        *("--reason", "Nobody else can be reached", "--key", str(site.key("change-manager"))),
        *(part for source in SOURCES for part in ("--inventory", source)),
    )
    done = run("ansible-playbook", "playbooks/touch.yml", "--limit", "app01", change="urgent")
    assert done.returncode == 0, done.stderr
    assert "*** BREAK GLASS ***" in done.stderr
    assert "Nobody else can be reached" in done.stderr
    assert run.touched() == ["app01"]

    site.propose("change-manager", "deputy-manager")
    refused = run("ansible-playbook", "playbooks/touch.yml", change="first")
    assert "break-glass run urgent (entry 1) has not been reviewed" in " ".join(refused.stderr.split())
    assert run.touched() == ["app01"]
    assert "BREAK-GLASS, NOT REVIEWED" in kepil("log", ENVIRONMENT)

    kepil("review", ENVIRONMENT, "--finding", "It was needed", "--id", "looked-into")
    for person in ("deputy-manager", "reviewer"):
        kepil("sign", ENVIRONMENT, "looked-into", "--key", str(site.key(person)), "--yes")
    allowed = run("ansible-playbook", "playbooks/touch.yml", change="first")
    assert allowed.returncode == 0, allowed.stderr
    assert run.touched() == ["app01", "app02"]
    assert "BREAK-GLASS, reviewed" in kepil("log", ENVIRONMENT)
