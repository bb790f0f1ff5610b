"""From where officers sit, with `kepil ra` and with curl: what they may do is done, and nobody else is served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_string, policy
from itertools import count
from typing import Any

import pytest
from testinfra.host import Host

from kepil.ra.problem import document

testinfra_hosts = ["ansible://officer"]

SUBJECT = "/C=KZ/CN=ҚАЙРАТОВ АСАН/serialNumber=IIN900101350003"
HEAD = "/C=KZ/O=ТОО Қарлығаш/OU=BIN970740000015/CN=ҚАЙРАТОВ АСАН/serialNumber=IIN900101350003"
FOLDER = "/root/branch"
HOST = ("/etc/ssl/kepil/internal.crt", "/etc/ssl/private/kepil-internal.key")
_numbers = count()


class Branch:
    """`branch("approver-1", "list")` is that command by that officer."""

    def __init__(self, host: Any, door: str) -> None:
        self.host = host
        self.door = door

    def __call__(self, officer: str, *words: str) -> Any:
        done = self.run(officer, *words)
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    def run(self, officer: str, *words: str) -> Any:
        return self.host.run(f"KEPIL_RA_SETTINGS=/root/{officer}.json kepil ra {' '.join(words)}")

    def apply(self, profile: str = "natural-person", subject: str = SUBJECT) -> str:
        """Identifier of a new application with a new key."""
        name = f"{FOLDER}/{next(_numbers)}"
        self.host.check_output(
            f"mkdir -p {FOLDER}; echo signed > {name}.pdf; openssl req -new -newkey rsa:2048 -nodes -utf8 "
            f"-keyout {name}.key -out {name}.csr -subj '{subject}' 2>/dev/null"
        )
        words = (
            "--profile",
            profile,
            "--authority",
            "nca-rsa",
            "--request",
            f"{name}.csr",
            "--document",
            f"{name}.pdf",
        )
        return str(self("registrar", "apply", *words, "--email", f"{profile}@example.kz")["id"])

    def approve(self, officer: str, identifier: str) -> Any:
        digest = self(officer, "check", identifier)["request_sha256"]
        return self(officer, "approve", identifier, "--request-sha256", digest)

    def curl(
        self, identity: tuple[str, str] | None, path: str = "/v1/applications", extra: str = ""
    ) -> tuple[str, str]:
        """Status and body of what anybody with that certificate and key gets."""
        tls = f"--cert {identity[0]} --key {identity[1]}" if identity else ""
        answer = self.host.run(
            f"curl -sS --cacert /etc/ssl/kepil/internal-ca.crt {tls} {extra} -w '\\n%{{http_code}}' '{self.door}{path}'"
        )
        body, _, status = answer.stdout.rpartition("\n")
        return status, body or answer.stderr


@pytest.fixture
def branch(host: Any) -> Branch:
    return Branch(host, json.loads(host.check_output("cat /root/registrar.json"))["url"])


def officer(name: str) -> tuple[str, str]:
    return f"/root/{name}.crt", f"/root/{name}.key"


@pytest.mark.clause("CP-1.3.2")
def test_a_branchs_day(branch: Branch) -> None:
    """Applied for, checked, approved, fetched and revoked; the certificate is good by OpenSSL."""
    identifier = branch.apply()
    issued = branch.approve("approver-1", identifier)
    assert issued["state"] == "issued"
    branch("registrar", "fetch", identifier, "--out", f"{FOLDER}/chain.pem")
    subject = branch.host.check_output(
        f"openssl x509 -in {FOLDER}/chain.pem -noout -subject -nameopt utf8,sep_comma_plus"
    )
    assert "ҚАЙРАТОВ АСАН" in subject
    document_ = ("--document", f"{FOLDER}/0.pdf")
    revoked = branch("revoker", "revoke", issued["serial"], "--reason", "keyCompromise", *document_)
    assert revoked["serial"] == issued["serial"]
    acts = [entry["act"] for entry in branch("auditor", "journal")["items"]]
    assert {"application.submit", "application.check", "application.approve", "certificate.revoke"} <= set(acts)


def test_a_head_needs_two(branch: Branch) -> None:
    """Threat: one officer makes anybody the head of a company."""
    identifier = branch.apply("legal-entity-head", HEAD)
    assert branch.approve("approver-1", identifier)["state"] == "submitted"
    assert branch.approve("approver-2", identifier)["state"] == "issued"


@pytest.mark.clause("CP-4.4")
def test_the_subscriber_is_told_by_the_gateway(branch: Branch) -> None:
    """CP-4.4: mail reaches the estate's gateway over TLS, with the serial number and without the subscriber's names."""
    issued = branch.approve("approver-1", branch.apply())
    assert issued["subscriber_told"]
    found = branch.host.run(
        f"for i in $(seq 30); do grep -rl '{issued['id']}' /root/mailbox/new && exit 0; sleep 1; done; exit 1"
    )
    assert found.rc == 0, branch.host.run("ls -R /root/mailbox; journalctl -u gateway -n 20").stdout
    message = message_from_string(branch.host.check_output(f"cat {found.stdout.split()[0]}"), policy=policy.default)
    assert message["To"] == "natural-person@example.kz"
    text = message.get_content()
    assert issued["serial"] in text
    assert "IIN" not in text


@pytest.mark.clause("CP-2.4")
def test_roles_are_separated(branch: Branch) -> None:
    refused = branch.run("registrar", "check", branch.apply())
    assert refused.rc == 1
    assert "role-missing" in refused.stderr


@pytest.mark.clause("CP-2.4")
def test_hosts_are_no_officers(branch: Branch) -> None:
    """Threat: whoever has a host of the estate decides on applications, or says that he is an officer."""
    for claim in ("", "-H 'X-Officer: approver-1'", "-H 'x-officer: approver-1' -H 'X_Officer: approver-1'"):
        status, body = branch.curl(HOST, extra=claim)
        assert (status, json.loads(body)["code"]) == ("403", "not-an-officer")
    status, body = branch.curl(officer("auditor"), "/v1/applications/x/check", "-X POST -H 'X-Officer: approver-1'")
    assert (status, json.loads(body)["code"]) == ("403", "role-missing")


@pytest.mark.clause("CP-6.7")
def test_without_a_certificate_or_with_old_tls(branch: Branch) -> None:
    status, body = branch.curl(None)
    assert (status, json.loads(body)) == (
        "400",
        document("certificate-missing", "no TLS certificate came, or none that the estate certified"),
    )
    assert branch.curl(officer("registrar"), extra="--tls-max 1.2")[0] == "000"


def test_officers_are_no_hosts(branch: Branch, inventory: dict[str, Any]) -> None:
    """Threat: an officer's certificate opens the doors that hosts have between them: publishing here stands for all."""
    variables = inventory["_meta"]["hostvars"][inventory["repository"]["hosts"][0]]
    port = next(
        flow["port"] for flow in variables["estate_flows"] if (flow["from"], flow["to"]) == ("ca", "repository")
    )
    branch.door = f"https://{variables['estate_fqdn']}:{port}"
    assert branch.curl(officer("approver-1"), "/nca-rsa.crl", "-X PUT -d x")[0] == "403"


def test_what_nginx_refuses_reads_as_what_the_service_refuses(branch: Branch) -> None:
    """RFC 9457 for every refusal, in the same words."""
    branch.host.check_output(f"mkdir -p {FOLDER}; head -c 40000 /dev/zero > {FOLDER}/large")
    identity = officer("registrar")
    status, body = branch.curl(identity, extra=f"--data-binary @{FOLDER}/large")
    assert (status, json.loads(body)) == ("413", document("body-too-large", "more than 32768 bytes"))

    tls = f"--cacert /etc/ssl/kepil/internal-ca.crt --cert {identity[0]} --key {identity[1]}"
    answers = dict(
        reversed(line.split())
        for line in branch.host.check_output(
            f"curl -sS {tls} --parallel --parallel-max 50 -o '{FOLDER}/answer-#1' "
            f"-w '%{{http_code}} %{{filename_effective}}\\n' '{branch.door}/v1/applications?limit=[1-150]'"
        ).splitlines()
    )
    assert list(answers.values()).count("200") > 10
    refused = [file for file, status in answers.items() if status == "429"]
    assert refused
    body = branch.host.check_output(f"cat {refused[0]}")
    assert json.loads(body) == document("too-many-requests", "more requests at once than an officer may send")


@pytest.fixture
def away(inventory: dict[str, Any]) -> Iterator[None]:
    """The service is not there; nginx is."""
    host = Host.get_host(f"ansible://{inventory['ra']['hosts'][0]}")
    host.check_output("systemctl stop kepil-ra.socket kepil-ra.service")
    yield
    host.check_output("systemctl start kepil-ra.socket kepil-ra.service")


@pytest.mark.usefixtures("away")
def test_a_service_that_is_away_is_told_in_the_same_form(branch: Branch) -> None:
    """Threat: a client that reads problem documents breaks off at a page of HTML, and an application is sent twice."""
    status, body = branch.curl(officer("registrar"))
    assert (status, json.loads(body)) == (
        "503",
        document("registration-unavailable", "the registration authority does not answer"),
    )
