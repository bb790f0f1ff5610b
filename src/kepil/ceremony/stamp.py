"""Has a journal's head stamped over HTTP (RFC 3161 section 3.4), when there is a network again.

OpenSSL makes the query, with a nonce, and judges the answer; nothing comes into the bundle before all of it holds.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urldefrag, urlsplit
from urllib.request import Request, urlopen

from kepil.ceremony.bundle import TOKENS
from kepil.ceremony.course import follow
from kepil.ceremony.engine import JOURNAL
from kepil.ceremony.timestamp import CHAIN, TOKEN, check_token, check_tokens
from kepil.errors import KepilError
from kepil.journal.chain import Journal
from kepil.signed.document import write_once

QUERY_TYPE, REPLY_TYPE = "application/timestamp-query", "application/timestamp-reply"
LARGEST_REPLY = 65536
"""Octets. A token with its chain has about 6,000."""
PATIENCE_SECONDS = 30


class StampError(KepilError):
    """The head was not stamped; the message names the authority, and nothing came into the bundle."""


def stamp(bundle: Path, authorities: Sequence[str], anchors: Path, chain: Path | None = None) -> list[str]:
    """Have a bundle's head stamped by these authorities, and return who stamped it, and when. Raises KepilError.

    An authority is a URL, with `#OID` where a policy is to be asked for. `chain` holds certificates that its answer may
    lack. With the tokens that the bundle has already, at least two authorities must have stamped.
    """
    course = follow(Journal(bundle / JOURNAL).entries())
    if course.phase != "closed":
        raise StampError(f"{bundle}: the ceremony is not over: its head is not the last one")
    with tempfile.TemporaryDirectory(prefix="kepil-stamp-") as folder:
        fresh = Path(folder, TOKENS)
        shutil.copytree(bundle / TOKENS, fresh) if (bundle / TOKENS).exists() else fresh.mkdir()
        before = {path.name for path in fresh.iterdir()}
        for authority in authorities:
            _obtain(authority, course.head, fresh, anchors, chain)
        stamped = check_tokens(fresh, course.head, anchors)
        (bundle / TOKENS).mkdir(exist_ok=True)
        for path in sorted(fresh.iterdir()):
            if path.name not in before:
                write_once(bundle / TOKENS / path.name, path.read_bytes())
    return stamped


def _obtain(authority: str, head: str, folder: Path, anchors: Path, chain: Path | None) -> None:
    """An authority's answer, in the folder under the authority's name. Raises KepilError."""
    url, policy = urldefrag(authority)
    host = urlsplit(url).hostname
    if urlsplit(url).scheme not in ("http", "https") or not host:
        raise StampError(f"{authority}: not the URL of an authority: http://HOST/, or http://HOST/#POLICY")
    token = folder / f"{'-'.join(filter(None, (host, policy)))}{TOKEN}"
    if token.exists():
        raise StampError(f"{authority}: its token {token.name} is there already: an authority stamps once")
    query = folder.parent / f"{token.stem}.tsq"
    _query(query, head, policy)
    token.write_bytes(_post(url, query.read_bytes()))
    if chain is not None:
        shutil.copyfile(chain, token.with_suffix(CHAIN))
    try:
        check_token(token, head, anchors, query=query)
    except KepilError as error:
        raise StampError(f"{authority}: {error}; nothing came into the bundle") from error


def _query(path: Path, head: str, policy: str) -> None:
    """A query with a nonce, which asks for the certificates."""
    words = ["openssl", "ts", "-query", "-digest", head, "-sha256", "-cert", "-out", str(path)]
    words += ["-tspolicy", policy] if policy else []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StampError(f"openssl made no query for the policy {policy or '(none)'}: {done.stderr.strip()}")


def _post(url: str, query: bytes) -> bytes:
    asked = Request(url, data=query, headers={"Content-Type": QUERY_TYPE})  # noqa: S310 -- http or https, as was seen to
    try:
        with urlopen(asked, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 -- likewise
            kind, content = answer.headers.get_content_type(), answer.read(LARGEST_REPLY + 1)
    except (OSError, HTTPException) as error:
        raise StampError(f"{url}: no answer from this authority: {error}") from error
    if kind != REPLY_TYPE or len(content) > LARGEST_REPLY:
        raise StampError(f"{url}: the answer is no time stamp: {kind}, {len(content)} octets")
    return bytes(content)
