"""Signatures of people over documents, made and verified by `ssh-keygen -Y` (PROTOCOL.sshsig of OpenSSH)."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import datetime
from pathlib import Path

from kepil.errors import KepilError
from kepil.signed.document import write_once

_PERSON = r"[a-z0-9][a-z0-9._+-]*(?:@[a-z0-9.-]+)?"
_OPTION = r'(?:namespaces|valid-after|valid-before)="[^"]*"'
_LINE = re.compile(
    rf"(?P<person>{_PERSON}) (?:{_OPTION}(?:,{_OPTION})* )?(?P<type>[a-z0-9@.-]+) (?P<key>[A-Za-z0-9+/]+=*)(?: .*)?"
)


class SignatureError(KepilError):
    """A signature does not hold, or is not there; the message names the file, the person and the remedy."""


class AllowedSigners:
    """A file of people and their keys; OpenSSH's format, with one person a line and no patterns.

    `namespace` says what the signatures are for: one made for something else does not count. Raises SignatureError
    for a line that could let one person count as two.
    """

    def __init__(self, path: Path, namespace: str) -> None:
        self.path = path
        self.namespace = namespace
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise SignatureError(f"{path}: the allowed signers cannot be read: {error}") from error
        self._holders: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                self._add(number, line)

    @property
    def people(self) -> set[str]:
        """Everyone who may sign, today or ever."""
        return set(self._holders.values())

    def holder(self, key: str) -> str | None:
        """Whose key this is (`TYPE BASE64`), if it is anybody's."""
        return self._holders.get(key.split()[1])

    def verify(self, content: bytes, signature: Path, person: str, at: datetime) -> None:
        """Raise SignatureError unless this person signed this content with a key that is valid at that time."""
        if person not in self.people:
            raise SignatureError(f"{signature}: '{person}' is no allowed signer: {self.path} names {self._names()}")
        done = self._ssh_keygen("verify", "-I", person, "-n", self.namespace, "-s", signature, at=at, content=content)
        expected = rf'Good "{re.escape(self.namespace)}" signature for {re.escape(person)} with \S+ key SHA256:\S+\n'
        if done.returncode != 0 or not re.fullmatch(expected, done.stdout.decode()):
            raise SignatureError(f"{signature}: no valid signature of '{person}' over the file beside it: {_why(done)}")

    def find(self, signature: Path, at: datetime) -> str:
        """Whose key made a signature; raises SignatureError where it is nobody's, or no longer valid."""
        done = self._ssh_keygen("find-principals", "-s", signature, at=at)
        found = done.stdout.decode().split()
        if done.returncode != 0 or len(found) != 1:
            raise SignatureError(
                f"the key is no allowed signer's at this time: {self.path} names {self._names()} ({_why(done)})"
            )
        return found[0]

    def _add(self, number: int, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise SignatureError(
                f"{self.path}: line {number}: not 'PERSON [OPTIONS] TYPE KEY' with one person in lower case, no "
                'pattern, and of the options only namespaces="…", valid-after="…" and valid-before="…"'
            )
        person, key = match["person"], match["key"]
        if self._holders.setdefault(key, person) != person:
            raise SignatureError(
                f"{self.path}: line {number}: this key is {self._holders[key]}'s already: one key, one person"
            )

    def _names(self) -> str:
        return ", ".join(sorted(self.people)) or "nobody"

    def _ssh_keygen(
        self, verb: str, *arguments: str | Path, at: datetime, content: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return ssh_keygen(
            verb, "-f", self.path, *arguments, f"-Overify-time={at.strftime('%Y%m%d%H%M%S')}", content=content
        )


def signers(document: Path, content: bytes, allowed: AllowedSigners, at: datetime) -> tuple[str, ...]:
    """The different people who signed a document, by the signatures PERSON.sig beside it.

    Raises SignatureError where any of them does not hold: what is in doubt is not counted, and not passed over.
    """
    signatures = sorted(document.parent.glob("*.sig"))
    for signature in signatures:
        allowed.verify(content, signature, signature.stem, at)
    return tuple(signature.stem for signature in signatures)


def sign(document: Path, content: bytes, key: Path, allowed: AllowedSigners, at: datetime) -> str:
    """Sign with a key file, or with the agent's key of a public key file; return who that was.

    Writes PERSON.sig; raises SignatureError, and leaves nothing, where the key is no allowed signer's or the person
    has signed already.
    """
    made = make_signature(content, key, allowed.namespace)
    fresh = document.with_name(f".{document.name}.{os.getpid()}")
    write_once(fresh, made)
    try:
        person = allowed.find(fresh, at)
        allowed.verify(content, fresh, person, at)
    finally:
        fresh.unlink()
    signature = document.with_name(f"{person}.sig")
    if signature.exists():
        raise SignatureError(f"{person} has signed {document} already; the next signature is another person's")
    write_once(signature, made)
    return person


def make_signature(content: bytes, key: Path, namespace: str, *, quiet: bool = False) -> bytes:
    """Sign with a key file, or with the agent's key of a public key file. Raises SignatureError.

    Messages go to the terminal, where a security key asks to be touched, unless it is to be quiet.
    """
    stderr = subprocess.PIPE if quiet else None
    done = ssh_keygen("sign", "-f", key, "-n", namespace, content=content, stderr=stderr)
    if done.returncode != 0:
        raise SignatureError(f"{key}: ssh-keygen did not sign (exit {done.returncode})")
    return done.stdout


def ssh_keygen(
    verb: str, *arguments: str | Path, content: bytes = b"", stderr: int | None = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """`ssh-keygen -Y`, with messages in English and times in UTC whatever the machine's zone is."""
    environment = os.environ | {"LC_ALL": "C", "TZ": "UTC"}
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", verb, *arguments],
            input=content,
            stdout=subprocess.PIPE,
            stderr=stderr,
            check=False,
            env=environment,
        )
    except FileNotFoundError as error:
        raise SignatureError("ssh-keygen is not there: install openssh-client") from error


def _why(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").splitlines()
    return "; ".join(lines) or f"exit {done.returncode}"
