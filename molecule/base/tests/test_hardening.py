"""What holds on every host, container or machine."""

from __future__ import annotations

from typing import Any

import pytest


def test_every_unit_runs(host: Any) -> None:
    """Threat: a failed unit that everybody has got used to."""
    assert host.run("systemctl is-system-running --wait").stdout.strip() == "running", host.run(
        "systemctl --failed"
    ).stdout


@pytest.mark.parametrize("unit", ["chrony.service", "nftables.service", "rsyslog.service"])
def test_units_are_sound(host: Any, unit: str) -> None:
    """Threat: a line of a unit that systemd ignores."""
    assert host.run(f"systemd-analyze verify {unit}").stderr == ""


def test_names_resolve_to_the_inventorys_addresses(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a name that leads to another host."""
    for entry in variables["estate_names"]:
        for name in entry["names"]:
            addresses = {line.split()[0] for line in host.check_output(f"getent ahostsv4 {name}").split("\n")}
            assert entry["address"] in addresses
    assert host.check_output("hostname") == variables["inventory_hostname"]


def test_services_leave_no_core_dump(host: Any) -> None:
    """CP-6.2. Threat: keys or activation data reach a disk."""
    assert host.check_output("systemctl show --property DefaultLimitCORE --value") == "0"
    assert host.check_output("systemd-run --quiet --wait --pipe --collect sh -c 'ulimit -H -c'") == "0"


@pytest.mark.parametrize(
    ("path", "owner", "mode"),
    [
        ("/etc/shadow", "root:shadow", 0o640),
        ("/etc/gshadow", "root:shadow", 0o640),
        ("/etc/passwd", "root:root", 0o644),
        ("/etc/nftables.conf", "root:root", 0o600),
        ("/root", "root:root", 0o700),
    ],
)
def test_permissions(host: Any, path: str, owner: str, mode: int) -> None:
    """Threat: one account reads or changes what belongs to another."""
    file = host.file(path)
    assert (f"{file.user}:{file.group}", file.mode) == (owner, mode)


def test_kernel_settings_are_understood(host: Any) -> None:
    """Threat: a misspelt setting protects nothing. Containers cannot set them; all but the module's own must exist."""
    settings = [
        line.split("=")[0].strip()
        for line in host.file("/etc/sysctl.d/60-kernel.conf").content_string.split("\n")
        if line and not line.startswith("#")
    ]
    unknown = [name for name in settings if not host.file(f"/proc/sys/{name.replace('.', '/')}").exists]
    assert len(settings) > 20
    assert set(unknown) <= {"kernel.yama.ptrace_scope", "kernel.kexec_load_disabled", "net.core.bpf_jit_harden"}


def test_new_files_are_not_for_everyone(host: Any) -> None:
    """Threat: a file made in a hurry is open to all accounts."""
    assert "UMASK 027" in host.file("/etc/login.defs").content_string.split("\n")


@pytest.mark.parametrize("unit", ["apt-daily.timer", "apt-daily-upgrade.timer"])
def test_nothing_installs_packages_by_itself(host: Any, unit: str) -> None:
    """CP-6.5: what runs is what the estate approved."""
    assert not host.service(unit).is_running
    assert not host.service(unit).is_enabled
