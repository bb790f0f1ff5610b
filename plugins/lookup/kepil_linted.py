"""What pkilint has nothing against: types and errors are adapted here, the rest is in the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from kepil.ceremony.pkilint import lint_draft
from kepil.errors import KepilError

DOCUMENTATION = """
name: kepil_linted
short_description: Lint drafts of certificates and CRLs with pkilint
description: Gives C(tbs_sha256) and C(linter) of each file in which nothing was found; a finding is an error.
options:
  _terms:
    description: Certificates, or CRLs (C(.crl)), or their drafts, on the controller.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """`lookup('kepil_linted', draft)`."""

    def run(self, terms: list[str], variables: Any = None, **_: Any) -> list[dict[str, str]]:
        """One mapping a file, in their order."""
        try:
            return [lint_draft(Path(str(term))) for term in terms]
        except (KepilError, OSError) as error:
            raise AnsibleLookupError(str(error)) from error
