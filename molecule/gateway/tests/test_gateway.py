"""The gateway as a host: its rules, its decisions, its key, and what happens when a part of it is gone."""

from __future__ import annotations

import json
from typing import Any

testinfra_hosts = ["ansible://gw01"]
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


def test_explain_works_on_the_gateway(host: Any) -> None:
    said = host.check_output("kepil gateway explain org01 bank.example.com")
    assert "splice" in said
    assert "GW-20" in said


def test_the_watch_runs(host: Any) -> None:
    """GW-13: once, by hand, as its timer does."""
    host.check_output("systemctl start kepil-gateway-watch.service")
    assert host.service("kepil-gateway-watch.timer").is_running
