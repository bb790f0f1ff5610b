"""A throw-away key that signs what an authority's own key is about to, so that it can be looked at first.

It is of the authority's type, small, made when the process starts to issue, and in memory only from then on.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from kepil.pki.algorithm import KEY_KINDS, key_type
from kepil.pki.signer import Signer, SignerError


def throw_away_signer(real: Signer, config: Path | None) -> Signer:
    """A signer with a new key that signs by the same algorithm as `real`. Raises SignerError.

    `config` is the authority's openssl.cnf; only GOST needs it, for other keys it could reach into the HSM.
    """
    kind = key_type(real.public_key_info)
    row = KEY_KINDS[kind]
    name, option = row.openssl, row.trial or row.option
    config = config if kind.startswith("gost") else None
    with tempfile.TemporaryDirectory(prefix="kepil-rehearsal-") as folder:
        file = Path(folder, "key.pem")
        words = ["openssl", "genpkey", "-algorithm", name, "-out", str(file), *(["-pkeyopt", option] if option else [])]
        environment = os.environ | ({"OPENSSL_CONF": str(config)} if config else {})
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise SignerError(
                f"no throw-away key of type {name} can be made: {done.stderr.strip()}; check {config or 'openssl'}"
            )
        return Signer.open(str(file), config=config, digest=real.digest)
