"""What programs of a host send is kept until the estate's own mail gateway has it, and nobody else gets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import testinfra

from tests.gateway_users import eventually

testinfra_hosts = ["ansible://ra"]


@pytest.fixture
def gateway() -> Any:
    """The mail gateway's stand-in."""
    return testinfra.get_host("ansible://mx01")


@pytest.fixture
def send(host: Any) -> Callable[[str], None]:
    """Send a message with a subject."""
    return lambda subject: host.check_output(
        f"printf 'Subject: {subject}\\n\\nText\\n' | sendmail -f sender@example.kz subscriber@example.kz"
    )


def queue(host: Any) -> list[dict[str, Any]]:
    """What waits."""
    return [json.loads(line) for line in host.check_output("postqueue -j").splitlines()]


def has(gateway: Any, subject: str) -> bool:
    """Whether the gateway took a message."""
    return bool(gateway.run(f"grep -rq '^Subject: {subject}$' /root/mailbox/new").rc == 0)


def test_it_is_this_hosts_alone(host: Any) -> None:
    """Threat: an open relay (CP-6.7)."""
    listening = host.check_output("ss -Hlnt sport = 25 | awk '{print $4}'").split()
    assert listening == ["127.0.0.1:25"]
    assert host.check_output("postfix check; postconf -h smtp_tls_security_level") == "secure"


@pytest.mark.clause("CP-4.4", "CP-6.7")
def test_mail_waits_for_a_gateway_that_proves_its_name(host: Any, gateway: Any, send: Callable[[str], None]) -> None:
    """Threat: whoever stands at the gateway's address gets the mail. It is kept until the right one is there."""
    send("first")
    eventually(lambda: has(gateway, "first"))
    listens = "for i in $(seq 50); do ss -Hlnt sport = 25 | grep -q . && exit; sleep 0.1; done; exit 1"
    show = f"systemctl restart gateway && {listens}"
    gateway.check_output(
        "cd /root && rm gateway.* && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=$(hostname)"
        f" -keyout gateway.key -out gateway.crt 2>/dev/null && {show}"
    )
    send("second")
    eventually(lambda: any("delay_reason" in to for each in queue(host) for to in each["recipients"]))
    ((waiting,),) = ([to["delay_reason"] for to in each["recipients"]] for each in queue(host))
    assert "not trusted" in waiting or "not verified" in waiting
    assert not has(gateway, "second")
    gateway.check_output(
        "cd /root && ln -sf /etc/ssl/kepil/internal.crt gateway.crt"
        f" && ln -sf /etc/ssl/private/kepil-internal.key gateway.key && {show}"
    )
    host.check_output("postqueue -f")
    eventually(lambda: has(gateway, "second"))
    eventually(lambda: queue(host) == [])
