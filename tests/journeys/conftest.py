"""The people and places of a journey: a subscriber's machine, an officer's entry, the CA behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

HERE = "/root/journey"
INTERNAL_TLS = (
    "--cacert /etc/ssl/kepil/internal-ca.crt"
    " --cert /etc/ssl/kepil/internal.crt --key /etc/ssl/private/kepil-internal.key"
)


@pytest.fixture(scope="session")
def domain(everywhere: dict[str, Any]) -> str:
    """The estate's domain."""
    return str(everywhere["estate_domain"])


@pytest.fixture(scope="session")
def issuing(everywhere: dict[str, Any]) -> str:
    """The RSA hierarchy's issuing CA, in the generation that issues."""
    return str(everywhere["pki_hierarchies"]["rsa"]["issuing"]["name"])


@pytest.fixture(scope="session")
def client(on: Callable[[str], Any], domain: str, issuing: str) -> Any:
    """A subscriber's machine that holds the root's certificate and that of the CA which issues, fetched as anyone would
    and named as in the first generation."""
    shell = on("org01")
    shell(f"rm -rf {HERE} && mkdir -p {HERE}")
    for name, published in (("krnca-rsa", "krnca-rsa"), ("nca-rsa", issuing)):
        shell(
            f"cd {HERE} && curl -sSf -o {name}.der http://pki.{domain}/{published}.crt"
            f" && openssl x509 -inform DER -in {name}.der -out {name}.pem"
        )
    shell(f"cd {HERE} && cat krnca-rsa.pem nca-rsa.pem > chain.pem")
    return shell


class Officer:
    """A registration officer: carries requests to the CA's API from the registration zone."""

    def __init__(self, shell: Any, ca: str, issuing: str) -> None:
        self.shell, self.issuing = shell, issuing
        self.api = f"https://{ca}:8443/v1"

    def _ask(self, arguments: str) -> tuple[int, bytes]:
        status = self.shell(f"cd {HERE} && curl -sS {INTERNAL_TLS} -o answer -w %{{http_code}} {arguments}")
        return int(status[-3:]), self.shell.get(f"{HERE}/answer")

    def submit(self, request: bytes, profile: str, authority: str = "") -> tuple[int, bytes]:
        """HTTP status and body for a certification request."""
        self.shell.put(f"{HERE}/request", request)
        return self._ask(
            f'-H "Content-Type: application/pkcs10" --data-binary @request'
            f' "{self.api}/certificates?authority={authority or self.issuing}&profile={profile}"'
        )

    def revoke(self, serial: str, reason: str, authority: str = "") -> tuple[int, bytes]:
        """HTTP status and body for a revocation."""
        self.shell.put(f"{HERE}/revocation", json.dumps({"reason": reason}).encode())
        return self._ask(
            f'-H "Content-Type: application/json" --data-binary @revocation'
            f' "{self.api}/certificates/{serial}/revocation?authority={authority or self.issuing}"'
        )


@pytest.fixture(scope="session")
def officer(on: Callable[[str], Any], domain: str, issuing: str) -> Officer:
    """The officer at ra01."""
    return Officer(on("ra01"), f"ca01.{domain}", issuing)
