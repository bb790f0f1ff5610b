"""Why a certificate may not be deployed any more: types and errors are adapted here, the rest is in the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from kepil.ceremony.descent import DescentError, check_descent
from kepil.errors import KepilError

DOCUMENTATION = """
name: kepil_descent
short_description: Why a certificate may not be deployed any more
description: Gives a text, empty where the issuer in service made the certificate and nobody revoked it.
options:
  _terms:
    description: The folder of ceremonies' outputs, the certificate's name there, and its issuer's.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """`lookup('kepil_descent', folder, name, issuer)`."""

    def run(self, terms: list[str], variables: Any = None, **_: Any) -> list[str]:
        """The reason, as the one result."""
        folder, name, issuer = (str(term) for term in terms)
        try:
            check_descent(Path(folder), name, issuer)
        except DescentError as error:
            return [str(error)]
        except (KepilError, OSError, ValueError) as error:
            raise AnsibleLookupError(str(error)) from error
        return [""]
