"""ASGI without a framework, for the two services in which routing and wrapping would cost more than the answer."""

import gc

from starlette.types import ASGIApp, Receive, Scope, Send

from kepil.pki.web.body import LIMIT_BYTES, BodyTooLargeError

NO_STORE = (b"cache-control", b"no-store")


class PlainApp:
    """Everything that is not `/health` goes straight to the endpoint; health and the lifespan are the other app's."""

    def __init__(self, endpoint: ASGIApp, other: ASGIApp) -> None:
        self._endpoint, self._other = endpoint, other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        plain = scope["type"] == "http" and scope["path"] != "/health"
        await (self._endpoint if plain else self._other)(scope, receive, send)


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
