"""OCSP over HTTP (RFC 6960 appendix A, RFC 5019 sections 5 and 6)."""

import base64
import binascii
import hashlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kepil.pki import ocsp
from kepil.pki.credential import Credential, read_certificate
from kepil.pki.ocsp import CertificateId, OcspRequest, Responder, SignedResponse
from kepil.pki.settings import OcspSettings
from kepil.pki.signer import SignerError
from kepil.pki.signing import SigningThreads
from kepil.pki.status import (
    PRIMARY_SILENCE_SECONDS,
    CertificateStatus,
    GatheredLookups,
    PrimaryContact,
    StatusLookup,
    StatusReplica,
    StatusUnavailableError,
)
from kepil.pki.web.beside import beside
from kepil.pki.web.body import BodyTooLargeError
from kepil.pki.web.ending import ending, told, utc_now
from kepil.pki.web.log import configure_logging
from kepil.pki.web.plain import NO_STORE, PlainApp, answer, media_type, read_body, refuse, settle

REQUEST_TYPE = "application/ocsp-request"
RESPONSE_TYPE = b"application/ocsp-response"

CACHE_SIZE = 10_000
"""Responses kept by each process, about 2 kB each."""

LONGEST_REUSE = timedelta(days=4)
"""Baseline Requirements 4.9.10: what a response says is brought up to date by then, however long it is valid."""

FRESH_SECONDS = 3600
"""How long an HTTP cache may keep a response that is valid far longer: a revocation shows as soon as in a delta CRL.

RFC 5019 section 6.2 wants max-age to end before nextUpdate, no more; by RFC 9111 section 5.3 it goes before Expires.
"""

log = logging.getLogger(__name__)


class ResponseCache:
    """Signed responses to questions without nonce, least recently used out first.

    The key is the parsed question, never raw bytes, in which anyone could vary a nonce to fill the cache. A response is
    used again only while the certificate's status is what it was, so that a revocation shows as soon as the replica has
    it, and until half of its validity is over (Baseline Requirements 4.9.10).
    """

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, tuple[CertificateStatus, SignedResponse]] = OrderedDict()

    def get(self, certificate: CertificateId, status: CertificateStatus, now: datetime) -> SignedResponse | None:
        """The response to use again, if there is one."""
        known, response = self._entries.get(certificate.encoded, (None, None))
        if response is None or known != status:
            return None
        reusable = min((response.next_update - response.produced_at) / 2, LONGEST_REUSE)
        if not response.produced_at <= now < response.produced_at + reusable:
            return None
        self._entries.move_to_end(certificate.encoded)
        return response

    def put(self, certificate: CertificateId, status: CertificateStatus, response: SignedResponse) -> None:
        """Keep a response."""
        self._entries[certificate.encoded] = (status, response)
        self._entries.move_to_end(certificate.encoded)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class OcspService:
    """Answers encoded requests for one or more authorities."""

    def __init__(
        self,
        responders: list[Responder],
        statuses: StatusLookup,
        threads: SigningThreads,
        now: Callable[[], datetime] = utc_now,
        known_at: Callable[[datetime], datetime] | None = None,
    ) -> None:
        """`known_at` tells when statuses that are read now were known to be right; without it they are right now."""
        self.responders = responders
        self._by_issuer = {identity: responder for responder in responders for identity in responder.issuer_ids}
        self._statuses = statuses
        self._threads = threads
        self._now = now
        self._known_at = known_at or (lambda at: at)
        self._cache = ResponseCache()

    @property
    def ends(self) -> dict[str, datetime]:
        """When the certificate of each authority's responder ends."""
        return {responder.authority: responder.ends for responder in self.responders}

    async def answer(self, encoded: bytes) -> tuple[SignedResponse, bool]:
        """The signed response, and whether HTTP caches may keep it. Raises OcspError; nothing else."""
        try:
            return await self._answer(ocsp.read_request(encoded))
        except ocsp.OcspError:
            raise
        except StatusUnavailableError as error:
            log.error("%s", error)
            raise ocsp.TryLaterError(str(error)) from error
        except SignerError as error:
            log.error("%s", error)
            raise ocsp.OcspError(str(error)) from error
        except Exception as error:
            log.exception("a request could not be answered")
            raise ocsp.OcspError(str(error)) from error

    async def _answer(self, request: OcspRequest) -> tuple[SignedResponse, bool]:
        responder = ocsp.find_responder(self._by_issuer, request)
        statuses = await self._statuses(responder.authority, {one.serial for one in request.certificates})
        first, now = request.certificates[0], self._now()
        # Unknown serials are not kept: anyone can make them up, and they may be issued the next moment.
        status = statuses.get(first.serial) if len(request.certificates) == 1 and request.nonce is None else None
        if status is not None and (kept := self._cache.get(first, status, now)):
            return kept, True
        known_at = self._known_at(now)
        if responder.in_process:
            response = responder.respond(request, statuses, now, known_at)
        else:
            response = await self._threads.run(responder.respond, request, statuses, now, known_at)
        if status is not None:
            self._cache.put(first, status, response)
        return response, status is not None


class OcspEndpoint:
    """The HTTP side of an OcspService."""

    def __init__(self, service: OcspService, now: Callable[[], datetime] = utc_now) -> None:
        self._service = service
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whichever way it comes."""
        method = scope["method"]
        if method == "POST":
            await self._post(scope, receive, send)
        elif method in ("GET", "HEAD"):
            await self._get(scope, send)
        else:
            await refuse(send, 405, "use GET or POST", (b"allow", b"GET, HEAD, POST"))

    async def _get(self, scope: Scope, send: Send) -> None:
        """A request in the path, in base64 (RFC 6960 appendix A.1)."""
        try:
            # From the raw path: percent signs are decoded here, once, and bytes that are no UTF-8 stay what they are.
            path: bytes = scope["raw_path"].removeprefix(scope.get("root_path", "").encode())
            encoded = base64.b64decode(unquote_to_bytes(path.removeprefix(b"/")), validate=True)
        except (binascii.Error, ValueError):
            await self._error(send, ocsp.MalformedRequestError.status)
        else:
            await self._respond(send, encoded, cacheable=True)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request in the body."""
        if media_type(scope) != REQUEST_TYPE:
            await refuse(send, 415, f"send {REQUEST_TYPE}")
            return
        try:
            encoded = await read_body(receive)
        except BodyTooLargeError:
            await self._error(send, ocsp.MalformedRequestError.status)
        else:
            await self._respond(send, encoded, cacheable=False)

    async def _respond(self, send: Send, encoded: bytes, *, cacheable: bool) -> None:
        try:
            response, lasting = await self._service.answer(encoded)
        except ocsp.OcspError as error:
            await self._error(send, error.status)
            return
        headers = self._lasting(response) if cacheable and lasting else (NO_STORE,)
        await answer(send, 200, RESPONSE_TYPE, response.encoded, *headers)

    def _lasting(self, response: SignedResponse) -> tuple[tuple[bytes, bytes], ...]:
        """RFC 5019 section 6.2."""
        left = int((response.next_update - self._now()).total_seconds())
        seconds = max(0, min(FRESH_SECONDS, left))
        age = f"max-age={seconds}, public, no-transform, must-revalidate".encode()
        return *_validators(response), (b"cache-control", age)

    @staticmethod
    async def _error(send: Send, status: str) -> None:
        await answer(send, 200, RESPONSE_TYPE, ocsp.error_response(status), NO_STORE)


@lru_cache(CACHE_SIZE)
def _validators(response: SignedResponse) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that stay the same as long as the response is used."""
    return (
        (b"last-modified", format_datetime(response.this_update, usegmt=True).encode()),
        (b"expires", format_datetime(response.next_update, usegmt=True).encode()),
        (b"etag", f'"{hashlib.sha256(response.encoded).hexdigest()}"'.encode()),
    )


async def report_health(service: OcspService, replica: StatusReplica, now: datetime) -> JSONResponse:
    """200 while the replica can be read and no responder certificate has expired.

    `primary` says whether the replica still follows it. That it is away is reported but does not make the node
    unhealthy: answering without it is what it is for.
    """
    ends = service.ends
    report: dict[str, object] = {
        "primary": "away",
        "responders": {authority: end.isoformat() for authority, end in ends.items()},
        "days_to_end": ending(ends, now),
    }
    healthy = all(end > now for end in ends.values())
    try:
        age = await replica.age_seconds()
        report |= {"database": "reachable", "replication_age_seconds": age}
        if age is not None and age <= PRIMARY_SILENCE_SECONDS:
            report["primary"] = "following"
    except StatusUnavailableError:
        report["database"] = "unreachable"
        healthy = False
    return JSONResponse({"healthy": healthy, **report}, 200 if healthy else 503)


def build_app(
    service: OcspService, replica: StatusReplica, contact: PrimaryContact, threads: SigningThreads
) -> ASGIApp:
    """The application over services that are ready to use; it opens and closes the replica, and watches the primary."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with replica, told(service.ends), beside(contact.watch()):
            settle()
            yield
        threads.close()

    async def health(_request: Request) -> Response:
        return await report_health(service, replica, utc_now())

    other = Starlette(routes=[Route("/health", health, methods=["GET"])], lifespan=lifespan)
    return PlainApp(OcspEndpoint(service), other)


def create_app() -> ASGIApp:
    """The application of the settings that KEPIL_SETTINGS names (`uvicorn --factory`).

    Raises SettingsError, CredentialError, SignerError: what is wrong then shows when the service starts.
    """
    configure_logging()
    settings = OcspSettings.from_environment()
    validity = timedelta(hours=settings.validity_hours)
    responders = []
    for one in settings.responders:
        issuer = read_certificate(one.issuer)
        credential = Credential.open(one, purpose="ocsp_signing", issuer=issuer)
        responders.append(Responder(one.authority, issuer, credential, validity))
    threads, replica = SigningThreads(), StatusReplica(settings.database)
    contact = PrimaryContact(replica.age_seconds, settings.primary_heard)
    service = OcspService(responders, GatheredLookups(replica), threads, known_at=contact.known_at)
    return build_app(service, replica, contact, threads)
