"""A stack runs with its own state and passphrase, with the engine that is pinned, and leaves the checkout as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from kepil.estate import stack
from tests.conftest import PROJECT

PROGRAM = PROJECT / "pulumi"
ENGINE, PLUGIN = version("pulumi"), version("pulumi-docker")
Command = Callable[..., Path]


@pytest.fixture
def pulumi_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Puts a `pulumi` first in PATH that says these versions, writes down how else it is called, and ends so."""

    def install(engine: str = ENGINE, plugin: str = PLUGIN, status: int = 0) -> Path:
        calls = tmp_path / "calls"
        script = tmp_path / "bin" / "pulumi"
        script.parent.mkdir(exist_ok=True)
        script.write_text(
            f"""#!/bin/sh
case "$*" in
version) echo v{engine} ;;
"plugin ls --json") echo '[{{"name": "docker", "kind": "resource", "version": "{plugin}"}}]' ;;
*) echo "$PULUMI_BACKEND_URL $PULUMI_CONFIG_PASSPHRASE_FILE $*" >>{calls}; exit {status} ;;
esac
""",
            encoding="utf-8",
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        return calls

    return install


def test_the_pinned_engine_and_plugin_are_enough(pulumi_command: Command) -> None:
    pulumi_command()
    assert stack.lacking() is None


@pytest.mark.parametrize(
    ("engine", "plugin", "reason"),
    [
        ("3.1.0", PLUGIN, f"pulumi {ENGINE} is needed, and 3.1.0 is installed"),
        (ENGINE, "4.0.0", f"plugin docker {PLUGIN} is not installed"),
    ],
)
def test_another_version_is_not_enough(pulumi_command: Command, engine: str, plugin: str, reason: str) -> None:
    pulumi_command(engine, plugin)
    assert reason in str(stack.lacking())


def test_a_missing_engine_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stack.lacking() == f"pulumi {ENGINE} is not installed"


def test_a_local_stack_keeps_all_of_its_own_in_its_folder(tmp_path: Path) -> None:
    """The salt that the engine adds to a stack's settings, the state and the passphrase stay out of the checkout."""
    folder = tmp_path / "dev"
    opened = stack.local_stack(PROGRAM, "dev", folder)
    project = yaml.safe_load((folder / "Pulumi.yaml").read_text(encoding="utf-8"))
    assert Path(project["main"]) == PROGRAM
    assert Path(project["runtime"]["options"]["virtualenv"]) == PROJECT / ".venv"
    assert project["backend"]["url"] == opened.variables["PULUMI_BACKEND_URL"] == f"file://{folder}/state"
    assert (folder / "state").is_dir()
    passphrase = Path(opened.variables["PULUMI_CONFIG_PASSPHRASE_FILE"])
    assert passphrase.parent == folder
    assert passphrase.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_local_stack_that_is_opened_again_keeps_its_salt_and_passphrase(tmp_path: Path) -> None:
    opened = stack.local_stack(PROGRAM, "dev", tmp_path)
    settings = tmp_path / "Pulumi.dev.yaml"
    passphrase = Path(opened.variables["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_text(encoding="ascii")
    settings.write_text(settings.read_text(encoding="utf-8") + "encryptionsalt: v1:salt\n", encoding="utf-8")
    stack.local_stack(PROGRAM, "dev", tmp_path)
    kept = yaml.safe_load(settings.read_text(encoding="utf-8"))
    committed = yaml.safe_load((PROGRAM / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    assert kept == committed | {"encryptionsalt": "v1:salt"}
    assert (tmp_path / "passphrase").read_text(encoding="ascii") == passphrase


def test_a_command_runs_in_a_stack_that_is_made_first(
    pulumi_command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = pulumi_command()
    opened = stack.local_stack(PROGRAM, "dev", tmp_path / "dev")
    assert stack.run(opened, "up", "--yes") == 0
    seen = calls.read_text(encoding="utf-8").splitlines()
    where = f"file://{tmp_path}/dev/state {tmp_path}/dev/passphrase --cwd {tmp_path}/dev"
    assert seen == [
        f"{where} stack select --create --secrets-provider passphrase dev",
        f"{where} up --yes --stack dev",
    ]
    printed = capsys.readouterr().out
    assert "pulumi --cwd" in printed
    assert (tmp_path / "dev" / "passphrase").read_text(encoding="ascii") not in printed


def test_a_failure_ends_the_run_with_its_status(pulumi_command: Command, tmp_path: Path) -> None:
    calls = pulumi_command(status=3)
    assert stack.run(stack.local_stack(PROGRAM, "dev", tmp_path / "dev"), "up") == 3
    assert len(calls.read_text(encoding="utf-8").splitlines()) == 1


def test_production_runs_where_its_settings_lie_with_their_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    opened = stack.open_stack(PROGRAM, "production")
    settings = yaml.safe_load((PROGRAM / "Pulumi.production.yaml").read_text(encoding="utf-8"))
    assert opened.folder == PROGRAM
    assert opened.variables == {"PULUMI_BACKEND_URL": settings["config"]["kepil:backend"]}


def test_production_is_not_run_without_a_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(stack.StackError, match="PULUMI_CONFIG_PASSPHRASE_FILE is not set"):
        stack.open_stack(PROGRAM, "production")


def test_an_unknown_stack_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(stack.StackError, match="the stacks are dev, production"):
        stack.open_stack(PROGRAM, "staging")


def test_what_a_local_stack_keeps_is_outside_git() -> None:
    assert "/.local/" in (PROGRAM / ".gitignore").read_text(encoding="utf-8").splitlines()
