"""Files that people write for the gateway: strict YAML whose errors name file, line, key and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from kepil.errors import KepilError
from kepil.pki.name import is_identification_number
from kepil.signed.document import DocumentError, compose


class GatewayError(KepilError):
    """What the gateway was given cannot be; the message names the file, the line, what is wrong and the remedy."""


class Stated(BaseModel):
    """A part of a file: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=Stated)


@dataclass(frozen=True)
class Located(Generic[M]):
    """What a file states, and where."""

    path: Path
    value: M
    node: yaml.Node

    def at(self, *key: str | int) -> str:
        """`file:line` of a key, or of the last part of it that is there."""
        return f"{self.path}:{line_of(self.node, key)}"


def read(path: Path, model: type[M]) -> Located[M]:
    """The document in a file; raises GatewayError that names file and line of every wrong key."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GatewayError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(content, path, model)


def parse(content: bytes, path: Path, model: type[M]) -> Located[M]:
    """The document that these bytes are; raises GatewayError that names file and line of every wrong key."""
    try:
        node, stated = compose(content, path)
    except DocumentError as error:
        raise GatewayError(" ".join(str(error).split())) from error
    assert node is not None  # noqa: S101 -- `compose` refuses an empty file
    try:
        return Located(path, model.model_validate(stated), node)
    except ValidationError as error:
        raise GatewayError("; ".join(_explain(path, node, each) for each in error.errors())) from error


def line_of(node: yaml.Node, key: Sequence[str | int]) -> int:
    """The line on which a key stands, counted from 1."""
    line = node.start_mark.line + 1
    for part in key:
        match node:
            case yaml.MappingNode():
                found = next(((k, v) for k, v in node.value if k.value == part), None)
                if found is None:
                    return line
                line, node = found[0].start_mark.line + 1, found[1]
            case yaml.SequenceNode() if isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            case _:
                return line
    return line


def _explain(path: Path, node: yaml.Node, error: Any) -> str:
    key = ".".join(map(str, error["loc"])) or "document"
    return f"{path}:{line_of(node, error['loc'])}: {key}: {error['msg'].removeprefix('Value error, ')}"


def _check_bin(text: str) -> str:
    if not is_identification_number(text):
        raise ValueError(f"{text!r} is no BIN: twelve digits, the last the check digit; copy it from the register")
    return text


def _plain_date(value: Any) -> Any:
    if isinstance(value, str):
        try:
            if len(value) != len("2026-11-21"):
                raise ValueError
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no date: write it as 2026-11-21") from error
    return value


Identity = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Of an organisation, an operator, a category: a safe file name."""
Line = Annotated[str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True)]
Bin = Annotated[str, AfterValidator(_check_bin)]
"""Business identification number: twelve digits, the last the check digit (CP-3.2)."""
Day = Annotated[date, BeforeValidator(_plain_date)]
"""A day of Kazakhstan's calendar, written 2026-11-21."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Email = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,190}$")]
