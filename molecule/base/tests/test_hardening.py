"""What holds on every host, container or machine."""

from __future__ import annotations

from typing import Any


def test_every_unit_runs(host: Any) -> None:
    """Threat: a failed unit that everybody has got used to."""
    assert host.run("systemctl is-system-running --wait").stdout.strip() == "running", host.run(
        "systemctl --failed"
    ).stdout


def test_units_are_sound(host: Any) -> None:
    """Threat: a line of a unit that systemd ignores."""
    assert host.run("systemd-analyze verify --man=no chrony.service nftables.service rsyslog.service").stderr == ""


def test_names_resolve_to_the_inventorys_addresses(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a name that leads to another host."""
    names = [name for entry in variables["estate_names"] for name in entry["names"]]
    found = host.check_output(f"getent hosts {' '.join(names)}").split("\n")
    for entry in variables["estate_names"]:
        for name in entry["names"]:
            assert any(line.split()[0] == entry["address"] and name in line.split() for line in found), name
    assert host.check_output("hostname") == variables["inventory_hostname"]


def test_services_leave_no_core_dump(host: Any) -> None:
    """CP-6.2. Threat: keys or activation data reach a disk."""
    assert host.check_output("systemctl show --property DefaultLimitCORE --value") == "0"
    assert host.check_output("systemd-run --quiet --wait --pipe --collect sh -c 'ulimit -H -c'") == "0"


def test_permissions(host: Any) -> None:
    """Threat: one account reads or changes what belongs to another."""
    expected = {
        "/etc/shadow": "root:shadow 640",
        "/etc/gshadow": "root:shadow 640",
        "/etc/passwd": "root:root 644",
        "/etc/nftables.conf": "root:root 600",
        "/root": "root:root 700",
    }
    listed = host.check_output(f"stat --format '%n=%U:%G %a' {' '.join(expected)}")
    assert dict(line.split("=") for line in listed.split("\n")) == expected


def test_kernel_settings_are_understood(host: Any) -> None:
    """Threat: a misspelt setting protects nothing. Containers cannot set them; those of parts
    that a kernel may lack are named here."""
    settings = [
        line.split("=")[0].strip()
        for line in host.file("/etc/sysctl.d/60-kernel.conf").content_string.split("\n")
        if line and not line.startswith("#")
    ]
    paths = " ".join(f"/proc/sys/{name.replace('.', '/')}" for name in settings)
    known = host.run(f"ls -d {paths} 2>/dev/null").stdout.split()
    unknown = {name for name in settings if f"/proc/sys/{name.replace('.', '/')}" not in known}
    assert len(settings) > 20
    assert unknown <= {
        "kernel.yama.ptrace_scope",
        "kernel.kexec_load_disabled",
        "kernel.sysrq",
        "net.core.bpf_jit_harden",
    }


def test_new_files_are_not_for_everyone(host: Any) -> None:
    """Threat: a file made in a hurry is open to all accounts."""
    assert "UMASK 027" in host.file("/etc/login.defs").content_string.split("\n")


def test_nothing_installs_packages_by_itself(host: Any) -> None:
    """CP-6.5: what runs is what the estate approved."""
    units = "apt-daily.timer apt-daily-upgrade.timer"
    assert host.run(f"systemctl is-active {units}").stdout.split() == ["inactive"] * 2
    assert host.run(f"systemctl is-enabled {units}").stdout.split() == ["disabled"] * 2
