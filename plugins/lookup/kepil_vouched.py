"""Certificates that verified ceremonies vouch for: types and errors are adapted here, the rest is in the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from kepil.ceremony.people import NAMESPACE
from kepil.ceremony.vouch import vouched
from kepil.errors import KepilError
from kepil.signed.signatures import AllowedSigners

DOCUMENTATION = """
name: kepil_vouched
short_description: Certificates that verified ceremonies vouch for
description: Gives one mapping of SHA-256 fingerprint to the name of the bundle; one broken bundle is an error.
options:
  _terms:
    description: The folder of bundles, the file of the participants' keys, and the environment.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """`lookup('kepil_vouched', bundles, signers, environment)`."""

    def run(self, terms: list[str], variables: Any = None, **_: Any) -> list[dict[str, str]]:
        """The mapping, as the one result."""
        bundles, signers, environment = (str(term) for term in terms)
        try:
            known = vouched(Path(bundles), AllowedSigners(Path(signers), NAMESPACE), environment=environment)
        except (KepilError, OSError) as error:
            raise AnsibleLookupError(str(error)) from error
        return [known]
