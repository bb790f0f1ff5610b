"""The CA over HTTP, for registration officers: nginx checks their TLS certificates and passes on the verified name.

Factory for uvicorn: `kepil.pki.web.ca:create_app`, settings from the file that KEPIL_SETTINGS names. Errors are problem
documents (RFC 9457) with a stable `code`.
"""

import logging
import select
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

import psycopg
from psycopg_pool import ConnectionPool
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kepil.errors import KepilError
from kepil.pki.authority import CertificateAuthority, parse_serial
from kepil.pki.credential import CredentialError
from kepil.pki.issuance import Order
from kepil.pki.settings import CaSettings, SettingsError
from kepil.pki.signer import SignerError
from kepil.pki.signing import SigningThreads
from kepil.pki.store import SESSION_OPTIONS, IssuedCertificate
from kepil.pki.together import Together
from kepil.pki.web.body import BodyTooLargeError
from kepil.pki.web.log import configure_logging
from kepil.pki.web.plain import PlainApp, answer, read_body, settle

CERTIFICATES: Final = "/v1/certificates"
LARGEST_BODY = 16 * 1024
"""Octets; a PKCS #10 request with an RSA-8192 or ML-DSA-87 key is smaller."""

PATIENCE_SECONDS = 5.0
"""How long a request waits for a connection to the database before its sender is told to try later."""

STATUS = {
    "bad-request": HTTPStatus.BAD_REQUEST,
    "malformed-request": HTTPStatus.BAD_REQUEST,
    "proof-of-possession-failed": HTTPStatus.BAD_REQUEST,
    "unknown-reason": HTTPStatus.BAD_REQUEST,
    "not-an-officer": HTTPStatus.FORBIDDEN,
    "profile-not-for-subscribers": HTTPStatus.FORBIDDEN,
    "authority-not-issuing": HTTPStatus.FORBIDDEN,
    "unknown-authority": HTTPStatus.NOT_FOUND,
    "unknown-profile": HTTPStatus.NOT_FOUND,
    "unknown-certificate": HTTPStatus.NOT_FOUND,
    "key-seen-before": HTTPStatus.CONFLICT,
    "already-revoked": HTTPStatus.CONFLICT,
    "body-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "weak-key": HTTPStatus.UNPROCESSABLE_ENTITY,
    "name-not-allowed": HTTPStatus.UNPROCESSABLE_ENTITY,
    "idempotency-key-reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "signer-unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "database-unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The HTTP status of each `code`; a code that is not here is a fault of ours (500)."""
FORESEEN: Final = (KepilError, SignerError, psycopg.Error)
"""What an answer says all about; of anything else the log keeps where it comes from."""

log = logging.getLogger(__name__)


class RefusedError(KepilError):
    """A request that does not get as far as the authority."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Revocation(BaseModel):
    """The body of a revocation."""

    model_config = ConfigDict(extra="forbid")

    reason: str


class Api:
    """The handlers. Whatever touches the database or a key runs in threads."""

    def __init__(self, authority: CertificateAuthority, pool: ConnectionPool, officers: list[str]) -> None:
        self._authority = authority
        self._pool = pool
        self._officers = frozenset(officers)
        self._threads = SigningThreads()
        self._together = {name: Together(partial(authority.issue_together, name)) for name in authority.names}

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Hold the database pool open. It does not wait for the database: without one the service answers 503."""
        self._pool.open()
        await self._open_keys()
        settle()
        try:
            yield
        finally:
            for together in self._together.values():
                together.close()
            self._threads.close()
            self._pool.close()

    async def _open_keys(self) -> None:
        """Open the keys before the first request needs them. One that does not open must not stop revocations."""
        for name in self._authority.names:
            try:
                await self._threads.run(lambda issuer: issuer.signer, self._authority.issuer(name))
            except (SignerError, CredentialError, SettingsError) as error:
                log.error("authority=%s cannot issue: %s", name, error)

    async def issue(self, scope: Scope, receive: Receive) -> IssuedCertificate:
        """`POST /v1/certificates?authority=…&profile=…` with a PKCS #10 request, DER or PEM."""
        officer = self._officer(scope)
        authority, profile = _parameter(scope, "authority"), _parameter(scope, "profile")
        body = await _body(receive)
        self._authority.subscriber_profile(profile)
        name = self._authority.issuer(authority).name
        order = Order(body, profile, officer, idempotency_key=_header(scope, b"idempotency-key"))
        return await self._together[name].run(order)

    async def certificate(self, request: Request) -> Response:
        """`GET /v1/certificates/{serial}`: the serial number in hexadecimal."""
        self._officer(request.scope)
        serial = parse_serial(request.path_params["serial"])
        issued = await self._threads.run(self._authority.certificate, serial)
        kind, body = self.certificate_as_asked(request.scope, issued)
        return Response(body, media_type=kind)

    async def revoke(self, request: Request) -> Response:
        """`POST /v1/certificates/{serial}/revocation?authority=…` with `{"reason": "keyCompromise"}`."""
        officer = self._officer(request.scope)
        authority, serial = _parameter(request.scope, "authority"), parse_serial(request.path_params["serial"])
        try:
            asked = Revocation.model_validate_json(await _body(request.receive))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
            raise RefusedError("bad-request", f'{faults}; send {{"reason": "keyCompromise"}} or the like') from error
        status = await self._threads.run(self._authority.revoke, serial, asked.reason, authority, officer)
        assert status.revoked_at is not None  # noqa: S101 -- what `revoke` returns
        return JSONResponse(
            {
                "serial": status.serial.hex(),
                "authority": authority,
                "reason": asked.reason,
                "revoked_at": status.revoked_at.isoformat(),
            }
        )

    async def health(self, _request: Request) -> Response:
        """`GET /health`: 200 while the database answers and no authority's last CRL has ended, else 503.

        Open to nginx and monitoring. An authority that has made no CRL yet is healthy: its first is made on purpose.
        """
        ends = await self._threads.run(self._authority.crl_ends)
        now = datetime.now(UTC)
        healthy = not any(end is not None and end <= now for kinds in ends.values() for end in kinds.values())
        crls = {name: {kind: end and end.isoformat() for kind, end in kinds.items()} for name, kinds in ends.items()}
        return JSONResponse(
            {"status": "ok" if healthy else "crl-ended", "crl_next_update": crls}, 200 if healthy else 503
        )

    def _officer(self, scope: Scope) -> str:
        """The verified name of who asks. Exactly one header, so that nobody slips a second one past nginx."""
        names = [str(value, "latin-1") for name, value in scope["headers"] if name == b"x-client-name"]
        if len(names) != 1 or names[0] not in self._officers:
            log.warning("refused client=%r path=%s", names, scope["path"])
            raise RefusedError("not-an-officer", "your TLS certificate does not name a registration officer's host")
        return names[0]

    def certificate_as_asked(self, scope: Scope, issued: IssuedCertificate) -> tuple[str, bytes]:
        """Media type and octets: DER where the client asks for `application/pkix-cert`, else PEM with its issuer's."""
        if "application/pkix-cert" in (_header(scope, b"accept") or ""):
            return "application/pkix-cert", issued.der
        chain = ssl.DER_cert_to_PEM_cert(issued.der) + self._authority.issuer(issued.issuer).certificate_pem
        return "application/pem-certificate-chain", chain.encode()


class IssueEndpoint:
    """What is asked most, without a framework around it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, errors likewise."""
        try:
            issued = await self._api.issue(scope, receive)
        except Exception as error:
            await _problem(scope, error)(scope, receive, send)
            if not isinstance(error, FORESEEN):
                raise  # to the server's log, with where it comes from
        else:
            kind, body = self._api.certificate_as_asked(scope, issued)
            place = f"{CERTIFICATES}/{issued.serial.hex()}"
            await answer(send, HTTPStatus.CREATED, kind.encode(), body, (b"location", place.encode()))


def create_app() -> ASGIApp:
    """The application, from the settings file. Raises SettingsError, SignerError, CredentialError."""
    configure_logging()
    settings = CaSettings.from_environment()
    pool = ConnectionPool(
        settings.database,
        min_size=1,
        max_size=8,
        timeout=PATIENCE_SECONDS,
        max_waiting=64,
        kwargs={"options": SESSION_OPTIONS},
        check=_still_open,
        name="ca",
        open=False,
    )
    authority = CertificateAuthority(settings, pool.connection)
    return build_app(Api(authority, pool, settings.officers))


def _still_open(connection: psycopg.Connection[Any]) -> None:
    """Raise psycopg.OperationalError if the server has closed an idle connection; costs no round trip.

    Nothing comes over an idle connection but the server's farewell.
    """
    farewell = select.poll()
    farewell.register(connection.fileno(), select.POLLIN)
    if farewell.poll(0):
        raise psycopg.OperationalError("the server has closed the connection")


def build_app(api: Api) -> ASGIApp:
    """The application around its handlers."""
    issuing = IssueEndpoint(api)
    other = Starlette(
        routes=[
            Route(CERTIFICATES, issuing, methods=["POST"]),
            Route(CERTIFICATES + "/{serial}", api.certificate, methods=["GET"]),
            Route(CERTIFICATES + "/{serial}/revocation", api.revoke, methods=["POST"]),
            Route("/health", api.health, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_problem, **dict.fromkeys((*FORESEEN, Exception), _request_problem)},
        lifespan=api.lifespan,
    )
    return PlainApp(issuing, other, lambda scope: scope.get("method") == "POST" and scope["path"] == CERTIFICATES)


@lru_cache(64)
def _parameters(query: bytes) -> dict[str, list[str]]:
    return parse_qs(query.decode("latin-1"), keep_blank_values=True)


def _parameter(scope: Scope, name: str) -> str:
    values = _parameters(scope["query_string"]).get(name, [])
    if len(values) != 1:
        raise RefusedError("bad-request", f"give the query parameter {name!r} once")
    return values[0]


def _header(scope: Scope, wanted: bytes) -> str | None:
    """A header's value, the first where there are several."""
    return next((str(value, "latin-1") for name, value in scope["headers"] if name == wanted), None)


async def _body(receive: Receive) -> bytes:
    try:
        return await read_body(receive, LARGEST_BODY)
    except BodyTooLargeError as error:
        raise RefusedError("body-too-large", f"{error}; send less") from error


def _problem(scope: Scope, error: Exception) -> Response:
    """Answer an error as RFC 9457 says. What is our fault goes to the log; the client learns only that it is."""
    code, detail = getattr(error, "code", "internal-error"), str(error)
    if isinstance(error, SignerError):
        code, detail = "signer-unavailable", "the signing module does not answer; try again later"
    elif isinstance(error, psycopg.OperationalError):
        code, detail = "database-unavailable", "the database does not answer; try again later"
    status = STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("failed method=%s path=%s code=%s: %s", scope["method"], scope["path"], code, error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        code, detail = "internal-error", "the certification authority failed; its operators find the cause in the log"
    return _document(status, code, detail)


async def _request_problem(request: Request, error: Exception) -> Response:
    return _problem(request.scope, error)


async def _http_problem(_request: Request, error: Exception) -> Response:
    """Answer what the framework refuses (no such path, no such method) in the same form."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- what it is registered for
    status = HTTPStatus(error.status_code)
    return _document(status, status.phrase.lower().replace(" ", "-"), error.detail)


def _document(status: HTTPStatus, code: str, detail: str) -> Response:
    content = {"title": status.phrase, "status": status.value, "code": code, "detail": detail}
    headers = {"Retry-After": "5"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(content, status, headers, media_type="application/problem+json")
