"""The catalogue watch, on gateways with a mail transport: an operator is told, his days pass, nothing gets through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.policy import default
from typing import Any

import pytest
import testinfra

from tests.gateway_users import Gateway, eventually

testinfra_hosts = ["ansible://gw01"]
POLICY = "/etc/kepil/gateway/policy.json"
FACTS = "/var/lib/kepil/gateway/facts"
WATCH = "systemctl start kepil-gateway-watch.service"


def facts(host: Any) -> list[dict[str, str]]:
    """What a gateway knows."""
    return [json.loads(line) for line in host.check_output(f"cat {FACTS}").splitlines()]


@pytest.fixture
def second() -> Iterator[Any]:
    """The other gateway. On both the watch runs when the test says so."""
    both = [testinfra.get_host(f"ansible://{name}") for name in ("gw01", "gw02")]
    for each in both:
        each.check_output("systemctl stop kepil-gateway-watch.timer")
        each.check_output(WATCH)  # one that was under way is over
    yield both[1]
    for each in both:
        each.check_output("systemctl start kepil-gateway-watch.timer")


def told_by_mail(host: Any, operator: str, source: str) -> bool:
    """Whether a message about a source waits for an operator."""
    waiting = [json.loads(line) for line in host.check_output("postqueue -j").splitlines()]
    mail = [each["queue_id"] for each in waiting if operator in [to["address"] for to in each["recipients"]]]
    texts = [message_from_string(host.check_output(f"postcat -qhb {name}"), policy=default) for name in mail]
    return any(source in text.get_content().split() for text in texts)


@pytest.mark.clause("GW-13")
def test_an_operator_is_told_and_after_his_days_nothing_passes_until_the_catalogue_lists_the_source(
    gateway: Gateway, second: Any, inventory: dict[str, Any]
) -> None:
    """The whole way: seen, mailed, blocked by both gateways, open again. The working days pass in the facts."""
    host, source = gateway.host, gateway.users["unknown"]
    ((operator, stated),) = inventory["_meta"]["hostvars"]["gw01"]["gateway_operators"].items()
    bank = {"source": source, "name": gateway.sites["finance"], "seconds": 3}

    def passes() -> bool:
        (answer,) = gateway.ask(bank)
        return answer["certificate"] == gateway.certificate(gateway.sites["finance"])

    assert passes()
    host.check_output(WATCH)
    assert (operator, source) in [(each["operator"], each["source"]) for each in facts(host) if each["event"] == "told"]
    assert any(told_by_mail(each, stated["email"], source) for each in (host, second))
    assert passes()

    long_ago = (datetime.now(UTC) - timedelta(days=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [json.dumps(each | {"at": long_ago} if each["source"] == source else each) for each in facts(host)]
    host.check_output(f"cat > {FACTS} <<'END'\n" + "\n".join(lines) + "\nEND")
    for each in (host, second):
        each.check_output(WATCH)
        assert source in each.check_output("cat /var/lib/kepil/gateway/blocked")
    answers = gateway.ask(*({"source": source, "seconds": 2, **each} for each in (bank, {"port": 80}, {"port": 8022})))
    assert [(each["certificate"], each["body"]) for each in answers] == [(None, "")] * 3

    policy: dict[str, Any] = json.loads(host.check_output(f"cp -p {POLICY} /tmp/policy.json && cat {POLICY}"))
    (enrolled,) = policy["organisations"].values()
    enrolled["networks"].append(f"{source}/32")
    host.check_output(f"cat > /tmp/listed.json <<'END'\n{json.dumps(policy)}\nEND\ncat /tmp/listed.json > {POLICY}")
    try:
        host.check_output("systemctl start kepil-gateway-apply.service")
        eventually(passes, 5)
        host.check_output(WATCH)
        assert host.check_output("cat /var/lib/kepil/gateway/blocked") == ""
    finally:
        host.check_output(f"cat /tmp/policy.json > {POLICY} && systemctl start kepil-gateway-apply.service")
    second.check_output(WATCH)
    assert second.check_output("cat /var/lib/kepil/gateway/blocked") == "", "it knows from the other"
    assert passes(), "its days begin anew"
