"""The package on its hosts, and the way from one version to the next."""

from __future__ import annotations

from typing import Any

import pytest


def test_the_version_in_use_is_complete_and_runs_from_its_own_environment(host: Any) -> None:
    """Threat: a service starts from a half-installed version."""
    current = host.file("/opt/kepil/current")
    assert current.is_symlink
    interpreter = host.file("/opt/kepil/current/bin/kepil").content_string.split("\n")[0].removeprefix("#!")
    where = host.check_output(f"{interpreter} -c 'import kepil; print(kepil.__file__)'")
    assert where.startswith(f"{current.linked_to}/lib/python3")


def test_the_command_line_explains_itself(host: Any) -> None:
    """`kepil --help` names the nouns that the package has commands for."""
    assert "database" in host.check_output("kepil --help")


@pytest.mark.parametrize("module", ["asn1crypto", "pydantic", "psycopg", "starlette", "uvicorn"])
def test_libraries_are_debians(host: Any, module: str) -> None:
    """Threat: a library that no security team watches runs next to keys."""
    where = host.check_output(f"/opt/kepil/current/bin/python3 -c 'import {module}; print({module}.__file__)'")
    assert where.startswith("/usr/lib/python3/dist-packages/")


def test_only_root_writes_the_package(host: Any) -> None:
    """Threat: a service's user replaces the code that it runs."""
    assert host.check_output("find -L /opt/kepil/current/bin /opt/kepil/current/lib ! -user root -o -perm /022") == ""
