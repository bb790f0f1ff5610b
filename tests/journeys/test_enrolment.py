"""An organisation applies with its own certificate, and the playbook opens the gateways to it; a forgery opens nothing.

org02 is in the catalogue and not enrolled. In the end it is so again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kepil.estate.model import Estate
from kepil.gateway.calendar import Calendar, day_of
from kepil.gateway.catalogue import Row, read_catalogue
from kepil.gateway.organisation import last_day
from kepil.gateway.register import Item, Register
from tests.conftest import PROJECT
from tests.gateway_users import eventually
from tests.journeys.conftest import HERE, Officer

ENVIRONMENT = "development"
STATED = PROJECT / "inventories" / ENVIRONMENT
KEPT = PROJECT / "enrolment" / ENVIRONMENT
POLICY = "/etc/kepil/gateway/policy.json"


def play(playbook: Path, *options: str) -> tuple[int, str]:
    """Exit status and output of a playbook."""
    command = ["ansible-playbook", str(playbook), *(part for option in options for part in ("-e", option))]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def responder(estate: Estate) -> Iterator[str]:
    """The responder's URL. It answers anyone on the internet, so the controller asks it by its address there."""
    (address, *_) = [str(host.address) for host in estate.members("ocsp")]
    mine = str(estate.zones["internet"].subnet[1])  # type: ignore[index]
    link = subprocess.run(["ip", "-o", "route", "get", address], capture_output=True, text=True, check=True).stdout
    device = re.search(r" dev (\S+)", link)[1]  # type: ignore[index]
    route = ["ip", "route", "replace", f"{address}/32", "dev", device, "src", mine]
    subprocess.run(route, check=True)
    yield f"http://{address}/"
    subprocess.run(["ip", "route", "delete", f"{address}/32"], check=True)


@dataclass
class Office:
    """Who carries applications out, for an organisation that applies."""

    shell: Any
    """At the organisation."""
    row: Row
    """What the catalogue says of it."""
    gateways: list[Any]
    responder: str
    folder: Path
    serial: str = field(default="", init=False)

    def signed(self, dated: date) -> bytes:
        """An application, signed at the organisation with OpenSSL."""
        text = (
            f"application: internet-access\norganisation: org02\nname: {self.row.name}\nbin: '{self.row.bin}'\n"
            f"operator: telecom\ncontact: it@org02.dev.kepil.test\ndated: {dated}\nnetworks: [{self.row.network}]\n"
            "categories: [finance, news]\n"
        )
        self.shell.put(f"{HERE}/application.yml", text.encode())
        self.shell(
            f"cd {HERE} && openssl cms -sign -binary -nodetach -outform DER -in application.yml -signer entity.pem"
            " -inkey entity.key -out application.p7m"
        )
        return bytes(self.shell.get(f"{HERE}/application.p7m"))

    def bring(self, signed: bytes) -> tuple[int, str]:
        """What becomes of an application."""
        path = self.folder / "application.p7m"
        path.write_bytes(signed)
        playbook = PROJECT / "playbooks/operations/enrol_organisation.yml"
        return play(playbook, f"gateway_application={path}", f"gateway_ocsp_url={self.responder}")

    def stands(self) -> tuple[dict[str, bytes], list[str]]:
        """What an application would change: the inventory, and the policy in force."""
        files = {str(path): path.read_bytes() for path in STATED.rglob("*") if path.is_file()}
        return files, [gateway(f"sha256sum {POLICY}") for gateway in self.gateways]

    def entries(self) -> list[Item]:
        """The register."""
        return list(Register(KEPT, Calendar()).items().values())

    def status(self, wanted: str) -> None:
        """Wait until the responder says so."""
        self.shell(
            f"cd {HERE} && for i in $(seq 60); do openssl ocsp -issuer nca-rsa.pem -cert entity.pem -CAfile chain.pem"
            f" -no_nonce -url {self.responder} 2>&1 | grep -q 'entity.pem: {wanted}' && exit; sleep 0.5; done; exit 1"
        )

    def gets(self, site: str) -> int:
        """HTTP status of a site at the organisation; 0 for nothing."""
        asked = self.shell.machine.run(f"curl -sk --max-time 4 -o /dev/null -w '%{{http_code}}' https://{site}/")
        return int(asked.stdout)


@pytest.fixture(scope="module")
def office(
    on: Callable[[str], Any],
    estate: Estate,
    client: Any,
    officer: Officer,
    responder: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    """With a certificate of someone who signs for the organisation."""
    folder, shell = tmp_path_factory.mktemp("enrolment"), on("org02")
    rows = [row for each in read_catalogue(STATED / "catalogue").values() for row in each]
    (mine,) = [row for row in rows if estate.hosts["org02"].address in row.network]
    made = Office(shell, mine, [on(host.name) for host in estate.members("gateway")], responder, folder)
    shell(f"rm -rf {HERE} && mkdir -p {HERE}")
    for name in ("nca-rsa.pem", "chain.pem"):
        shell.put(f"{HERE}/{name}", client.get(f"{HERE}/{name}"))
    subject = f"/C=KZ/O=ORG02/OU=BIN{mine.bin}/CN=ҚАЙРАТОВ АСАН/serialNumber=IIN900101350003"
    shell(
        f"cd {HERE} && openssl req -new -newkey rsa:2048 -nodes -utf8 -subj '{subject}' -keyout entity.key"
        " -out entity.csr 2>/dev/null"
    )
    status, body = officer.submit(shell.get(f"{HERE}/entity.csr"), "legal-entity-signatory")
    assert status == 201, body
    shell.put(f"{HERE}/answer.pem", body)
    made.serial = shell(
        f"cd {HERE} && openssl x509 -in answer.pem -out entity.pem && openssl x509 -in entity.pem -noout -serial"
    ).strip()
    made.serial = made.serial.removeprefix("serial=")
    written, before = STATED / "organisations/org02.yml", folder / "register"
    assert not written.exists(), f"{written}: left by a run that broke off; take it away and converge the gateways"
    if KEPT.exists():
        shutil.copytree(KEPT, before)
    yield made
    written.unlink(missing_ok=True)
    shutil.rmtree(KEPT, ignore_errors=True)
    if before.exists():
        shutil.copytree(before, KEPT)
    again = folder / "apply.yml"
    again.write_text("- hosts: gateway\n  tasks: [{ansible.builtin.import_role: {name: gateway, tasks_from: apply}}]\n")
    code, said = play(again)
    assert code == 0, said


@pytest.mark.clause("GW-15", "GW-15-1", "GW-16")
def test_what_the_organisation_signed_is_opened_on_both_gateways(
    office: Office, everywhere: dict[str, Any], estate: Estate
) -> None:
    """For one calendar year, entered in the register, and told in a notice."""
    sites = everywhere["outside_sites"]
    assert office.gets(sites["finance"]) == 0
    office.status("good")
    today = day_of(datetime.now(UTC))
    code, said = office.bring(office.signed(today - timedelta(days=1)))
    assert code == 0, said
    notice = (KEPT / "notices/org02.txt").read_text(encoding="utf-8")
    assert notice.count(str(last_day(today))) == notice.count(office.row.bin) == 3
    entry = office.entries()[-1]
    assert (entry.state, entry.bin, entry.organisation) == ("applied", office.row.bin, "org02")
    assert office.gets(sites["finance"]) == 200
    assert office.gets(sites["games"]) == 403, "not applied for"
    first, second = office.gateways
    together = f"{estate.hosts['org02'].routes['internet']}/"
    first("systemctl stop keepalived")
    try:
        eventually(lambda: together in second("ip address") and office.gets(sites["finance"]) == 200, 30)
    finally:
        first("systemctl start keepalived")


@pytest.mark.clause("GW-15")
def test_an_altered_copy_opens_nothing(office: Office) -> None:
    """Threat: somebody adds his own network to what another signed."""
    signed = office.signed(day_of(datetime.now(UTC)))
    address = str(office.row.network).encode()
    assert signed.count(address) == 1
    before = office.stands()
    code, said = office.bring(signed.replace(address, address.replace(b".12/", b".13/")))
    assert code != 0
    assert "the signature does not hold" in said
    assert office.stands() == before
    assert office.entries()[-1].state == "refused"


@pytest.mark.clause("GW-15")
def test_a_newer_application_under_a_revoked_certificate_opens_nothing(office: Office, officer: Officer) -> None:
    """Threat: who has left the organisation, with the key, applies in its name."""
    status, body = officer.revoke(office.serial, "affiliationChanged")
    assert status == 200, body
    office.status("revoked")
    before = office.stands()
    code, said = office.bring(office.signed(day_of(datetime.now(UTC))))
    assert code != 0
    assert "is revoked: sign with a valid one" in said
    assert office.stands() == before
    assert office.entries()[-1].state == "refused"
