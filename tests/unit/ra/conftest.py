"""A registration authority over a real database, a real CA beside it, and a mail transport that remembers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from asn1crypto import pem
from psycopg_pool import ConnectionPool
from starlette.testclient import TestClient

from kepil.pki import migrations
from kepil.pki.settings import ENVIRONMENT_VARIABLE, CaSettings
from kepil.pki.web.ca import create_app as create_ca
from kepil.ra.authority import Authority
from kepil.ra.https import Answer, Send, UnreachableError
from kepil.ra.notice import NoticeError
from kepil.ra.registration import Registration
from kepil.ra.settings import RaSettings
from kepil.ra.store import SESSION_OPTIONS
from kepil.ra.web import build_app
from tests.unit.pki.ca import conftest as ca

# A PostgreSQL cluster, an issuing CA and requests for it are made as for the CA's own tests.
cluster, create_database, database = ca.cluster, ca.create_database, ca.database
issuer_files, ca_settings, new_request = ca.issuer_files, ca.ca_settings, ca.new_request

COMMON = Path(__file__).parents[3] / "inventories/common/group_vars"
OFFICERS = [
    {"name": "registrar-1", "branch": "astana", "roles": ["registrar"]},
    {"name": "approver-1", "branch": "astana", "roles": ["approver"]},
    {"name": "approver-2", "branch": "astana", "roles": ["approver", "registrar"]},
    {"name": "revoker-1", "branch": "astana", "roles": ["revoker"]},
    {"name": "approver-9", "branch": "almaty", "roles": ["approver", "registrar"]},
    {"name": "auditor-1", "branch": "astana", "roles": ["auditor"]},
]
HEAD = "/C=KZ/O=ТОО «Қарлығаш»/OU=BIN970740000015/CN=ӘУЕЗОВ МҰХТАР/serialNumber=IIN970908300017"
DOCUMENT = "0" * 64


def through(client: TestClient) -> Send:
    """Send requests to an application in this process."""

    def send(method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        response = client.request(method, target, content=body, headers=dict(headers or {}))
        return Answer(
            response.status_code, response.headers.get("content-type", "").partition(";")[0], response.content
        )

    return send


class Transport:
    """A mail transport that can be down."""

    def __init__(self) -> None:
        self.down = False
        self.messages: list[EmailMessage] = []

    def __call__(self, message: EmailMessage) -> None:
        if self.down:
            raise NoticeError("down")
        self.messages.append(message)


class Line:
    """The line to the CA: it can be down, it can lose answers, and it counts."""

    def __init__(self, send: Send) -> None:
        self.down = self.loses_answers = False
        self.requests: list[str] = []
        self._send = send

    def __call__(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        if self.down:
            raise UnreachableError("down")
        self.requests.append(f"{method} {target}")
        answer = self._send(method, target, body, headers)
        if self.loses_answers:
            raise UnreachableError("lost")
        return answer


@pytest.fixture
def transport() -> Transport:
    return Transport()


@contextmanager
def at_ca(settings: CaSettings, folder: Path) -> Iterator[Line]:
    """A line to a CA that takes this registration authority for an officer."""
    path = folder / "ca.json"
    path.write_text(settings.model_dump_json(exclude_none=True), "utf-8")
    headers = {"X-Client-Name": settings.officers[0]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENT_VARIABLE, str(path))
        app = create_ca()
    with TestClient(app, headers=headers, raise_server_exceptions=False) as client:
        yield Line(through(client))


@pytest.fixture
def line(ca_settings: CaSettings, tmp_path: Path) -> Iterator[Line]:
    """The line of most tests."""
    with at_ca(ca_settings, tmp_path) as line:
        yield line


@pytest.fixture
def ra_database(create_database: Callable[[], str]) -> str:
    """The connection string of a new database with the registration authority's schema."""
    conninfo = create_database()
    migrations.migrate(conninfo, migrations.shipped("registration"))
    return conninfo


@pytest.fixture
def ra_settings(ra_database: str) -> RaSettings:
    """Settings with the estate's own profiles and rules."""
    profiles = yaml.safe_load((COMMON / "all/profiles.yml").read_text("utf-8"))["pki_profiles"]
    rules = yaml.safe_load((COMMON / "ra/ra.yml").read_text("utf-8"))
    door = {"url": "https://ca01.example.test:8443", "certificate": "/tls.crt", "key": "/tls.key", "ca": "/ca.crt"}
    return RaSettings.model_validate(
        {
            "database": ra_database,
            "authority": door,
            "authorities": ["nca-rsa"],
            "profiles": {name: profile for name, profile in profiles.items() if profile.get("subscriber")},
            "two_approvers": rules["ra_two_approvers"],
            "officers": OFFICERS,
            "mail": {"sender": "registration@example.test"},
        }
    )


@pytest.fixture
def connect(ra_database: str) -> Callable[[], Any]:
    return lambda: psycopg.connect(ra_database, options=SESSION_OPTIONS)


@pytest.fixture
def registration(ra_settings: RaSettings, connect: Callable[[], Any], line: Line, transport: Transport) -> Registration:
    """The registration authority, for tests that act between its steps."""
    return Registration(ra_settings, connect, Authority(line), transport)


class Branch:
    """Officers at work: each verb is a request to the API."""

    def __init__(self, client: TestClient, new_request: Callable[..., bytes]) -> None:
        self.client = client
        self._new_request = new_request
        self._numbers = itertools.count()

    def at(self, client: TestClient) -> Branch:
        """The same officers, where the registration authority was set up anew."""
        other = Branch(client, self._new_request)
        other._numbers = self._numbers
        return other

    def request(self, method: str, path: str, officer: str, **options: Any) -> Any:
        headers = {"X-Officer": officer, **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def application(self, profile: str = "natural-person", subject: str | None = None) -> dict[str, Any]:
        """A new application with a new key."""
        request = self._new_request(subject) if subject else self._new_request()
        return {
            "profile": profile,
            "authority": "nca-rsa",
            "request": pem.armor("CERTIFICATE REQUEST", request).decode(),
            "email": "asan@example.kz",
            "document_sha256": DOCUMENT,
        }

    def apply(self, body: dict[str, Any] | None = None, officer: str = "registrar-1", key: str | None = None) -> Any:
        headers = {"Idempotency-Key": key or f"application-{next(self._numbers):08}"}
        return self.request("POST", "/v1/applications", officer, json=body or self.application(), headers=headers)

    def applied(self, **options: Any) -> str:
        """A new application's path."""
        response = self.apply(**options)
        assert response.status_code == 201, response.text
        return str(response.headers["location"])

    def check(self, path: str, officer: str = "approver-1") -> Any:
        return self.request("POST", f"{path}/check", officer)

    def approve(self, path: str, officer: str = "approver-1", *, check: bool = True) -> Any:
        if check:
            self.check(path, officer)
        digest = self.request("GET", path, officer).json().get("request_sha256", DOCUMENT)
        return self.request("POST", f"{path}/approval", officer, json={"request_sha256": digest})

    def reject(self, path: str, officer: str = "approver-1", reason: str = "incomplete") -> Any:
        return self.request("POST", f"{path}/rejection", officer, json={"reason": reason})

    def fetch(self, path: str, officer: str = "registrar-1") -> Any:
        return self.request("GET", f"{path}/certificate", officer)

    def revoke(self, serial: str, officer: str = "revoker-1", reason: str = "keyCompromise") -> Any:
        body = {"reason": reason, "document_sha256": DOCUMENT}
        return self.request("POST", f"/v1/certificates/{serial}/revocation", officer, json=body)


@contextmanager
def serving(registration: Registration, settings: RaSettings) -> Iterator[TestClient]:
    pool = ConnectionPool(settings.database, min_size=1, max_size=2, open=False)
    app = build_app(registration, settings, pool)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def branch(registration: Registration, ra_settings: RaSettings, new_request: Callable[..., bytes]) -> Iterator[Branch]:
    with serving(registration, ra_settings) as client:
        yield Branch(client, new_request)


@pytest.fixture
def journal(connect: Callable[[], Any]) -> Callable[[], list[tuple[str, str, dict[str, Any]]]]:
    """Read the whole journal."""

    def read() -> list[tuple[str, str, dict[str, Any]]]:
        with connect() as connection:
            return list(connection.execute("select actor, act, object from journal order by id").fetchall())

    return read


def problem(response: Any) -> tuple[int, str]:
    """Check the form of a problem document (RFC 9457); return its status and code."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document = json.loads(response.content)
    assert document["status"] == response.status_code
    assert document["detail"]
    assert document["remedy"]
    return document["status"], document["code"]
