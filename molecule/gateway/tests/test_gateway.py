"""The gateway as a host: its rules, its decisions, its key, and what happens when a part of it is gone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from cryptography.x509 import Certificate, load_der_x509_certificate, load_pem_x509_certificate

from tests.gateway_users import Gateway, eventually

testinfra_hosts = ["ansible://gw01"]
PROJECT = Path(__file__).parents[3]
SETTINGS = "/etc/kepil/gateway"


def test_enrolled_networks_are_in_force_with_an_end(host: Any) -> None:
    """GW-15-1: the kernel itself knows when an organisation's year is over."""
    listing = json.loads(host.check_output("nft --json list set inet gateway enrolled"))
    (found,) = [each["set"] for each in listing["nftables"] if "set" in each]
    assert found["elem"]
    assert all(0 < each["elem"]["expires"] <= 366 * 86400 for each in found["elem"])


def test_squid_takes_its_configuration(host: Any) -> None:
    host.check_output("squid -k parse")
    assert host.service("squid").is_running


def test_nothing_asks_the_internet_for_databases(host: Any) -> None:
    """LQ-A3-6. Threat: Debian's updaters call out beside the operator's mirror, and fail, which nobody minds."""
    units = "clamav-freshclam.service clamav-freshclam-once.service clamav-freshclam-once.timer"
    assert host.run(f"systemctl is-active {units}").stdout.split() == ["inactive"] * 3
    assert host.run(f"systemctl is-enabled {units}").stdout.split() == ["disabled", "masked", "masked"]
    assert host.check_output("systemctl list-units --failed --plain --no-legend").strip() == ""


def test_the_inspection_key_is_the_proxys_alone(host: Any) -> None:
    """GW-20: whoever has this key reads what users believe to be private."""
    key = host.file(f"{SETTINGS}/inspection/ca.key")
    assert (key.user, key.group, key.mode) == ("root", "proxy", 0o640)


def test_the_inspection_ca_cannot_speak_for_exempt_names(host: Any) -> None:
    """GW-20: names that local overrides except."""
    text = host.check_output(
        f"openssl x509 -in {SETTINGS}/inspection/ca.crt -noout -ext nameConstraints,basicConstraints"
    )
    assert "DNS:gov.kz" in text
    assert "pathlen:0" in text


def test_what_it_signs_for_an_exempt_name_is_refused(host: Any) -> None:
    """GW-20: with the gateway's own key, as a mistake or an intruder would use it. OpenSSL refuses it by the
    constraint; of another name the same certificate is good."""
    ca, key = f"{SETTINGS}/inspection/ca.crt", f"{SETTINGS}/inspection/ca.key"
    said = {
        name: host.run(
            "cd $(mktemp -d) && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key"
            f" -out request -subj /CN={name} -addext subjectAltName=DNS:{name}"
            f" && openssl x509 -req -in request -copy_extensions copy -days 1 -CA {ca} -CAkey {key} -out leaf"
            f" && openssl verify -CAfile {ca} leaf"
        )
        for name in ("gov.kz", "egov.gov.kz", "press.example.com")
    }
    assert [each.rc for each in said.values()] == [2, 2, 0], said
    assert "excluded subtree violation" in said["gov.kz"].stderr


def certificate(text: str) -> Certificate:
    """A certificate in PEM."""
    return load_pem_x509_certificate(text.encode())


def test_the_inspection_ca_is_valid_for_as_long_as_is_stated(host: Any) -> None:
    """ADR 18: a year and the month in which it is exchanged. Threat: a key that leaked is good until then."""
    stated = yaml.safe_load((PROJECT / "roles/gateway/defaults/main.yml").read_text())["gateway_inspection_days"]
    found = certificate(host.file(f"{SETTINGS}/inspection/ca.crt").content_string)
    assert found.not_valid_after_utc - found.not_valid_before_utc == timedelta(days=stated)
    assert timedelta(days=365 + 30) <= timedelta(days=stated) <= timedelta(days=398)


@pytest.mark.clause("GW-20")
def test_what_it_issues_is_valid_for_as_long_as_the_origins_own(gateway: Gateway) -> None:
    """Users' programs see when the origin's certificate ends, and no later."""
    (answer,) = gateway.ask({"name": gateway.sites["news"]})
    issued, own = (
        load_der_x509_certificate(bytes.fromhex(each))
        for each in (answer["certificate"], gateway.certificate(gateway.sites["news"]))
    )
    assert gateway.issued(answer["certificate"])
    assert issued.not_valid_after_utc == own.not_valid_after_utc
    assert issued.not_valid_before_utc == own.not_valid_before_utc


@pytest.mark.parametrize(("days", "status"), [(29, 2), (31, 0)])
def test_a_converge_stops_a_month_before_the_inspection_ca_ends(
    host: Any, tmp_path: Path, days: int, status: int
) -> None:
    """Threat: it ends unseen, and no enrolled user gets an inspected page. Another certificate is shown to the role."""
    ending = f"/srv/ending-{days}.crt"
    host.check_output(
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out {ending} -subj /CN=a -days {days}"
    )
    tasks = [{"ansible.builtin.import_role": {"name": "gateway", "tasks_from": "inspection_ca"}}]
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "gw01", "gather_facts": False, "tasks": tasks}]))
    command = ["ansible-playbook", str(tmp_path / "play.yml"), "--extra-vars", f"__gateway_ca={ending}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert ("ends within 30 days" in done.stdout) == (status != 0)
    assert "changed=0" in done.stdout


@pytest.fixture
def mirrored() -> Iterator[Any]:
    """The second gateway, its scanner's units as they are where a mirror is named (tests/unit/gateway/test_role.py)."""
    second, units = testinfra.get_host("ansible://gw02"), "clamav-daemon.socket clamav-daemon.service"
    drop_ins = " ".join(f"/etc/systemd/system/{unit}.d/kepil.conf" for unit in units.split())
    again = f"systemctl daemon-reload && systemctl stop {units} && systemctl start {units}"
    second.check_output(f"sed -i.kept '/^ConditionPathExistsGlob=$/d' {drop_ins} && {again}")
    yield second
    second.check_output(f"for each in {drop_ins}; do mv $each.kept $each; done && {again}")
    eventually(lambda: second.service("clamav-daemon").is_running)


def test_a_scanner_with_a_mirror_does_not_start_without_its_databases(mirrored: Any) -> None:
    """LQ-A3-6. Threat: it runs with the signature of the test file alone, and all but that passes as scanned."""
    assert mirrored.run("systemctl is-active clamav-daemon.socket clamav-daemon.service").stdout.split() == [
        "inactive",
        "inactive",
    ]
    said = mirrored.check_output("systemctl show clamav-daemon.service --property=ConditionResult")
    assert said == "ConditionResult=no"


def test_explain_works_on_the_gateway(host: Any) -> None:
    said = host.check_output("kepil gateway explain org01 bank.example.com")
    assert "splice" in said
    assert "GW-20" in said


def test_the_watch_runs(host: Any) -> None:
    """GW-13: once, by hand, as its timer does."""
    host.check_output("systemctl start kepil-gateway-watch.service")
    assert host.service("kepil-gateway-watch.timer").is_running
