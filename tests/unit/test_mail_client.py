"""Where mail goes from a host: to the estate's mail gateway, or nowhere yet."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined

TEMPLATE = Path(__file__).parents[2] / "roles/mail_client/templates/main.cf.j2"


def settings(*gateways: str) -> dict[str, str]:
    """Postfix's settings with these mail gateways."""
    text = Environment(undefined=StrictUndefined, autoescape=False).from_string(TEMPLATE.read_text())  # noqa: S701 -- no page
    named = {name: {"estate_address": f"{name}-address", "estate_fqdn": f"{name}.example.kz"} for name in gateways}
    rendered = text.render(
        estate_fqdn="host.example.kz",
        hostvars=named,
        mail_client_queue_days=5,
        __mail_client_gateways=list(gateways),
        __mail_client_port=25,
    )
    lines = [line.partition(" = ") for line in rendered.splitlines() if " = " in line and not line.startswith("#")]
    return {key: value.strip() for key, _, value in lines}


def test_without_a_mail_gateway_mail_is_taken_and_waits() -> None:
    """Threat: senders are refused, as Postfix does for transport `retry`, and nobody is ever told (GW-13, CP-4.4)."""
    found = settings()
    assert found["defer_transports"] == "smtp"
    assert found["relayhost"] == "[127.0.0.1]:9"
    assert "default_transport" not in found


def test_mail_goes_to_the_mail_gateways_alone() -> None:
    found = settings("mx01", "mx02")
    assert (found["relayhost"], found["smtp_fallback_relay"]) == ("[mx01-address]:25", "[mx02-address]:25")
    assert found["smtp_tls_secure_cert_match"] == "mx01.example.kz mx02.example.kz"
    assert "defer_transports" not in found
