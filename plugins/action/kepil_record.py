"""Writes a ceremony's record on the machine that directs it, without a connection to it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = """
name: kepil_record
short_description: Write a public record of a ceremony, once
description:
  - Writes a file on the controller (CP-5.4). The worker does so itself; a task that is delegated to localhost opens a
    connection to it first, which takes longer than most acts do.
  - A record that is there stays as it is, whatever it says, and nothing is changed. What was interrupted is not there.
options:
  path:
    description: The file, mode 0644; folders that it lacks are made, mode 0755.
    type: path
    required: true
  content:
    description: What it says. Nothing of it is secret; C(--diff) shows it.
    type: str
    required: true
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    """`kepil_record: {path: ..., content: ...}`."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Say whether the file was, or would be, written. Raises AnsibleActionFail naming the file."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, told = self.validate_argument_spec(
            {"path": {"type": "path", "required": True}, "content": {"type": "str", "required": True}}
        )
        path = Path(told["path"])
        result["changed"] = not path.exists()
        if result["changed"] and self._task.diff:
            result["diff"] = {"before": "", "after": told["content"], "after_header": str(path)}
        if result["changed"] and not self._task.check_mode:
            try:
                write_once(path, told["content"])
            except OSError as error:
                raise AnsibleActionFail(f"{path}: the record could not be written: {error.strerror}") from error
        return result


def write_once(path: Path, content: str) -> None:
    """Write a file as a whole, and never over another (FileExistsError)."""
    lacking = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in lacking:
        folder.chmod(0o755)  # whatever the umask is
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
        os.link(file.name, path)
