"""What role gateway renders: taken by nft itself, and in the order that decides what is closed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from kepil.gateway import decision, helper, rules
from kepil.gateway.watch_host import WatchSettings
from tests.unit.gateway.conftest import PROJECT, STATED

ROLE = PROJECT / "roles/gateway"
GIVEN: dict[str, Any] = {
    "inventory_hostname": "gw01",
    "groups": {"gateway": ["gw01", "gw02"]},
    "hostvars": {"gw02": {"estate_address": "198.18.8.12"}},
    "role_path": str(ROLE),
    "estate_environment": "development",
    "estate_domain": "dev.kepil.test",
    "estate_address": "198.18.8.11",
    "estate_flows": [{"from": "gateway", "to": "gateway", "protocol": "tcp", "port": 8443}],
    "estate_zones": {
        "core": {"subnets": ["198.18.3.0/24"]},
        "organisations": {"subnets": ["198.18.10.0/24"], "outsiders": "organisation"},
    },
    "base_firewall_forward_mark": "0x2",
    "gateway_operators": {"telecom": {"email": "a@telecom.kz", "networks": ["198.18.10.0/24"]}},
    "gateway_user_interfaces": ["users0", "users1"],
    "gateway_resolvers": ["198.18.8.53"],
    "gateway_mail_sender": "gateway@dev.kepil.test",
    "gateway_virtual_address": "198.18.8.10/24",
}


def rendered(name: str, **changes: Any) -> str:
    """A template of the role, with its defaults and variables, by Ansible itself."""
    init_plugin_loader([])
    variables: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        variables |= yaml.safe_load((ROLE / part / "main.yml").read_text(encoding="utf-8"))
    trusted = _trusted(variables | STATED | GIVEN | changes)
    text = (ROLE / "templates" / f"{name}.j2").read_text(encoding="utf-8")
    return str(Templar(loader=DataLoader(), variables=trusted).template(trust_as_template(text)))


def _trusted(value: Any) -> Any:
    match value:
        case dict():
            return {key: _trusted(each) for key, each in value.items()}
        case list():
            return [_trusted(each) for each in value]
        case str():
            return trust_as_template(value)
        case _:
            return value


def test_nft_takes_the_rules_and_the_elements() -> None:
    given = (
        rendered("gateway.nft")
        + "".join(f"flush set {rules.TABLE} {name}\n" for name in rules.SETS)
        + "add element inet gateway enrolled { 198.18.10.0/24 timeout 31535999s }\n"
        + ("add element inet gateway exceptions { 198.18.10.0/24 . udp . 500 . 203.0.113.64/26 timeout 60s }\n")
    )
    command = ["unshare", "--net", "nft", "--check", "--file", "-"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_set_that_is_filled_is_there() -> None:
    text = rendered("gateway.nft")
    assert set(rules.SETS) <= set(re.findall(r"set (\w+) \{", text))


def test_whoever_is_looked_up_is_looked_up_before_anything_lets_through() -> None:
    """GW-15-1: a connection that is under way is cut off, since no rule before the look-up accepts it."""
    chain = rendered("gateway.nft").partition("chain users {")[2].partition("}\n\n")[0]
    before = chain.partition("@enrolled")[0]
    assert [line.strip() for line in before.splitlines() if "accept" in line and "policy" not in line] == [
        line.strip() for line in before.splitlines() if "@exceptions" in line
    ]
    assert "established" not in rendered("gateway.nft")


@pytest.mark.clause("GW-20")
def test_what_the_helper_does_not_answer_is_closed() -> None:
    """Threat: the helper dies, and the first rule that does not ask it decides."""
    lines = [line for line in rendered("squid.conf").splitlines() if line.startswith(("ssl_bump", "http_access"))]
    bump = [line for line in lines if line.startswith("ssl_bump")]
    assert bump == [
        "ssl_bump peek step1",
        "ssl_bump splice passed_on",
        "ssl_bump bump ended_here",
        "ssl_bump terminate all",
    ]
    assert lines[lines.index("http_access allow open") + 1] == "http_access deny all"
    before = lines[: lines.index("http_access deny page_wanted")]
    assert [line for line in before if "allow" in line] == [
        "http_access allow CONNECT transparent_tls_port",
        "http_access allow CONNECT explicit_port",
    ]


@pytest.mark.clause("GW-20")
def test_a_connect_is_not_scanned() -> None:
    """Threat: the scanner is down, and Squid ends TLS of exempt sites too, in order to show that."""
    lines = [line for line in rendered("squid.conf").splitlines() if line.startswith("adaptation_access scan_requests")]
    assert lines == ["adaptation_access scan_requests deny CONNECT", "adaptation_access scan_requests allow all"]


def test_squid_asks_what_the_helper_answers() -> None:
    asked = re.findall(r"^acl \w+ external decision (\w+) (\w+)$", rendered("squid.conf"), re.MULTILINE)
    assert {question for _, question in asked} == set(helper.ANSWERS)
    assert {kind for kind, _ in asked} == {"tls", "http"}


def test_the_log_has_no_content() -> None:
    """GW-20, CP-9.4: what is spliced, and what is inspected, is logged without path, query or header."""
    (line,) = [line for line in rendered("squid.conf").splitlines() if line.startswith("logformat")]
    assert not re.search(r"%(>|<)?(ru|rp|rP|>h|<h|un)\b", line)


def test_the_inspection_ca_excludes_exempt_names() -> None:
    text = rendered("inspection.cnf")
    assert "excluded;DNS:gov.kz" in text
    assert "cloudflare-ech.com" not in text


def test_the_watch_reads_what_the_role_writes() -> None:
    settings = WatchSettings.model_validate_json(rendered("watch.json"))
    assert settings.peer_facts == (Path("/var/lib/kepil/gateway/facts-gw02"),)
    alone = json.loads(rendered("watch.json", gateway_virtual_address="", groups={"gateway": ["gw01"]}))
    assert alone["active"] == "/etc/kepil/gateway"  # which is always there


def test_the_page_is_in_three_languages_and_loads_nothing() -> None:
    page = rendered("ERR_KEPIL_CLOSED")
    assert re.findall(r'<section lang="(\w+)">', page) == ["kk", "ru", "en"]
    assert not re.search(r"https?://|<script|<img|<link", page)


def test_ports_are_those_that_decisions_know() -> None:
    assert f"{{ {decision.HTTP}, {decision.TLS} }}" in rendered("gateway.nft")
