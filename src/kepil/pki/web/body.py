"""Request bodies, read within limits."""

from starlette.requests import Request

LIMIT_BYTES = 8192
"""No OCSP or time-stamp request of good faith comes near it."""


class BodyTooLargeError(Exception):
    """The body has more bytes than the limit."""


async def read_body(request: Request, limit: int = LIMIT_BYTES) -> bytes:
    """Read the body, stopping where it exceeds the limit. Raises BodyTooLargeError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLargeError(f"more than {limit} bytes")
    return bytes(body)
