"""New rules last only if the operator who loads them can still come in: real runs over SSH."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

testinfra_hosts = ["ansible://hsm"]

PLAYBOOK = Path(__file__).parents[1] / "firewall.yml"
SHUT = """flush ruleset
table inet estate {
chain input {
type filter hook input priority filter; policy drop;
}
}
"""
IN_FORCE = "nft --stateless list ruleset"
OPENED = "nft insert rule inet estate input tcp dport 22 accept"
TIMER = "kepil-firewall-rollback.timer"
PENDING = f"systemctl is-active --quiet {TIMER}"
KEPT = "table inet kept { set open { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1h }; }; }"


class Operator:
    """Who reaches the host by SSH with a key and pinned host keys."""

    def __init__(self, folder: Path, address: str, proxy: str | None) -> None:
        options = [f"-o UserKnownHostsFile={folder}/known_hosts", "-o StrictHostKeyChecking=yes"]
        self.variables: dict[str, Any] = {
            "ansible_connection": "ssh",
            "ansible_host": address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": f"{folder}/key",
            "ansible_ssh_common_args": shlex.join(options + ([f"-o ProxyCommand={proxy}"] if proxy else [])),
        }
        self.folder = folder

    def start(self, *options: str, **variables: Any) -> subprocess.Popen[str]:
        """Apply the firewall to the host, over a connection that no other run has left open."""
        return subprocess.Popen(
            ["ansible-playbook", str(PLAYBOOK), "--extra-vars", json.dumps(self.variables | variables), *options],
            env=os.environ
            | {
                "ANSIBLE_SSH_CONTROL_PATH_DIR": tempfile.mkdtemp(dir=self.folder),
                "ANSIBLE_STRATEGY": "linear",
                "ANSIBLE_TIMEOUT": "3",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def apply(self, *options: str, fails: bool = False, **variables: Any) -> str:
        """Its output, on one line: it must succeed, or must fail."""
        run = self.start(*options, **variables)
        output, _ = run.communicate()
        assert (run.returncode != 0) is fails, output
        return " ".join(output.split())


@pytest.fixture(scope="module")
def access(inventory: dict[str, Any]) -> Iterator[Path]:
    """A folder with a key that opens the host's account, and with the host's key."""
    container, address = address_of(inventory, "hsm")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
        authorise = (
            "mkdir -p -m 700 /root/.ssh && cat > /root/.ssh/authorized_keys && cat /etc/ssh/ssh_host_ed25519_key.pub"
        )
        host_key = subprocess.run(
            ["docker", "exec", "-i", container, "sh", "-c", authorise],
            input=(folder / "key.pub").read_text(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        (folder / "known_hosts").write_text(f"{address} {host_key}")
        yield folder
        subprocess.run(["docker", "exec", container, "rm", "/root/.ssh/authorized_keys"], check=True)


def address_of(inventory: dict[str, Any], group: str) -> tuple[str, str]:
    """Container and address of the only host of a group."""
    variables = inventory["_meta"]["hostvars"][inventory[group]["hosts"][0]]
    return variables["ansible_host"], variables["estate_address"]


@pytest.fixture(scope="module")
def operator(access: Path, inventory: dict[str, Any]) -> Operator:
    """One who comes from ca01, from which the zone is administered."""
    _, address = address_of(inventory, "hsm")
    relay = f"exec 3<>/dev/tcp/{address}/22; cat <&3 & cat >&3"
    return Operator(
        access, address, shlex.join(["docker", "exec", "-i", address_of(inventory, "ca")[0], "bash", "-c", relay])
    )


@pytest.fixture(scope="module")
def stranger(access: Path, inventory: dict[str, Any]) -> Operator:
    """One who comes from this machine, which is no host of the estate."""
    return Operator(access, address_of(inventory, "hsm")[1], None)


@pytest.fixture(autouse=True)
def in_force(host: Any) -> Iterator[str]:
    """The rules before the test, to which the host returns."""
    yield host.check_output(IN_FORCE)
    host.run(f"systemctl stop {TIMER}")
    host.check_output("nft --file /etc/nftables.conf")


def wait_for(host: Any, condition: str) -> None:
    """Wait until a shell command on the host succeeds."""
    host.run_expect([0], f"timeout 60 sh -c {shlex.quote(f'until {condition}; do sleep 0.1; done')}")


def test_a_rule_added_by_hand_is_found_and_goes(host: Any, operator: Operator, in_force: str) -> None:
    """CP-6.7. Threat: a door that somebody opened for an hour is open for years."""
    host.check_output("nft insert rule inet estate input tcp dport 9 accept")
    shown = operator.apply("--check", "--diff")
    assert "- tcp dport 9 accept" in shown
    assert host.check_output(IN_FORCE) != in_force
    operator.apply()
    assert host.check_output(IN_FORCE) == in_force
    assert host.run(PENDING).rc != 0
    assert "changed=0" in operator.apply()


def test_a_table_that_another_role_keeps_is_left_alone(host: Any, operator: Operator, in_force: str) -> None:
    """Threat: new rules close what the gateway opened, or their way back opens again what has ended. A
    table that nobody named goes."""
    host.check_output(f"nft '{KEPT}' && nft 'table inet stray {{ }}' && {OPENED}")
    number = host.check_output("nft --handle list tables | grep 'inet kept'")
    operator.apply(
        fails=True, base_firewall_confirm_seconds=12, __base_firewall_rules=SHUT, base_firewall_beside=["inet kept"]
    )
    host.check_output("nft delete element inet kept open '{ 192.0.2.1 }'")  # its time is over
    wait_for(host, f"{IN_FORCE} | grep -q stray")
    operator.apply(base_firewall_beside=["inet kept"])
    assert host.check_output("nft --handle list tables | grep 'inet kept'") == number
    assert "192.0.2.1" not in host.check_output(IN_FORCE)
    host.check_output("nft delete table inet kept")
    assert host.check_output(IN_FORCE) == in_force


def test_an_operator_whom_the_new_rules_would_shut_out_is_refused(
    host: Any, stranger: Operator, inventory: dict[str, Any]
) -> None:
    """Threat: the last one who could mend the rules has locked himself out."""
    host.check_output(OPENED)
    opened = host.check_output(IN_FORCE)
    _, address = address_of(inventory, "hsm")
    route = json.loads(subprocess.run(["ip", "-json", "route", "get", address], capture_output=True, check=True).stdout)
    said = stranger.apply(fails=True)
    assert f"{inventory['hsm']['hosts'][0]}: no flow lets {route[0]['prefsrc']}" in said
    assert "administered_from of zone test" in said
    assert host.check_output(IN_FORCE) == opened
    assert host.run(PENDING).rc != 0


def test_rules_under_which_the_host_cannot_be_reached_are_taken_back(
    host: Any, operator: Operator, in_force: str
) -> None:
    """Threat: rules that look right shut everybody out, far away from the console."""
    host.check_output("nft insert rule inet estate input tcp dport 9 accept")
    before = host.check_output(IN_FORCE)
    said = operator.apply(fails=True, base_firewall_confirm_seconds=12, __base_firewall_rules=SHUT)
    assert "hsm01: no new connection" in said
    wait_for(host, f"{IN_FORCE} | grep -q 'dport 9 '")
    assert host.check_output(IN_FORCE) == before
    assert SHUT not in host.file("/etc/nftables.conf").content_string
    operator.apply()
    assert host.check_output(IN_FORCE) == in_force


def test_a_restart_brings_back_the_rules_that_were_confirmed(
    host: Any, operator: Operator, inventory: dict[str, Any], in_force: str
) -> None:
    """Threat: rules that nobody confirmed become permanent, because the host restarts before they are taken back."""
    names = host.file("/etc/hosts").content
    run = operator.start(base_firewall_confirm_seconds=600, __base_firewall_rules=SHUT)
    wait_for(host, f"{PENDING} && ! {IN_FORCE} | grep -q dport")
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    container, _ = address_of(inventory, "hsm")
    subprocess.run(["docker", "restart", container], check=True, capture_output=True)
    wait_for(host, "systemctl is-system-running --wait")
    subprocess.run(["docker", "exec", "-i", container, "sh", "-c", "cat > /etc/hosts"], input=names, check=True)
    assert host.check_output(IN_FORCE) == in_force
    assert host.run(PENDING).rc != 0


def test_rules_that_cannot_be_loaded_change_nothing(host: Any, operator: Operator, in_force: str) -> None:
    """Threat: a mistake in the rules opens the host."""
    broken = SHUT.replace("policy drop;", "policy drop; tcp dport nowhere accept;")
    assert "nowhere" in operator.apply(fails=True, __base_firewall_rules=broken)
    assert host.check_output(IN_FORCE) == in_force
