"""Time stamps over HTTP (RFC 3161 section 3.4)."""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kepil.pki import tsp
from kepil.pki.clock import ChronyClock, Clock, ClockError
from kepil.pki.credential import Credential, read_certificate
from kepil.pki.settings import TspSettings
from kepil.pki.signer import SignerError
from kepil.pki.signing import SigningThreads
from kepil.pki.tsp import StampingUnit
from kepil.pki.web.beside import beside
from kepil.pki.web.body import BodyTooLargeError
from kepil.pki.web.ending import ending, told, utc_now
from kepil.pki.web.log import configure_logging
from kepil.pki.web.plain import NO_STORE, PlainApp, answer, media_type, read_body, refuse, settle

REQUEST_TYPE = "application/timestamp-query"
RESPONSE_TYPE = b"application/timestamp-reply"

log = logging.getLogger(__name__)


class TspService:
    """Stamps encoded requests with one or more units."""

    def __init__(self, units: list[StampingUnit], threads: SigningThreads) -> None:
        self.units = units
        self._threads = threads

    @property
    def ends(self) -> dict[str, datetime]:
        """When the certificate of each unit ends, by the unit's policy."""
        return {unit.policy: unit.ends for unit in self.units}

    async def answer(self, encoded: bytes) -> bytes:
        """The TimeStampResp: a token or a rejection. Raises nothing."""
        try:
            request = tsp.read_request(encoded)
            unit = tsp.choose_unit(self.units, request.policy)
            return unit.stamp(request) if unit.in_process else await self._threads.run(unit.stamp, request)
        except tsp.RejectionError as error:
            return tsp.rejection(error)
        except SignerError as error:
            log.error("%s", error)
        except Exception:
            log.exception("a request could not be answered")
        return tsp.rejection(tsp.RejectionError("the service is out of order; try later"))


class TspEndpoint:
    """The HTTP side of a TspService."""

    def __init__(self, service: TspService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request in the body; rejections, too, are HTTP 200 (RFC 3161 section 3.4)."""
        if scope["path"] != "/":
            await refuse(send, 404, "post to /")
        elif scope["method"] != "POST":
            await refuse(send, 405, "use POST", (b"allow", b"POST"))
        elif media_type(scope) != REQUEST_TYPE:
            await refuse(send, 415, f"send {REQUEST_TYPE}")
        else:
            try:
                response = await self._service.answer(await read_body(receive))
            except BodyTooLargeError as error:
                response = tsp.rejection(tsp.BadDataFormatError(str(error)))
            await answer(send, 200, RESPONSE_TYPE, response, NO_STORE)


def report_health(service: TspService, clock: Clock) -> JSONResponse:
    """200 while every unit could stamp: clock within the accuracy, certificate not expired."""
    ends = service.ends
    report: dict[str, object] = {
        "units": {policy: end.isoformat() for policy, end in ends.items()},
        "days_to_end": ending(ends, utc_now()),
    }
    try:
        report["clock_error_seconds"] = round(clock.maximum_error_seconds(), 6)
        healthy = all(unit.ends > unit.time() for unit in service.units)
        report["clock"] = "synchronised"
    except (ClockError, tsp.TimeNotAvailableError) as error:
        report["clock"] = str(error)
        healthy = False
    return JSONResponse({"healthy": healthy, **report}, 200 if healthy else 503)


@asynccontextmanager
async def watching(clock: ChronyClock) -> AsyncIterator[None]:
    """Have the clock watched during the block."""
    await clock.measure()
    async with beside(clock.watch()):
        yield


def build_app(
    service: TspService, clock: Clock, threads: SigningThreads, background: AbstractAsyncContextManager[None]
) -> ASGIApp:
    """The application over services that are ready to use; `background` runs as long as it serves."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with background, told(service.ends):
            settle()
            yield
        threads.close()

    async def health(_request: Request) -> Response:
        return report_health(service, clock)

    other = Starlette(routes=[Route("/health", health, methods=["GET"])], lifespan=lifespan)
    return PlainApp(TspEndpoint(service), other)


def create_app() -> ASGIApp:
    """The application of the settings that KEPIL_SETTINGS names (`uvicorn --factory`).

    Raises SettingsError, CredentialError, SignerError: what is wrong then shows when the service starts.
    """
    configure_logging()
    settings = TspSettings.from_environment()
    clock = ChronyClock(settings.clock.every_seconds)
    units = [
        StampingUnit(
            one.policy,
            Credential.open(one, purpose="time_stamping"),
            [read_certificate(path) for path in one.chain],
            clock,
            timedelta(milliseconds=settings.accuracy_ms),
            milliseconds=settings.milliseconds,
        )
        for one in settings.units
    ]
    threads = SigningThreads()
    return build_app(TspService(units, threads), clock, threads, watching(clock))
