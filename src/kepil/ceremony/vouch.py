"""Which certificates may be deployed: those that a completed ceremony made, as its verified bundle proves (CP-2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kepil.ceremony.bundle import SEAL
from kepil.ceremony.verify import verify_bundle
from kepil.errors import KepilError
from kepil.pki.credential import read_certificate
from kepil.signed.signatures import AllowedSigners


class VouchError(KepilError):
    """No ceremony vouches for a certificate; the message names it, its fingerprint and the bundles that were read."""


def vouched(
    folder: Path, signers: AllowedSigners, anchors: Path | None = None, environment: str | None = None
) -> dict[str, str]:
    """Name of the bundle for the SHA-256 fingerprint of each certificate that the bundles in a folder prove.

    Raises KepilError where any of them does not hold: one that was tampered with is not passed over, nor is one of
    another environment where `environment` is named.
    """
    known: dict[str, str] = {}
    for bundle in sorted(path.parent for path in folder.glob(f"*/{SEAL}")):
        proved = verify_bundle(bundle, signers, anchors=anchors)
        if environment not in (None, proved.environment):
            raise VouchError(
                f"{bundle}: a ceremony of {proved.environment}, vouching for nothing in {environment}: take it away"
            )
        known |= dict.fromkeys(proved.vouches, bundle.name)
    return known


def check_vouched(
    certificates: Sequence[Path],
    folder: Path,
    signers: AllowedSigners,
    anchors: Path | None = None,
    environment: str | None = None,
) -> dict[Path, str]:
    """The bundle that vouches for each certificate. Raises VouchError that names all for which there is none."""
    known = vouched(folder, signers, anchors, environment)
    fingerprints = {path: read_certificate(path).sha256.hex() for path in certificates}
    lacking = [f"{path} (SHA-256 {found})" for path, found in fingerprints.items() if found not in known]
    if lacking:
        raise VouchError(
            f"no ceremony vouches for {', '.join(lacking)}: {folder} has the bundles "
            f"{', '.join(sorted(set(known.values()))) or 'of none'}. Hold the ceremony, or bring its bundle there"
        )
    return {path: known[found] for path, found in fingerprints.items()}
