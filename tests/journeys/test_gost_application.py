"""An application for internet access that a legal entity signed with GOST, verified where OpenSSL knows GOST.

The machine that carries applications out need not know it, so it is done at a responder's host, which does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kepil.estate.model import Estate
from tests.gateway_users import eventually
from tests.journeys.conftest import HERE, Officer

BIN = "180540012343"
SUBJECT = f"/C=KZ/O=ORG/OU=BIN{BIN}/CN=ҚАЙРАТОВ АСАН/serialNumber=IIN900101350003"
VERIFY = """import sys
from datetime import UTC, datetime
from pathlib import Path
from kepil.errors import KepilError
from kepil.gateway.cms import Trust, verify
trust = Trust(Path("root.pem"), Path("issuing.pem"), Path("/etc/ssl/openssl-gost.cnf"), sys.argv[1])
try:
    signed = verify(Path("application.p7m"), trust, datetime.now(UTC))
except KepilError as error:
    sys.exit(str(error))
print(signed.bin, signed.content.decode())
"""


@dataclass(frozen=True)
class Desk:
    """Where applications are verified."""

    host: Any
    ocsp_url: str

    def verify(self, application: bytes) -> str:
        """What is said of an application."""
        self.host.put(f"{HERE}/application.p7m", application)
        command = f"cd {HERE} && /opt/kepil/current/bin/python3 verify.py {self.ocsp_url} 2>&1; true"
        return str(self.host(command)).strip()


@pytest.fixture
def desk(on: Callable[[str], Any], estate: Estate, client: Any, domain: str) -> Desk:
    """Roots and issuers lie there, as the repository has them."""
    member = estate.members("ocsp")[0]
    made = Desk(on(member.name), f"http://{member.address}/")
    made.host.put(f"{HERE}/verify.py", VERIFY.encode())
    for file, name in (("root", "krnca-gost"), ("issuing", "nca-gost")):
        published = client(f"curl -sSf http://pki.{domain}/{name}.pem")
        made.host.put(f"{HERE}/{file}.pem", published.encode())
    return made


@pytest.mark.clause("GW-15")
def test_it_is_the_organisations_until_it_is_altered_or_its_certificate_revoked(
    client: Any, officer: Officer, desk: Desk
) -> None:
    folder = f"{HERE}/gost-application"
    openssl = f"mkdir -p {folder} && cd {folder} && OPENSSL_CONF=/etc/ssl/openssl-gost.cnf openssl"
    client(
        f"{openssl} req -new -newkey gost2012_512 -pkeyopt paramset:A -md_gost12_512 -nodes -utf8 -subj '{SUBJECT}'"
        " -keyout key.pem -out request.pem 2>&1"
    )
    status, body = officer.submit(client.get(f"{folder}/request.pem"), "legal-entity-signatory", "nca-gost")
    assert status == 201, body
    client.put(f"{folder}/leaf.pem", body)
    client.put(f"{folder}/application", b"categories: [finance]")
    client(
        f"{openssl} cms -sign -binary -nodetach -outform DER -md md_gost12_512 -in application -signer leaf.pem"
        " -inkey key.pem -out application.p7m"
    )
    signed = client.get(f"{folder}/application.p7m")
    eventually(lambda: desk.verify(signed) == f"{BIN} categories: [finance]")
    assert "the signature does not hold" in desk.verify(signed.replace(b"[finance]", b"[gambles]"))
    serial = client(f"{openssl} x509 -in leaf.pem -noout -serial").strip().removeprefix("serial=")
    status, body = officer.revoke(serial, "affiliationChanged", "nca-gost")
    assert status == 200, body
    eventually(lambda: "is revoked: sign with a valid one" in desk.verify(signed))
