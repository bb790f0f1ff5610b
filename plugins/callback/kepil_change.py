"""Writes how a run ended to the change log, if the change gate let it in; other runs are none of its business."""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase

from kepil.change.gate import admission

DOCUMENTATION = """
name: kepil_change
type: notification
short_description: Write the result of a change to the change log
description:
  - The inventory plugin logs that a run begins; this callback adds the counts by host when it ends. A run that has no
    result was interrupted.
  - It is loaded whatever the settings say, so that no setting turns the change log off.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Hands Ansible's own statistics to the log; CALLBACK_NEEDS_ENABLED is absent on purpose."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kepil_change"

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run is over."""
        run = admission()
        if run:
            run.finish({host: stats.summarize(host) for host in sorted(stats.processed)})
