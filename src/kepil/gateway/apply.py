"""Bring the kernel's sets to what policy and clock say; run by a timer twice a minute, and when the policy changes."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path

from kepil.gateway.located import GatewayError
from kepil.gateway.policy import Policy
from kepil.gateway.rules import TABLE, elements, script

Nft = Callable[[str, list[str]], str]
"""Run nft with a text on standard input and arguments; give its output. Raises GatewayError."""


def apply(policy: Policy, blocked: frozenset[IPv4Address], at: datetime, skeleton: Path, state: Path, nft: Nft) -> bool:
    """Apply what is wanted, unless the kernel holds it already; whether anything changed.

    The whole table is made anew where it is gone (another rule set was loaded over it). Elements are replaced in one
    transaction. Raises GatewayError where nft refuses; what is in force then stays, and ends by its own timeouts.
    """
    wanted = elements(policy, blocked, at)
    digest = hashlib.sha256("\n".join(f"{each.set} {each.key} {each.closes}" for each in wanted).encode()).hexdigest()
    stands = _stands(nft)
    if stands and state.exists() and state.read_text(encoding="ascii") == digest:
        return False
    try:
        nft(("" if stands else skeleton.read_text(encoding="utf-8")) + script(wanted, at), ["--file", "-"])
    except OSError as error:
        raise GatewayError(f"{skeleton}: cannot be read: {error.strerror}; converge role gateway writes it") from error
    state.write_text(digest, encoding="ascii")
    return True


def _stands(nft: Nft) -> bool:
    return f"table {TABLE}" in nft("", ["list", "tables"]).splitlines()


def run_nft(text: str, arguments: list[str]) -> str:
    """nft, for real."""
    try:
        done = subprocess.run(["nft", *arguments], input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise GatewayError("nft is not there: install nftables") from error
    if done.returncode != 0:
        raise GatewayError(f"nft {arguments[0]}: {' '.join(done.stderr.split())[:500]}")
    return done.stdout
