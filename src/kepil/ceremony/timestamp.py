"""Time stamps (RFC 3161) of a journal's head by two authorities: who rewrites everything cannot rewrite the time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from asn1crypto import tsp

from kepil.errors import KepilError

AUTHORITIES = 2
"""How many different authorities stamp a head, told apart by who certified them."""


class TokenError(KepilError):
    """A time stamp does not hold; the message names its file."""


def check_tokens(folder: Path, head: str, anchors: Path | None) -> list[str]:
    """Who stamped the head and when, where there are tokens; an empty list where there are none yet.

    Raises TokenError where one does not hold, or there are fewer than two authorities, or anchors to check by are
    lacking. Tokens are `openssl ts -reply` responses, `NAME.tsr`.
    """
    tokens = sorted(folder.glob("*")) if folder.is_dir() else []
    if not tokens:
        if anchors is not None:
            raise TokenError(f"{folder}: the head is to be stamped, and no token is there")
        return []
    if anchors is None:
        raise TokenError(f"{folder}: tokens are there: give the authorities' certificates to check them by (--anchors)")
    stamped = dict(_check(token, head, anchors) for token in tokens)
    if len(stamped) < AUTHORITIES:
        raise TokenError(f"{folder}: stamped by {', '.join(stamped)} alone; two different authorities are needed")
    return [f"{authority}, {time}" for authority, time in stamped.items()]


def _check(token: Path, head: str, anchors: Path) -> tuple[str, str]:
    words = ["openssl", "ts", "-verify", "-digest", head, "-in", str(token), "-CAfile", str(anchors)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise TokenError(f"{token}: no valid time stamp of the journal's head {head}: {reason}")
    try:
        signed = tsp.TimeStampResp.load(token.read_bytes())["time_stamp_token"]["content"]
        authority = signed["signer_infos"][0]["sid"].chosen["issuer"].human_friendly
        time = signed["encap_content_info"]["content"].parsed["gen_time"].native
    except (ValueError, TypeError, KeyError) as error:
        raise TokenError(f"{token}: cannot be read: {error}") from error
    return authority, f"{time:%Y-%m-%dT%H:%M:%SZ}"
