"""Every option of ansible-playbook is named by the record, refused, or known to be harmless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible import context
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.console import ConsoleCLI
from ansible.cli.inventory import InventoryCLI
from ansible.cli.playbook import PlaybookCLI
from ansible.utils.context_objects import GlobalCLIArgs

from kepil.change.invocation import FREE, LISTS_ONLY, NAMED, UNCHANGED, InvocationError, command, touches_hosts
from kepil.change.record import Record
from kepil.signed import document

from .conftest import Site


@pytest.fixture(autouse=True)
def _own_arguments() -> Iterator[None]:
    """Ansible keeps one set of arguments a process."""
    yield
    GlobalCLIArgs._Singleton__instance = None


def parsed(cli: Any, *arguments: str) -> dict[str, Any]:
    GlobalCLIArgs._Singleton__instance = None
    cli(list(arguments)).parse()
    return dict(context.CLIARGS)


def test_every_option_of_this_ansible_is_known() -> None:
    options = parsed(PlaybookCLI, "ansible-playbook", "playbooks/site.yml")
    assert set(options) == {*NAMED, *UNCHANGED, *FREE, *LISTS_ONLY}
    assert {option: options[option] for option in UNCHANGED} == UNCHANGED


def test_an_option_that_a_later_ansible_brings_is_refused(site: Site) -> None:
    site.propose("change-manager", "deputy-manager")
    with pytest.raises(InvocationError, match="options that the change gate does not know: elsewhere"):
        site.examine(elsewhere=None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"args": ("playbooks/fail.yml",)}, "playbook: the record names playbooks/touch.yml, not playbooks/fail.yml"),
        ({"args": ("playbooks/touch.yml", "playbooks/touch.yml")}, "playbook: the record names"),
        ({"args": ("/elsewhere/touch.yml",)}, "playbook: the record names"),
        (
            {"inventory": ("inventories/trial",)},
            "inventory: the record names .*estate.kepil.yml, not inventories/trial$",
        ),
        ({"inventory": ("inventories/estate.kepil.yml", "inventories/trial")}, "inventory: the record names"),
        ({"inventory": ("inventories/trial", "inventories/estate.kepil.yml", "app03,")}, "inventory: the record names"),
        ({"subset": None}, "limit: the record names app01, not all"),
        ({"subset": "app02"}, "limit: the record names app01, not app02"),
        ({"subset": "app01,app02"}, "limit: the record names app01, not app01,app02"),
        ({"subset": "@hosts"}, "limit: the record names app01, not @hosts"),
        ({"tags": ("all",)}, "tags: the record names one, not all"),
        ({"tags": ("one", "two")}, "tags: the record names one, not one, two"),
        ({"skip_tags": ("slow",)}, "skip-tags: the record names none, not slow"),
        ({"start_at_task": "Trace"}, "start-at-task: the record names none, not Trace"),
        ({"extra_vars": ()}, "extra-vars: not the 1 that the record names"),
        ({"extra_vars": ("mode=y",)}, "extra-vars: not the 1"),
        ({"extra_vars": ("mode=x", "more=1")}, "extra-vars: not the 1"),
        ({"extra_vars": ("@vars.yml",)}, "extra-vars: not the 1"),
        ({"become": True}, "--become: no record can name it"),
        ({"become_user": "root"}, "--become-user"),
        ({"become_method": "su"}, "--become-method"),
        ({"connection": "docker"}, "--connection"),
        ({"module_path": ("/elsewhere",)}, "--module-path"),
        ({"ssh_common_args": "-o StrictHostKeyChecking=no"}, "--ssh-common-args"),
        ({"ssh_extra_args": "-F /elsewhere/config"}, "--ssh-extra-args"),
        ({"sftp_extra_args": "-F /elsewhere/config"}, "--sftp-extra-args"),
        ({"scp_extra_args": "-F /elsewhere/config"}, "--scp-extra-args"),
        ({"check": True, "extra_vars": ()}, "extra-vars"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_what_the_record_does_not_name_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], reason: str
) -> None:
    site.propose("change-manager", "deputy-manager", limit="app01", tags=["one"], extra_vars=["mode=x"])
    monkeypatch.chdir(site.path)
    right: dict[str, Any] = {"subset": "app01", "tags": ("one",), "extra_vars": ("mode=x",)}
    site.examine(**right)
    with pytest.raises(InvocationError, match=reason):
        site.examine(**(right | options))


CEREMONY = "playbooks/ceremonies/root.yml"
STEP = '{"ceremony_step": {"id": "key-root"}, "ceremony_hall": "/hall"}'


def test_a_ceremonys_engine_runs_its_playbook_act_by_act(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One record lets a whole ceremony run; each of its acts is a part of it."""
    site.commit(**{CEREMONY: "[]"})
    site.propose("change-manager", "deputy-manager", playbook=CEREMONY)
    monkeypatch.chdir(site.path)
    site.examine(args=(CEREMONY,), tags=("key",), extra_vars=(STEP,))
    for limit in ("root", "!root"):
        site.examine(args=(CEREMONY,), tags=("key",), extra_vars=(STEP,), subset=limit)
    with pytest.raises(InvocationError, match="limit: the record names all, not ca01"):
        site.examine(args=(CEREMONY,), tags=("key",), extra_vars=(STEP,), subset="ca01")
    with pytest.raises(InvocationError, match="limit: the record names all, not root"):
        site.examine(args=(CEREMONY,), subset="root")
    for tags, told in (
        (("key", "crl"), (STEP,)),
        (("never",), (STEP,)),
        (("all",), (STEP,)),
        (("key",), (STEP, STEP)),
        (("key",), ('{"ceremony_hall": "/hall", "pki_families": ["pq"]}',)),
        (("key",), ("ceremony_hall=/hall",)),
    ):
        with pytest.raises(InvocationError, match=r"tags|extra-vars"):
            site.examine(args=(CEREMONY,), tags=tags, extra_vars=told)


def test_another_playbook_gets_no_act(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.propose("change-manager", "deputy-manager")
    monkeypatch.chdir(site.path)
    with pytest.raises(InvocationError, match="tags"):
        site.examine(tags=("key",), extra_vars=(STEP,))


def test_a_link_does_not_make_one_playbook_look_like_another(site: Site, tmp_path: Path) -> None:
    site.propose("change-manager", "deputy-manager")
    elsewhere = tmp_path / "elsewhere/deep"
    elsewhere.mkdir(parents=True)
    (site.path / "build").mkdir()
    (site.path / "build/link").symlink_to(elsewhere)
    with pytest.raises(InvocationError, match="playbook: the record names"):
        site.examine(args=(str(site.path / "build/link/../../playbooks/touch.yml"),))


@pytest.mark.parametrize(
    "options", [{"check": True}, {"diff": True}, {"step": True}, {"forks": 2}, {"remote_user": "x"}, {"verbosity": 3}]
)
def test_what_changes_nothing_is_free(site: Site, options: dict[str, Any]) -> None:
    site.propose("change-manager", "deputy-manager")
    site.examine(**options)


@pytest.mark.parametrize(
    "name", ["ANSIBLE_ROLES_PATH", "ANSIBLE_RUN_TAGS", "ANSIBLE_HOST_KEY_CHECKING", "ANSIBLE_STRATEGY", "ANSIBLE_NEW"]
)
def test_settings_from_the_environment_are_refused(site: Site, name: str) -> None:
    site.propose("change-manager", "deputy-manager")
    with pytest.raises(InvocationError, match=f"{name}: set in the environment, named by no record"):
        site.examine(environ={"KEPIL_CHANGE": "first", name: "x", "ANSIBLE_FORKS": "4"})
    site.examine(environ={"KEPIL_CHANGE": "first", "ANSIBLE_FORKS": "4"})


@pytest.mark.parametrize("config", [None, "/etc/ansible/ansible.cfg"])
def test_settings_of_another_file_are_refused(site: Site, config: str | None) -> None:
    site.propose("change-manager", "deputy-manager")
    with pytest.raises(InvocationError, match="Ansible's settings come from"):
        site.examine(config=config)


@pytest.mark.parametrize(
    ("cli", "arguments", "touches"),
    [
        (PlaybookCLI, ("ansible-playbook", "x.yml"), True),
        (PlaybookCLI, ("ansible-playbook", "x.yml", "--check"), True),
        *((PlaybookCLI, ("ansible-playbook", "x.yml", o), False) for o in ("--list-tasks", "--list-tags")),
        *((PlaybookCLI, ("ansible-playbook", "x.yml", o), False) for o in ("--list-hosts", "--syntax-check")),
        (AdHocCLI, ("ansible", "all"), True),
        (AdHocCLI, ("ansible", "all", "--list-hosts"), False),
        (ConsoleCLI, ("ansible-console", "all"), True),
        (InventoryCLI, ("ansible-inventory", "--list"), False),
        (InventoryCLI, ("ansible-inventory", "--host", "app01"), False),
    ],
    ids=str,
)
def test_what_only_lists_reaches_no_host(cli: Any, arguments: tuple[str, ...], touches: bool) -> None:
    assert touches_hosts(parsed(cli, *arguments)) is touches


def test_an_unknown_program_is_taken_for_one_that_reaches_hosts() -> None:
    assert touches_hosts({})


def test_the_command_that_a_record_shows_is_the_one_that_it_allows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {
        "limit": "app01:!away",
        "tags": ["one", "two"],
        "skip_tags": ["slow"],
        "start_at_task": "Trace it",
        "extra_vars": ["mode=x y=z", '{"n": 1}'],
    }
    site.propose("change-manager", "deputy-manager", **changes)
    record = document.build(Record, site.stated(**changes), Path("record.yml"))
    monkeypatch.chdir(site.path)
    site.examine(**parsed(PlaybookCLI, *command(record)))
