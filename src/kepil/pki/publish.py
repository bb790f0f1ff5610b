"""Putting CRLs and certificates on the repository hosts: HTTPS PUT under mutual TLS (CP-2.1, CP-2.3, CP-6.7)."""

import http.client
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from kepil.errors import KepilError

_TIMEOUT_SECONDS = 20


class PublishError(KepilError):
    """One or more repository hosts did not take a file; the message names each. What others took stays there."""


def publish(files: Sequence[Path], urls: list[str], *, certificate: Path, key: Path, ca: Path) -> None:
    """Put every file, by its name, under every URL (which ends in a slash); every host is tried whatever others do.

    `certificate` and `key` are the TLS client identity, `ca` vouches for the hosts. Raises PublishError after the last.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise PublishError(
            f"cannot load the TLS identity {certificate}, {key} and {ca}: {error}; run role internal_tls again"
        ) from error
    with ThreadPoolExecutor(max_workers=8) as pool:
        failures = [failure for found in pool.map(lambda url: _put_all(files, url, context), urls) for failure in found]
    if failures:
        raise PublishError("; ".join(failures) + "; mend the host, then run `kepil ca publish`")


def _put_all(files: Sequence[Path], url: str, context: ssl.SSLContext) -> list[str]:
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        return [f"{url} is not an https URL"]
    failures = []
    connection = http.client.HTTPSConnection(
        parts.hostname, parts.port or 443, timeout=_TIMEOUT_SECONDS, context=context
    )
    try:
        for path in files:
            with path.open("rb") as content:  # sent a block at a time
                length = {"Content-Length": str(path.stat().st_size)}
                connection.request("PUT", parts.path + path.name, body=content, headers=length)
            response = connection.getresponse()
            response.read()
            if response.status not in (200, 201, 204):
                failures.append(f"{url}{path.name}: {response.status} {response.reason}")
    except (OSError, http.client.HTTPException) as error:
        failures.append(f"{url}: {error or type(error).__name__}")
    finally:
        connection.close()
    return failures
