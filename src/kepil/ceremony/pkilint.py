"""pkilint, a linter of other hands, on the machine that directs a ceremony; and the findings that are meant."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

import yaml

from kepil.errors import KepilError
from kepil.pki.credential import read_certificate
from kepil.pki.crl_content import read_crl

WAIVERS: Final = Path(__file__).with_name("pkilint_waivers.yml")


class PkilintError(KepilError):
    """The linter found something, or could not look; the message lists what. Nothing is signed then."""


def findings(linter: str, *arguments: str) -> dict[str, str]:
    """What the linter found, code to place, less what the waiver file justifies. Raises PkilintError."""
    program = Path(sys.executable).parent / linter  # beside this Python, whatever PATH says
    try:
        done = subprocess.run(
            [program, "lint", "--severity", "INFO", "--format", "JSON", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        results = json.loads(done.stdout)["results"]
    except (OSError, ValueError, KeyError) as error:
        raise PkilintError(f"{program} did not look at {arguments[-1]}: {error}") from error
    waived = {entry["code"] for entry in yaml.safe_load(WAIVERS.read_text(encoding="utf-8"))}
    return {
        description["code"]: f"{description['severity']} {result['node_path']} {description['message'] or ''}"
        for result in results
        for description in result["finding_descriptions"]
        if description["code"] not in waived
    }


def lint_draft(path: Path) -> dict[str, str]:
    """SHA-256 of the bytes to be signed of a certificate or CRL (`.crl`) in which nothing was found, and who looked.

    Raises PkilintError with what was found (RFC 5280).
    """
    tbs_sha256, found = _crl(path) if path.suffix == ".crl" else _certificate(path)
    if found:
        told = "; ".join(f"{code}: {place.strip()}" for code, place in sorted(found.items()))
        raise PkilintError(f"{path}: nothing may be signed: {told}")
    return {"tbs_sha256": tbs_sha256, "linter": f"pkilint {version('pkilint')}"}


def _certificate(path: Path) -> tuple[str, dict[str, str]]:
    tbs = read_certificate(path)["tbs_certificate"]
    found = findings("lint_pkix_cert", str(path))
    if tbs["issuer"] == tbs["subject"]:  # RFC 5280 section 4.2.1.1; the root's own key has not signed yet
        found.pop("pkix.authority_key_identifier_extension_absent", None)
    return sha256(tbs.dump()).hexdigest(), found


def _crl(path: Path) -> tuple[str, dict[str, str]]:
    return read_crl(path).tbs_sha256, findings("lint_crl", "--type", "CRL", "--profile", "PKIX", str(path))
