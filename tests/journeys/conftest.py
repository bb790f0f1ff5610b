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
def client(on: Callable[[str], Any], domain: str) -> Any:
    """A subscriber's machine that holds the root certificate and the issuing certificate, fetched as anyone would."""
    shell = on("org01")
    shell(f"rm -rf {HERE} && mkdir -p {HERE}")
    for name in ("krnca-rsa", "nca-rsa"):
        shell(
            f"cd {HERE} && curl -sSf -o {name}.der http://pki.{domain}/{name}.crt"
            f" && openssl x509 -inform DER -in {name}.der -out {name}.pem"
        )
    shell(f"cd {HERE} && cat krnca-rsa.pem nca-rsa.pem > chain.pem")
    return shell


class Officer:
    """A registration officer: carries requests to the CA's API from the registration zone."""

    def __init__(self, shell: Any, ca: str) -> None:
        self.shell = shell
        self.api = f"https://{ca}:8443/v1"

    def _ask(self, arguments: str) -> tuple[int, bytes]:
        status = self.shell(f"cd {HERE} && curl -sS {INTERNAL_TLS} -o answer -w %{{http_code}} {arguments}")
        return int(status[-3:]), self.shell.get(f"{HERE}/answer")

    def submit(self, request: bytes, profile: str, authority: str = "nca-rsa") -> tuple[int, bytes]:
        """HTTP status and body for a certification request."""
        self.shell.put(f"{HERE}/request", request)
        return self._ask(
            f'-H "Content-Type: application/pkcs10" --data-binary @request'
            f' "{self.api}/certificates?authority={authority}&profile={profile}"'
        )

    def revoke(self, serial: str, reason: str, authority: str = "nca-rsa") -> tuple[int, bytes]:
        """HTTP status and body for a revocation."""
        self.shell.put(f"{HERE}/revocation", json.dumps({"reason": reason}).encode())
        return self._ask(
            f'-H "Content-Type: application/json" --data-binary @revocation'
            f' "{self.api}/certificates/{serial}/revocation?authority={authority}"'
        )


@pytest.fixture(scope="session")
def officer(on: Callable[[str], Any], domain: str) -> Officer:
    """The officer at ra01."""
    return Officer(on("ra01"), f"ca01.{domain}")
