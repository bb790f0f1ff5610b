"""ASGI without a framework, for what is asked most: routing and wrapping would cost as much as the answer."""

import gc
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from kepil.pki.web.body import LIMIT_BYTES, BodyTooLargeError

NO_STORE = (b"cache-control", b"no-store")


def is_not_health(scope: Scope) -> bool:
    """Whether it is a request for anything but `/health`."""
    return bool(scope["type"] == "http" and scope["path"] != "/health")


class PlainApp:
    """The requests that are `plain` go straight to the endpoint; all others and the lifespan are the other app's."""

    def __init__(self, endpoint: ASGIApp, other: ASGIApp, plain: Callable[[Scope], bool] = is_not_health) -> None:
        self._endpoint, self._other, self._plain = endpoint, other, plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await (self._endpoint if self._plain(scope) else self._other)(scope, receive, send)


def settle() -> None:
    """Say that start is over: what it made is never garbage, and no collection looks at it while a requester waits."""
    gc.collect()
    gc.freeze()


def media_type(scope: Scope) -> str:
    """The Content-Type without parameters, in lower case; empty when there is none."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            return str(value.partition(b";")[0].strip().lower(), "latin-1")
    return ""


async def read_body(receive: Receive, limit: int = LIMIT_BYTES) -> bytes:
    """Read the body, stopping where it exceeds the limit; a client that goes away ends it. Raises BodyTooLargeError."""
    event = await receive()
    body: bytes = event.get("body", b"")
    while event.get("more_body") and len(body) <= limit:
        event = await receive()
        body += event.get("body", b"")
    if len(body) > limit:
        raise BodyTooLargeError(f"more than {limit} bytes")
    return body


async def answer(send: Send, status: int, content_type: bytes, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a whole response."""
    fixed = ((b"content-type", content_type), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, status: int, why: str, *headers: tuple[bytes, bytes]) -> None:
    """Send an error of HTTP itself, as a line of text."""
    await answer(send, status, b"text/plain; charset=utf-8", f"{why}\n".encode(), *headers)
