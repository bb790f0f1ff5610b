"""The priority under which systemd's journal files what is written to standard error."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kepil.pki.web.log import JsonFormatter
from kepil.priority import prefix


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A file in the place of the journal's stream."""
    with (tmp_path / "journal").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        yield stream


@pytest.mark.parametrize(
    ("level", "expected"),
    [(logging.CRITICAL, "<2>"), (logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (1, "<7>")],
)
def test_each_level_has_its_priority(journal: Any, level: int, expected: str) -> None:
    assert prefix(level, journal) == expected


def test_a_line_of_the_log_begins_with_it(journal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", journal)
    record = logging.LogRecord("kepil", logging.ERROR, "", 0, "crl late", None, None)
    assert JsonFormatter().format(record).startswith('<3>{"at": ')


def test_another_stream_than_the_journals_gets_none(journal: Any, tmp_path: Path) -> None:
    """A redirection to a file or a pipe leaves the variable set."""
    with (tmp_path / "elsewhere").open("w") as stream:
        assert prefix(logging.ERROR, stream) == ""
    assert prefix(logging.ERROR, stream) == "", "closed"


@pytest.mark.parametrize("named", [True, False])
def test_a_command_that_fails_says_so_at_priority_err(tmp_path: Path, named: bool) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        environment = os.environ | ({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"} if named else {})
        command = [sys.executable, "-m", "kepil.cli", "ca", "crl", "--kind", "full", "--settings", "/nowhere"]
        done = subprocess.run(command, stderr=stream, env=environment, check=False)
        stream.seek(0)
        assert done.returncode == 1
        assert stream.read().startswith(("<3>" if named else "") + "kepil: /nowhere: ")
