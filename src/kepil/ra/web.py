"""The registration authority over HTTP, for officers: nginx checks their TLS certificates and passes on their names.

Factory for uvicorn: `kepil.ra.web:create_app`, settings from the file that KEPIL_SETTINGS names.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kepil.errors import KepilError
from kepil.pki.web.body import BodyTooLargeError, read_body
from kepil.pki.web.log import configure_logging
from kepil.ra.authority import Authority
from kepil.ra.https import IdentityError, UnreachableError, sender
from kepil.ra.messages import Health
from kepil.ra.notice import poster
from kepil.ra.officer import Officer
from kepil.ra.openapi import IDEMPOTENCY_KEY, PARAMETERS, PROBLEM, description
from kepil.ra.operation import OPERATIONS, Operation
from kepil.ra.problem import KINDS, RegistrationError, document
from kepil.ra.registration import Registration
from kepil.ra.settings import RaSettings
from kepil.ra.store import SESSION_OPTIONS

LARGEST_BODY = 32 * 1024
"""Octets; an application with the largest request that is read is smaller."""

PATIENCE_SECONDS = 5.0
"""How long a request waits for a connection to the database before its sender is told to try later."""

_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY["schema"]["pattern"])
_SERIAL = re.compile(PARAMETERS["serial"]["pattern"])
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

log = logging.getLogger(__name__)


class Api:
    """The handlers, each named as its operation. What they do blocks, so it is done in threads."""

    def __init__(self, registration: Registration, officers: list[Officer], settle_seconds: float) -> None:
        self._registration = registration
        self._officers = {officer.name: officer for officer in officers}
        self._settle_seconds = settle_seconds

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Take up what was left over, again and again, beside answering requests."""
        settling = asyncio.create_task(self._settle())
        try:
            yield
        finally:
            settling.cancel()
            with suppress(asyncio.CancelledError):
                await settling

    async def _settle(self) -> None:
        while True:
            try:
                await run_in_threadpool(self._registration.settle)
            except (KepilError, psycopg.Error) as error:
                log.warning("left over until the next time: %s", error)
            await asyncio.sleep(self._settle_seconds)

    def endpoint(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        """The operation's handler, called only for who may."""
        handler = getattr(self, operation.name)

        async def serve(request: Request) -> Response:
            if operation.open:
                return await handler(request)  # type: ignore[no-any-return]
            officer = self._officer(request)
            if operation.roles and not set(operation.roles) & set(officer.roles):
                wanted = " or ".join(operation.roles)
                raise RegistrationError("role-missing", f"{operation.name} is for the role {wanted}")
            given = [_query(request, operation.query)]
            if operation.body:
                given.append(await _body(request, operation.body))
            return await handler(request, officer, *(each for each in given if each is not None))  # type: ignore[no-any-return]

        return serve

    async def apply(self, request: Request, officer: Officer, asked: Any) -> Response:
        keys = request.headers.getlist("idempotency-key")
        if len(keys) != 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
            raise RegistrationError("idempotency-key-missing", "Idempotency-Key is missing, or no token of 16 or more")
        made = await run_in_threadpool(self._registration.apply, officer, asked, keys[0])
        return _json(made, HTTPStatus.CREATED, {"Location": f"/v1/applications/{made.id}"})

    async def list(self, _request: Request, officer: Officer, listing: Any) -> Response:
        return _json(await run_in_threadpool(self._registration.applications, officer, listing))

    async def show(self, request: Request, officer: Officer) -> Response:
        return _json(await run_in_threadpool(self._registration.show, officer, _identifier(request)))

    async def check(self, request: Request, officer: Officer) -> Response:
        return _json(await run_in_threadpool(self._registration.check, officer, _identifier(request)))

    async def approve(self, request: Request, officer: Officer, approval: Any) -> Response:
        return _json(await run_in_threadpool(self._registration.approve, officer, _identifier(request), approval))

    async def reject(self, request: Request, officer: Officer, rejection: Any) -> Response:
        return _json(await run_in_threadpool(self._registration.reject, officer, _identifier(request), rejection))

    async def fetch(self, request: Request, officer: Officer) -> Response:
        chain = await run_in_threadpool(self._registration.fetch, officer, _identifier(request))
        return Response(chain, media_type="application/pem-certificate-chain")

    async def revoke(self, request: Request, officer: Officer, asked: Any) -> Response:
        serial = request.path_params["serial"]
        if not _SERIAL.fullmatch(serial):
            raise RegistrationError("unknown-certificate", "that is no serial number: write 2 to 40 digits 0-9 a-f")
        return _json(await run_in_threadpool(self._registration.revoke, officer, serial, asked))

    async def journal(self, _request: Request, _officer: Officer, paging: Any) -> Response:
        return _json(await run_in_threadpool(self._registration.journal, paging))

    async def describe(self, _request: Request, _officer: Officer) -> Response:
        return JSONResponse(description())

    async def health(self, _request: Request) -> Response:
        await run_in_threadpool(self._registration.health)
        return _json(Health(status="ok"))

    def _officer(self, request: Request) -> Officer:
        """Who asks. Exactly one header, so that nobody slips a second one past nginx."""
        names = request.headers.getlist("x-officer")
        if len(names) != 1 or names[0] not in self._officers:
            log.warning("refused officer=%r path=%s", names, request.url.path)
            raise RegistrationError("not-an-officer", "your TLS certificate does not name an officer")
        return self._officers[names[0]]


def create_app() -> Starlette:
    """The application, from the settings file. Raises SettingsError."""
    configure_logging()
    settings = RaSettings.from_environment()
    pool = ConnectionPool(
        settings.database,
        min_size=1,
        max_size=8,
        timeout=PATIENCE_SECONDS,
        max_waiting=64,
        kwargs={"options": SESSION_OPTIONS},
        check=ConnectionPool.check_connection,
        name="ra",
        open=False,
    )
    registration = Registration(settings, pool.connection, Authority(sender(settings.authority)), poster(settings.mail))
    return build_app(registration, settings, pool)


def build_app(registration: Registration, settings: RaSettings, pool: ConnectionPool) -> Starlette:
    """The application around the registration authority; it holds the pool open while it runs."""
    api = Api(registration, settings.officers, settings.settle_seconds)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pool.open()  # without waiting: while there is no database the service answers 503
        try:
            async with api.lifespan(app):
                yield
        finally:
            pool.close()

    return Starlette(
        routes=[Route(each.path, api.endpoint(each), methods=[each.method]) for each in OPERATIONS],
        exception_handlers={
            HTTPException: _http_problem,
            **dict.fromkeys((KepilError, psycopg.Error, Exception), _problem),
        },
        lifespan=lifespan,
    )


def _identifier(request: Request) -> UUID:
    text = request.path_params["id"]
    if not _UUID.fullmatch(text):
        raise RegistrationError("unknown-application", "that is no application's identifier")
    return UUID(text)


def _query(request: Request, model: type[BaseModel] | None) -> BaseModel | None:
    """The query, as the operation's model has it; an operation without one takes none."""
    pairs = request.query_params.multi_items()
    if len(dict(pairs)) < len(pairs):
        raise RegistrationError("bad-request", "query: a parameter is there twice")
    if model is None:
        if pairs:
            raise RegistrationError("bad-request", "query: this operation takes no parameters")
        return None
    return _validated(lambda: model.model_validate_strings(dict(pairs)), "query")


async def _body(request: Request, model: type[BaseModel]) -> BaseModel:
    try:
        content = await read_body(request, LARGEST_BODY)
    except BodyTooLargeError as error:
        raise RegistrationError("body-too-large", str(error)) from error
    return _validated(lambda: model.model_validate_json(content, strict=True), "body")


def _validated(read: Callable[[], BaseModel], where: str) -> BaseModel:
    try:
        return read()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, (where, *e['loc'])))}: {e['msg']}" for e in error.errors())
        raise RegistrationError("bad-request", faults) from error


def _json(message: BaseModel, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(message.model_dump_json(), status, headers, media_type="application/json")


async def _problem(request: Request, error: Exception) -> Response:
    """Answer an error as RFC 9457 says. What is our fault goes to the log; the client learns only that it is."""
    code, detail = getattr(error, "code", "internal-error"), str(error)
    if isinstance(error, psycopg.OperationalError):
        code, detail = "database-unavailable", "the database does not answer"
    elif isinstance(error, UnreachableError | IdentityError) or code == "authority-unavailable":
        log.error("method=%s path=%s: %s", request.method, request.url.path, error)
        code, detail = "authority-unavailable", "the certification authority does not answer as it should"
    if code not in KINDS or code == "internal-error":
        log.error("failed method=%s path=%s: %s", request.method, request.url.path, error, exc_info=error)
        code, detail = "internal-error", "the registration authority failed"
    return _document(document(code, detail))


async def _http_problem(_request: Request, error: Exception) -> Response:
    """Answer what the framework refuses (no such path, no such method) in the same form."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- what it is registered for
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "-")
    content = document("bad-request", error.detail) | {"title": status.phrase, "status": status.value, "code": code}
    return _document(content, dict(error.headers or {}))


def _document(content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    if content["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {**(headers or {}), "Retry-After": "5"}
    return JSONResponse(content, content["status"], headers, media_type=PROBLEM)
