"""A record is read as the text that people see, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kepil.change.record import Record, read_record
from kepil.signed import document
from kepil.signed.document import DocumentError

RECORD = """\
id: first
kind: ordinary
environment: trial
commit: 0123456789012345678901234567890123456789
playbook: playbooks/site.yml
inventory: [inventories/common, inventories/trial]
limit: all
extra_vars: [no, 1e3, 2026-11-21]
window: {from: 2026-11-21T18:00:00Z, until: 2026-11-22T18:00:00Z}
reason: Өзгеріс, изменение, change
"""
WHERE = Path("changes/trial/first/record.yml")


def parse(text: str) -> Record:
    return document.parse(text.encode(), Record, WHERE)


def test_scalars_are_text() -> None:
    record = parse(RECORD)
    assert record.commit == "0123456789" * 4
    assert record.extra_vars == ("no", "1e3", "2026-11-21")
    assert record.window.since.isoformat() == "2026-11-21T18:00:00+00:00"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trial/first/record.yml"
    record = parse(RECORD)
    document.write(path, record)
    assert read_record(path) == (record, path.read_bytes())
    with pytest.raises(DocumentError, match="is there already and is never replaced"):
        document.write(path, record)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("limit: all\n", "limit: all\nlimit: app01\n", "line 8: key 'limit' is stated twice"),
        ("limit: all\n", "limits: all\n", "limit: Field required; limits: Extra inputs are not permitted"),
        ("limit: all\n", "limit: &a all\n", "anchors, aliases and tags are not allowed"),
        ("reason: ", "reason: !!str ", "anchors, aliases and tags are not allowed"),
        ("limit: all\n", "limit: *a\n", "undefined alias|anchors, aliases"),
        ("limit: all\n", f"limit: {'[' * 200000}\n", "more than 32 levels of nesting"),
        ("Өзгеріс", "Өзгеріс\u202e", "line 10 holds a character that cannot be seen"),
        ("Өзгеріс", "Өзгеріс\r", "line 10 holds a character that cannot be seen"),
        ("reason:", "# \x1b[2K\nreason:", "line 10 holds a character|unacceptable character"),
        (RECORD, "", "the file is empty"),
        (RECORD, "- first\n", "document: Input should be a valid dictionary"),
        (RECORD, RECORD + "---\n" + RECORD, "single document"),
        (RECORD, RECORD + "? [a]\n: b\n", "key .* is stated twice"),
        ("kind: ordinary", "kind: urgent", "kind: Input should be 'ordinary' or 'break-glass'"),
        ("id: first", "id: ../first", "id: String should match"),
        ("01234567890123", "HEAD0123456789", "commit: String should match"),
        ("playbooks/site.yml", "/root/site.yml", "playbook: .* must be a path inside the project"),
        ("playbooks/site.yml", "playbooks/../../site.yml", "playbook: .* must be a path inside the project"),
        ("inventories/common", "'app01,'", "inventory.0: String should match"),
        ("[inventories/common, inventories/trial]", "[]", "inventory: Tuple should have at least 1 item"),
        ("limit: all", "limit: ''", "limit: String should match"),
        ("limit: all", "limit: 'app01,@hosts'", "limit: String should match"),
        ("[no, 1e3,", "['@vars.yml',", "extra_vars.0: .* names a file, which nobody signed"),
        ("2026-11-21T18:00:00Z", "2026-11-21T18:00:00+05:00", "window.from: .* is no time in UTC"),
        ("2026-11-22T18", "2026-11-21T18", "window: .* must end after it begins"),
        ("2026-11-22T18", "2026-11-29T18", "at most 7 days, 0:00:00 for kind ordinary"),
        ("kind: ordinary", "kind: break-glass", "at most 12:00:00 for kind break-glass"),
        ("reason: Өзгеріс, изменение, change", "reason: ''", "reason: String should have at least 1 character"),
    ],
)
def test_what_is_not_plain_is_refused(old: str, new: str, reason: str) -> None:
    assert old in RECORD
    with pytest.raises(DocumentError, match=reason) as caught:
        parse(RECORD.replace(old, new))
    assert str(WHERE) in str(caught.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(DocumentError, match="can't decode"):
        document.parse(b"\xff", Record, WHERE)


def test_optional_parts_are_absent_and_not_empty() -> None:
    """An empty value is not taken for none."""
    stated: dict[str, Any] = document.build(Record, {**_stated(), "start_at_task": None}, WHERE).model_dump()
    assert stated["start_at_task"] is None
    with pytest.raises(DocumentError, match="start_at_task: String should have at least 1 character"):
        parse(RECORD + "start_at_task:\n")


def _stated() -> dict[str, Any]:
    return parse(RECORD).model_dump(mode="json", by_alias=True)
