"""A small guarded project: a checkout with an inventory and the real plugins, people with SSH keys, and records."""

from __future__ import annotations

import os
import shutil
import subprocess
import syslog
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kepil.change import gate, log
from kepil.change.record import FILE, TIME, Record
from kepil.signed import document
from kepil.signed.signatures import sign

PROJECT = Path(__file__).parents[3]
ENVIRONMENT = "trial"
SOURCES = ("inventories/trial", "inventories/estate.kepil.yml")
PEOPLE = ("change-manager", "deputy-manager", "reviewer", "shift-operator")
OUTSIDER = "stranger"

FILES = {
    ".gitignore": "/changes/\n/build/\n__pycache__/\n",
    "ansible.cfg": """[defaults]
inventory = inventories/trial,inventories/estate.kepil.yml
inventory_plugins = plugins/inventory
callback_plugins = plugins/callback
host_key_checking = true
any_errors_fatal = true
interpreter_python = /usr/bin/python3
[inventory]
enable_plugins = kepil, yaml
any_unparsed_is_failed = true
ignore_patterns = ^allowed_signers$
""",
    "inventories/estate.kepil.yml": "plugin: kepil\n",
    "inventories/trial/hosts.yml": """all:
  vars:
    estate_environment: trial
    estate_domain: trial.kepil.test
    hsm_kind: appliance
    hsm_module: /opt/hsm/local.so
    hsm_client_module: /opt/hsm/network.so
    base_hardware_randomness: true
    base_log_retention_days: 2557
    estate_zones:
      test: {purpose: Hosts to try on, subnets: [198.19.250.0/24]}
    estate_flows: []
    estate_services: {}
    ansible_connection: local
  children:
    zone_test:
      hosts:
        app01: {estate_hostnum: 11}
        app02: {estate_hostnum: 12}
        away01: {estate_hostnum: 13, ansible_connection: ssh, ansible_port: 1}
    away: {hosts: {away01: {}}}
""",
    "playbooks/touch.yml": """- name: Leave a trace on every host
  hosts: all:!away
  gather_facts: false
  tasks:
    - name: Trace
      ansible.builtin.copy:
        content: x
        dest: "{{ lookup('ansible.builtin.env', 'TRACES') }}/{{ inventory_hostname }}"
        mode: "0644"
""",
    "playbooks/fail.yml": """- name: Fail on one host
  hosts: all:!away
  gather_facts: false
  tasks:
    - name: Fail
      ansible.builtin.assert:
        that: inventory_hostname != 'app02'
""",
    "playbooks/away.yml": """- name: Reach nobody
  hosts: away
  gather_facts: false
  tasks:
    - name: Reach
      ansible.builtin.command: "true"
""",
    "playbooks/wait.yml": """- name: Wait until someone stops it
  hosts: app01
  gather_facts: false
  tasks:
    - name: Say that it runs
      ansible.builtin.copy: {content: x, dest: "{{ lookup('ansible.builtin.env', 'TRACES') }}/waits", mode: "0644"}
    - name: Wait
      ansible.builtin.command: sleep 600
""",
}


class Site:
    """A checkout, its people and what they do."""

    def __init__(self, path: Path, keys: Path) -> None:
        self.path = path
        self.keys = keys
        self.records = path / "changes" / ENVIRONMENT

    def git(self, *arguments: str) -> str:
        """Output of git, which must succeed."""
        identity = ("-c", "user.name=Author", "-c", "user.email=author@kepil.test", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *arguments], cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        """Write files, commit them to the branch that is known, and return the commit."""
        for name, content in files.items():
            self.write(name, content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Change")
        self.git("update-ref", gate.MAIN, "HEAD")
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, content: str) -> None:
        """Write a file of the checkout."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")

    def key(self, name: str) -> Path:
        """Someone's private key."""
        return self.keys / name

    def public(self, name: str) -> str:
        """Type and key, as allowed signers files have them."""
        return " ".join((self.keys / f"{name}.pub").read_text().split()[:2])

    def stated(self, **changes: Any) -> dict[str, Any]:
        """What a record states: touch.yml on all hosts, now."""
        now = datetime.now(UTC)
        return {
            "id": "first",
            "kind": "ordinary",
            "environment": ENVIRONMENT,
            "commit": self.git("rev-parse", "HEAD"),
            "playbook": "playbooks/touch.yml",
            "inventory": SOURCES,
            "limit": "all",
            "window": {
                "from": (now - timedelta(hours=1)).strftime(TIME),
                "until": (now + timedelta(hours=1)).strftime(TIME),
            },
            "reason": "Try the gate",
        } | changes

    def propose(self, *people: str, **changes: Any) -> Path:
        """A record, signed by these people."""
        stated = self.stated(**changes)
        path: Path = self.records / stated["id"] / FILE
        document.write(path, document.build(Record, stated, path))
        for person in people:
            self.sign(path, person)
        return path

    def sign(self, path: Path, person: str, at: datetime | None = None) -> None:
        """Add a person's signature by the project's own means."""
        allowed = gate.allowed_signers(self.path, ENVIRONMENT)
        assert sign(path, path.read_bytes(), self.key(person), allowed, at or datetime.now(UTC)) == person

    def cliargs(self, **changes: Any) -> dict[str, Any]:
        """What Ansible makes of `ansible-playbook playbooks/touch.yml`."""
        return {
            "args": (str(self.path / "playbooks/touch.yml"),),
            "inventory": tuple(str(self.path / source) for source in SOURCES),
            "subset": None,
            "tags": ("all",),
            "skip_tags": (),
            "start_at_task": None,
            "extra_vars": (),
            "check": False,
            "become": False,
            "become_method": "sudo",
            "connection": "ssh",
        } | changes

    def examine(self, identity: str = "first", environ: Mapping[str, str] | None = None, **changes: Any) -> Any:
        """What the gate says to a run; `changes` are options, with `config` and `branch` for the gate itself."""
        config = changes.pop("config", str(self.path / "ansible.cfg"))
        branch = changes.pop("branch", gate.MAIN)
        environ = {gate.VARIABLE: identity} if environ is None else environ
        return gate.examine(
            ENVIRONMENT, self.path, self.cliargs(**changes), branch=branch, config=config, environ=environ
        )

    def log(self) -> log.ChangeLog:
        """The environment's change log."""
        return log.ChangeLog(self.path, ENVIRONMENT)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of each person; one of them has two."""
    folder = tmp_path_factory.mktemp("keys")
    for name in (*PEOPLE, f"{PEOPLE[0]}-second", OUTSIDER):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    return folder


@pytest.fixture
def site(tmp_path: Path, keys: Path) -> Site:
    """A clean checkout at a known commit."""
    made = Site((tmp_path / "project").resolve(), keys)
    for name, content in FILES.items():
        made.write(name, content)
    for plugin in ("inventory/kepil.py", "callback/kepil_change.py"):
        target = made.path / "plugins" / plugin
        target.parent.mkdir(parents=True)
        shutil.copy(PROJECT / "plugins" / plugin, target)
    lines = [f'{name} namespaces="change@kepil" {made.public(name)}\n' for name in PEOPLE]
    lines.append(f"{PEOPLE[0]} {made.public(f'{PEOPLE[0]}-second')} the second key of one person\n")
    made.write("inventories/trial/allowed_signers", "# Who may sign for trials.\n" + "".join(lines))
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit()
    return made


@pytest.fixture(autouse=True)
def _no_run_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate lets one run of a process in; each test is a process of its own. Nothing is told to the system log."""
    monkeypatch.setattr(gate, "_admitted", [])
    monkeypatch.setattr(syslog, "syslog", lambda *_: None)
    for name in [name for name in os.environ if name.startswith(("ANSIBLE_", "KEPIL_"))]:
        monkeypatch.delenv(name)
