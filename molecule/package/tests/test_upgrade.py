"""An upgrade restarts those who run the package, and leaves a way back."""

from __future__ import annotations

from typing import Any

testinfra_hosts = ["ansible://organisation"]

EARLIER = "1111111111111111"  # as prepare.yml left them
OLDER = "0000000000000000"


def test_the_earlier_version_stays_and_the_older_goes(host: Any) -> None:
    """Threat: no way back from a bad version; or versions pile up until the disk is full."""
    versions = set(host.file("/opt/kepil").listdir()) - {"current", "wheel"}
    current = host.file("/opt/kepil/current").linked_to.removeprefix("/opt/kepil/")
    assert versions == {current, EARLIER}
    assert current not in {EARLIER, OLDER}


def test_services_that_run_the_package_were_restarted_and_others_were_not(host: Any) -> None:
    """Threat: a corrected fault goes on running in a process that nobody restarted."""
    current = host.file("/opt/kepil/current").linked_to
    assert host.file("/run/kepil-user").content_string.strip() == current
    assert host.file("/run/kepil-bystander").content_string.strip() == f"/opt/kepil/{EARLIER}"
