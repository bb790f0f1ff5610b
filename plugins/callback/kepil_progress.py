"""Screen output for people who wait: a line for each play, then one for each host of it, and failures in full."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ansible.plugins.callback.default import CallbackModule as Default

DOCUMENTATION = """
name: kepil_progress
type: stdout
short_description: A progress line per play and host
description:
  - Prints what runs now, and per host how much of it there was and how long it took. Failures, and differences under
    C(--diff), look as the default callback shows them.
  - Where the environment variable C(KEPIL_CHANGED) names a file, the hosts that changed are written to it.
extends_documentation_fragment: [default_callback, result_format_callback]
"""


class CallbackModule(Default):  # type: ignore[misc]
    """Counts what each host did in the play that runs, and prints it when the play ends."""

    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "kepil_progress"

    def __init__(self) -> None:
        super().__init__()
        self._done: dict[str, Counter[str]] = {}
        self._play_started = self._started = time.monotonic()
        self._live = sys.stdout.isatty()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Close the play before, announce this one."""
        self._close_play()
        self._play = play
        self._play_started = time.monotonic()
        self._display.display(f"-- {play.get_name().strip()}")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool = False) -> None:
        """On a terminal, show the task that runs; elsewhere stay silent."""
        self._last_task_banner = None
        if self._live:
            sys.stdout.write(f"\r\x1b[K   … {task.get_name().strip()[:100]}")
            sys.stdout.flush()

    v2_playbook_on_handler_task_start = v2_playbook_on_task_start

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count; show differences where they were asked for."""
        changed = bool(result.result.get("changed", False))
        self._count(result.host.get_name(), "changed" if changed else "ok")
        if changed and self._display.verbosity > 0:
            super().v2_runner_on_ok(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Count."""
        self._count(result.host.get_name(), "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Count and show in full."""
        self._count(result.host.get_name(), "failed")
        self._clear()
        super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Count and show in full."""
        self._count(result.host.get_name(), "unreachable")
        self._clear()
        super().v2_runner_on_unreachable(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Items are part of their task."""

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        """Items are part of their task."""

    def v2_runner_retry(self, result: Any) -> None:
        """Waiting is no event; what ends it is."""

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Files are part of their play."""

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """A play without hosts is no event."""

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Close the last play; say in one line what changed and how long it all took."""
        self._close_play()
        hosts = sorted(stats.processed)
        summary = {host: stats.summarize(host) for host in hosts}
        changed = [host for host in hosts if summary[host]["changed"]]
        failed = [host for host in hosts if summary[host]["failures"] or summary[host]["unreachable"]]
        tasks = sum(summary[host]["ok"] for host in hosts)
        total = sum(summary[host]["changed"] for host in hosts)
        self._display.display(
            f"== {len(hosts)} hosts, {tasks} tasks, {total} changed"
            + (f" on {', '.join(changed)}" if changed else "")
            + (f", FAILED on {', '.join(failed)}" if failed else "")
            + f", {time.monotonic() - self._started:.0f} s"
        )
        target = os.environ.get("KEPIL_CHANGED")
        if target:
            Path(target).write_text("".join(f"{host}\n" for host in changed), encoding="utf-8")

    def _count(self, host: str, what: str) -> None:
        self._done.setdefault(host, Counter())[what] += 1

    def _clear(self) -> None:
        if self._live:
            sys.stdout.write("\r\x1b[K")

    def _close_play(self) -> None:
        self._clear()
        seconds = time.monotonic() - self._play_started
        for host, counts in sorted(self._done.items()):
            parts = ", ".join(
                f"{counts[key]} {key}" for key in ("ok", "changed", "skipped", "failed", "unreachable") if counts[key]
            )
            self._display.display(f"   {host:<10} {parts}")
        if self._done:
            self._display.display(f"   {seconds:.1f} s")
        self._done = {}
