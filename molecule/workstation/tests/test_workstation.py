"""What journeys need on a host that stands for a user's workstation."""

from __future__ import annotations

from typing import Any


def test_the_browser_runs_a_page(host: Any) -> None:
    """Without a screen; the page's own script has written what is seen."""
    page = "data:text/html,<title>x</title><script>document.title=6*7</script>"
    said = host.check_output(
        "HOME=$(mktemp -d) timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage"
        f" --dump-dom '{page}'"
    )
    assert "<title>42</title>" in said


def test_the_browser_can_be_told_whom_to_trust(host: Any) -> None:
    host.check_output("mkdir -p /tmp/nss && certutil -N -d sql:/tmp/nss --empty-password")
    host.check_output("certutil -L -d sql:/tmp/nss")
