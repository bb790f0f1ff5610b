"""SHA-256 of files on the controller, read by the worker itself."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: kepil_sha256
short_description: SHA-256 of files on the controller
description: Gives the SHA-256 of each file, hexadecimal. A file that cannot be read is an error.
options:
  _terms:
    description: The files.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """`lookup('kepil_sha256', path)`."""

    def run(self, terms: list[str], variables: Any = None, **_: Any) -> list[str]:
        """One hash a file, in their order."""
        try:
            return [sha256(Path(str(term)).read_bytes()).hexdigest() for term in terms]
        except OSError as error:
            raise AnsibleLookupError(f"{error.filename}: {error.strerror}") from error
