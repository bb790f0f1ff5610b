"""Has each worker begin with what all of them need, instead of making it for itself."""

from __future__ import annotations

import gc
import os
from typing import Any, Final

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import connection_loader
from ansible.template import Templar, trust_as_template

DOCUMENTATION = """
name: kepil_workers
type: notification
short_description: Load once what every worker would load
description:
  - Ansible forks a worker for each task and host. Each loads all filters and tests, makes a lexer for templates and
    reads the connection plugin, and forgets them at its end; a third of its time goes there (docs/performance.md).
    This callback has the parent do so before the first fork.
  - Workers do not look for cyclic garbage, which would copy the memory that they share with their parent. They end
    before there is much of it.
"""

TRANSPORTS: Final = ("docker", "local", "ssh")
"""Connection plugins that environments use."""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Acts once, before the first task; then strategies have put in the connection plugins that they want."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kepil_workers"

    def __init__(self) -> None:
        super().__init__()
        self._ready = False

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool = False) -> None:
        """Make ready; a filter and a test in one expression have all of them loaded."""
        if self._ready:
            return
        self._ready = True
        Templar(variables={}).evaluate_expression(trust_as_template("[] | length is defined"))
        for transport in TRANSPORTS:
            connection_loader.get(transport, class_only=True)
        gc.collect()
        gc.freeze()
        os.register_at_fork(after_in_child=gc.disable)
