"""What people sign, as a file: YAML in which nothing is hidden and a scalar is the text that one sees."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from kepil.errors import KepilError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""Of an environment, a record, a review: a safe file name."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)]


DEEPEST = 32
"""Levels of mappings and lists that a document may have."""


class DocumentError(KepilError):
    """A document is not readable as what it should be; the message names file, key and what is allowed."""


class Document(BaseModel):
    """A signed statement: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


D = TypeVar("D", bound=Document)


def parse(content: bytes, model: type[D], where: Path) -> D:
    """The document that these bytes are.

    Raises DocumentError for what could read one way and mean another: characters that cannot be seen, a key stated
    twice, anchors, tags, a second document; and for what the model does not allow.
    """
    return build(model, compose(content, where)[1], where)


def compose(content: bytes, where: Path) -> tuple[yaml.Node | None, Any]:
    """What these bytes state, as YAML's nodes, which know their lines, and plainly; raises DocumentError as `parse`."""
    try:
        text = content.decode()
        _refuse_unseen(text)
        _refuse_indirection(text)
        node = yaml.compose(text, Loader=yaml.CBaseLoader)
        return node, _plain(node)
    except (ValueError, yaml.YAMLError) as error:
        raise DocumentError(f"{where}: {error}") from error


def build(model: type[D], stated: Any, where: Path) -> D:
    """The document that states this; raises DocumentError that names every wrong key."""
    try:
        return model.model_validate(stated)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors())
        raise DocumentError(f"{where}: {wrong}") from error


def write(path: Path, document: Document) -> None:
    """Write once, durably; raises DocumentError where the file is there already. What is unset stays unsaid."""
    stated = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    stated = {key: value for key, value in stated.items() if value != []}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_once(path, yaml.safe_dump(stated, sort_keys=False, allow_unicode=True, width=120).encode())


def write_once(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet; raises DocumentError where it is."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError as error:
        raise DocumentError(f"{path} is there already and is never replaced") from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)


def _refuse_unseen(text: str) -> None:
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        if not line.isprintable():
            raise ValueError(f"line {number} holds a character that cannot be seen (a tab, a carriage return, a mark)")


def _refuse_indirection(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CBaseLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:  # libyaml would compose it until the stack is full
            raise ValueError(f"more than {DEEPEST} levels of nesting: {str(event.start_mark).strip()}")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise ValueError(f"anchors, aliases and tags are not allowed: {str(event.start_mark).strip()}")


def _plain(node: yaml.Node | None) -> Any:
    """Mappings, lists and strings; no scalar is guessed to be a date, a number or a truth value."""
    match node:
        case yaml.MappingNode():
            keys = [_plain(key) for key, _ in node.value]
            for number, key in enumerate(keys):
                if not isinstance(key, str) or key in keys[:number]:
                    raise ValueError(f"line {node.value[number][0].start_mark.line + 1}: key {key!r} is stated twice")
            return dict(zip(keys, (_plain(value) for _, value in node.value), strict=True))
        case yaml.SequenceNode():
            return [_plain(item) for item in node.value]
        case yaml.ScalarNode():
            return node.value
        case _:
            raise ValueError("the file is empty")
