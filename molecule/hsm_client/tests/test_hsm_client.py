"""Keys on the network HSM, used from the host that may use them and by nobody else (CP-6.2, CP-6.4)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

testinfra_hosts = ["ansible://ca"]

LARGEST_EXPOSURE = 3.0
PIN = "/etc/kepil/credentials/hsm-nca.pin"
KEY = "pkcs11:token=nca;object=trial;type=private"
TOOL = "set -a; . /etc/kepil/hsm-nca.env; set +a; "
STEPS = Path(__file__).parents[3] / "playbooks/ceremonies/steps"
OPENSSL = TOOL + "OPENSSL_CONF=/etc/kepil/openssl-nca.cnf openssl "


def pkcs11(arguments: str) -> str:
    """A command that uses the partition through its module, as OpenSC does."""
    return f'{TOOL}PIN="$(cat {PIN})" pkcs11-tool --module "$KEPIL_HSM_MODULE" --login --pin env:PIN {arguments}'


@pytest.fixture
def trial_key(host: Any, initialised: None) -> str:
    """A key on the partition that no hierarchy uses."""
    if "trial" not in host.check_output(pkcs11("--list-objects --type privkey")):
        host.check_output(pkcs11("--keypairgen --key-type rsa:2048 --label trial --id 7472 --usage-sign --sensitive"))
    return KEY


def test_only_the_own_partition_is_there(host: Any, initialised: None) -> None:
    """Threat: a client that is broken into reaches other partitions' keys."""
    slots = host.check_output(TOOL + 'pkcs11-tool --module "$KEPIL_HSM_MODULE" --list-slots')
    labels = [line.split(":")[1].strip() for line in slots.splitlines() if "token label" in line]
    assert labels == ["nca"]
    assert [file.split("/")[-1] for file in host.check_output("ls /run/kepil-hsm/*.sock").split()] == ["nca.sock"]


def test_a_signature_over_the_wire_verifies(host: Any, trial_key: str) -> None:
    """CP-6.2: OpenSSL signs here with a key that lies on the HSM, and what it signed verifies with the public half."""
    sign = f"{OPENSSL} dgst -sha256 -sign '{trial_key}' -passin file:{PIN} -out /tmp/signature /etc/hostname"
    public = f"{OPENSSL} pkey -in '{trial_key}' -passin file:{PIN} -pubout -out /tmp/public"
    for command in (sign, public):
        assert host.run(command).rc == 0, command
    verify = "openssl dgst -sha256 -verify /tmp/public -signature /tmp/signature "
    assert host.check_output(verify + "/etc/hostname") == "Verified OK"
    assert host.run(verify + "/etc/hosts").rc != 0


def test_the_key_does_not_leave_the_hsm(host: Any, trial_key: str) -> None:
    """CP-6.1: what the module gives of a private key is its attributes."""
    shown = host.check_output(pkcs11("--list-objects --type privkey"))
    access = [line for line in shown.splitlines() if "Access:" in line]
    assert access
    assert all("never extractable" in line and "sensitive" in line for line in access)


def test_a_key_without_a_name_is_not_passed_over(host: Any, trial_key: str) -> None:
    """CP-5.4: the account names every key that the real tool lists, or there is none."""
    script = "\n".join((STEPS / name).read_text(encoding="utf-8") for name in ("use.sh", "account.sh"))
    account = (
        f"echo {base64.b64encode(script.encode()).decode()} | base64 -d | PARTITION=nca PINS={Path(PIN).parent} sh -s"
    )
    assert "trial" in json.loads(host.check_output(account))["keys"]
    for make, kind, reason in (
        ("--keypairgen --key-type EC:prime256v1 --usage-sign", "privkey", "names that a key may have"),
        ("--keygen --key-type AES:32", "secrkey", "it holds secret keys (1)"),
    ):
        host.check_output(pkcs11(f"{make} --id 6e6f6e65"))
        try:
            refused = host.run(account)
        finally:
            for half in ("pubkey", kind) if kind == "privkey" else (kind,):
                host.check_output(pkcs11(f"--delete-object --type {half} --id 6e6f6e65"))
        assert refused.rc != 0
        assert reason in refused.stderr
    assert host.run(account).rc == 0


def test_no_signature_without_activation_data(host: Any, trial_key: str) -> None:
    """CP-6.4: a wrong PIN opens nothing."""
    host.run("umask 077; echo 0000 > /root/wrong.pin")
    assert host.run(f"{OPENSSL} dgst -sha256 -sign '{trial_key}' -passin file:/root/wrong.pin /etc/hostname").rc != 0


def test_activation_data_is_roots_alone(host: Any, initialised: None) -> None:
    """CP-6.4: services get the PIN from the service manager, not from the file."""
    assert host.file(PIN).mode == 0o600
    assert host.file(PIN).user == "root"
    assert host.file("/etc/kepil/credentials").mode == 0o700


def test_the_socket_is_for_the_partitions_group(host: Any) -> None:
    """Threat: any account of the host talks to the HSM."""
    socket = host.file("/run/kepil-hsm/nca.sock")
    assert (socket.user, socket.group, socket.mode) == ("kepil-hsm-client", "kepil-hsm-nca", 0o660)
    nobody = host.run("runuser -u nobody -- sh -c '" + TOOL + 'pkcs11-tool --module "$KEPIL_HSM_MODULE" -L' + "'")
    assert "nca" not in nobody.stdout


def test_the_tunnel_is_hardened(host: Any) -> None:
    """Threat: a fault in the tunnel becomes one in the host."""
    report = host.check_output("systemd-analyze security --no-pager kepil-hsm-client@nca.service")
    assert float(report.strip().splitlines()[-1].split(":")[1].split()[0]) <= LARGEST_EXPOSURE


def test_the_tunnel_knows_its_hsm(host: Any, inventory: dict[str, Any], trial_key: str) -> None:
    """Threat: another host of the estate, with a certificate as good, poses as the HSM and is given the PIN."""
    hsm = inventory["_meta"]["hostvars"][inventory["hsm"]["hosts"][0]]["estate_fqdn"]
    configuration = host.file("/etc/kepil/hsm/nca-client.conf").content_string
    host.check_output(
        "sed -e 's/^checkHost = .*/checkHost = other.test/' -e 's|^accept = .*|accept = /tmp/other.sock|' "
        "/etc/kepil/hsm/nca-client.conf > /tmp/other.conf"
    )
    assert f"checkHost = {hsm}" in configuration
    host.check_output("systemd-run --quiet --unit other-tunnel stunnel4 /tmp/other.conf && sleep 1")
    try:
        seen = host.run(
            TOOL + "P11_KIT_SERVER_ADDRESS=unix:path=/tmp/other.sock "
            'timeout 10 pkcs11-tool --module "$KEPIL_HSM_MODULE" --list-slots'
        )
    finally:
        host.run("systemctl stop other-tunnel")
    assert "nca" not in seen.stdout


def test_a_killed_tunnel_comes_back(host: Any, initialised: None) -> None:
    """Threat: the socket that a killed tunnel left behind keeps the next from starting."""
    host.check_output("systemctl kill --signal=KILL kepil-hsm-client@nca && sleep 3")
    assert host.service("kepil-hsm-client@nca").is_running
    assert host.run(pkcs11("--list-objects --type privkey")).rc == 0
