"""Role ca on its own host: confined, complete, and silent about secrets."""

import json
from pathlib import Path
from typing import Any

import pytest

testinfra_hosts = ["ansible://ca"]

UNITS = ["kepil-ca.service", "kepil-ca-crl@full.service", "nginx.service"]
PROJECT = Path(__file__).resolve().parents[3]


def issuing(variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The issuing CAs of all hierarchies and generations."""
    return [authority["issuing"] for authority in variables["pki_authorities"]]


@pytest.mark.parametrize("unit", UNITS)
def test_confined(host: Any, unit: str) -> None:
    """Threat: a compromised process reaches the rest of the CA's host (CP-6.5)."""
    score = host.check_output(f"systemd-analyze security {unit} | grep -oP 'for {unit}: \\K[0-9.]+'")
    assert float(score) <= 3.0


def test_runs_as_itself(host: Any) -> None:
    """Threat: the service runs as root, or its socket lets anybody name himself an officer (CP-2.4)."""
    pid = host.check_output("systemctl show kepil-ca.service -p MainPID --value")
    assert host.check_output(f"ps -o user= -p {pid}").strip() == "kepil-ca"
    socket = host.file("/run/kepil-ca/http.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "www-data", 0o660)
    spoofed = "curl -s --unix-socket /run/kepil-ca/http.sock -H 'X-Client-Name: ra01' http://localhost/v1/certificates"
    assert host.run(f"runuser -u nobody -- {spoofed}").rc != 0


def test_certificate_is_the_ceremonys(host: Any, variables: dict[str, Any]) -> None:
    """CP-2.4: the host has the certificate that the ceremony's record names, after any number of converges."""
    for each in issuing(variables):
        record = json.loads(
            (PROJECT / "ceremonies" / variables["estate_environment"] / f"{each['name']}.json").read_text("utf-8")
        )
        fingerprint = host.check_output(
            f"openssl x509 -in /etc/kepil/pki/{each['name']}.crt -noout -fingerprint -sha256"
        ).split("=")[1]
        assert fingerprint.replace(":", "").lower() == record["sha256"].replace(":", "").lower()


def test_timers(host: Any, variables: dict[str, Any]) -> None:
    """CP-2.3: CRLs are made on time, and made up for after an outage."""
    for kind, hours in ((kind, crl["every_hours"]) for kind, crl in variables["pki_crl"].items()):
        timer = f"kepil-ca-crl@{kind}.timer"
        assert host.service(timer).is_running
        assert host.service(timer).is_enabled
        assert "Persistent=yes" in host.check_output(f"systemctl show {timer} -p Persistent")
        calendar = host.check_output(f"systemctl cat {timer} | grep -oP 'OnCalendar=\\K.*'")
        times = host.check_output(
            f"systemd-analyze calendar --iterations=2 '{calendar}' | grep -oP '(Next elapse|Iteration #2): \\K.*' "
            "| xargs -I{} date -d '{}' +%s"
        ).split()
        assert int(times[1]) - int(times[0]) == hours * 3600


def test_starts_by_hand_take_no_run_from_the_timer(host: Any) -> None:
    """CP-2.3. Threat: deltas made after revocations use up the limit of starts, and the hourly one is refused."""
    for _ in range(6):
        host.check_output("systemctl start kepil-ca-crl@delta.service")
    assert int(host.check_output("systemctl show kepil-ca-crl@delta.service --property StartLimitBurst --value")) < 6


def test_settings_are_not_for_everybody(host: Any) -> None:
    """Who may issue is nobody else's business."""
    settings = host.file("/etc/kepil/ca.json")
    assert (settings.user, settings.group, settings.mode) == ("root", "kepil-ca", 0o640)


def test_pin_does_not_leak(host: Any, variables: dict[str, Any]) -> None:
    """CP-6.4: activation data is in no log, no process list and no environment, and only root reads its file."""
    for each in issuing(variables):
        path = f"/etc/kepil/credentials/hsm-{each['partition']}.pin"
        assert host.file(path).mode == 0o600
        # grep reads the PIN from its file, so that this test does not leak it either.
        leak = (
            f"{{ journalctl -o cat; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; }} 2>/dev/null | grep -caFf {path}"
        )
        assert host.run(leak).stdout.strip() == "0"


def test_crls_are_made(host: Any, variables: dict[str, Any]) -> None:
    """CP-2.1, CP-2.3: the first converge leaves a complete CRL and a delta, of the former generation too (CP-5.6)."""
    assert host.run("systemctl is-failed 'kepil-*'").stdout.strip() != "failed"
    reading = (
        "import psycopg, json; settings = json.load(open('/etc/kepil/ca.json'));"
        "rows = psycopg.connect(settings['database']).execute("
        "'select issuer, base_number is null from crl group by 1, 2').fetchall();"
        "print(json.dumps(sorted(rows)))"
    )
    made = json.loads(host.check_output("/usr/bin/python3 -c %s", reading))
    assert made == sorted([each["name"], complete] for each in issuing(variables) for complete in (True, False))
