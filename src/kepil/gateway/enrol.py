"""Enrolment: a signed application becomes an organisation's file, or is refused and changes nothing (GW-15)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from kepil.gateway import organisations
from kepil.gateway.application import Application, organisation_of, read_application
from kepil.gateway.calendar import day_of
from kepil.gateway.cms import SignatureRefusedError, Trust, UndecidedError, verify
from kepil.gateway.located import GatewayError, Located, read
from kepil.gateway.organisation import Organisation
from kepil.gateway.register import Register
from kepil.gateway.settings import Settings, read_ground


@dataclass(frozen=True)
class Enrolled:
    """What an application led to."""

    identity: str
    organisation: Organisation
    path: Path
    changed: bool
    """Whether the file was written now; False where this application was carried out before."""


def enrol(
    signed: Path,
    inventories: Path,
    environment: str,
    settings: Settings,
    trust: Trust,
    register: Register,
    at: datetime,
) -> Enrolled:
    """Carry out a signed application. Raises GatewayError with the reason, which the register then has, too;
    UndecidedError where the reason is not the application's, which then stays received."""
    came = _bytes(signed)
    sha256 = hashlib.sha256(came).hexdigest()
    today = day_of(at)
    register.receive(sha256, today, came)
    received = register.items()[sha256].received
    try:
        content = verify(signed, trust, at)
        application = read_application(content.content, signed, received, settings.categories).value
        if application.bin != content.bin:
            raise SignatureRefusedError(
                f"{signed}: the application is of BIN {application.bin}, the signature of BIN {content.bin} "
                f"(certificate {content.serial}): someone else's signature opens nothing"
            )
        enrolled = _write(application, sha256, received, today, inventories, environment, settings)
    except UndecidedError as error:
        register.put_off(sha256, " ".join(str(error).split()))
        raise
    except GatewayError as error:
        register.decide(sha256, "refused", note=" ".join(str(error).split()))
        raise
    if enrolled.changed:
        register.decide(sha256, "accepted", bin=application.bin, organisation=enrolled.identity)
    return enrolled


def _write(
    application: Application,
    sha256: str,
    received: date,
    today: date,
    inventories: Path,
    environment: str,
    settings: Settings,
) -> Enrolled:
    path = organisations.folder(inventories, environment) / f"{application.organisation}.yml"
    files, ground = _standing(inventories, environment, settings)
    if path.stem in files:
        before = files.pop(path.stem).value
        if before.application.sha256 == sha256:
            return Enrolled(path.stem, before, path, changed=False)
        _check_successor(path, before, application)
    wanted = organisation_of(application, sha256, received, today)
    mine = Located(path, wanted, yaml.compose(_text(wanted), Loader=yaml.BaseLoader) or yaml.ScalarNode("", ""))
    organisations.check_together(files | {path.stem: mine}, settings.categories, ground)
    write_organisation(path, wanted)
    return Enrolled(path.stem, wanted, path, changed=True)


def _check_successor(path: Path, before: Organisation, application: Application) -> None:
    if before.bin != application.bin:
        raise GatewayError(
            f"{path}: is the file of BIN {before.bin}, not {application.bin}: choose another `organisation`"
        )
    if application.dated <= before.application.dated:
        raise GatewayError(
            f"{path}: follows from an application of {before.application.dated}; this one of {application.dated} is "
            "not newer: an old application opens nothing again, ask for a new one"
        )


def _standing(
    inventories: Path, environment: str, settings: Settings
) -> tuple[dict[str, Located[Organisation]], organisations.Ground]:
    """What is there before the application, which must hold by itself: else the reason is not the applicant's."""
    try:
        place = organisations.folder(inventories, environment)
        files = {path.stem: read(path, Organisation) for path in sorted(place.glob("*.yml"))}
        ground = read_ground(inventories, environment, settings)
        organisations.check_together(files, settings.categories, ground)
    except GatewayError as error:
        raise UndecidedError(f"the inventory does not hold, whatever the application says: {error}") from error
    return files, ground


def write_organisation(path: Path, organisation: Organisation) -> None:
    """Write an organisation's file in one step, as people read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(_text(organisation), encoding="utf-8")
    fresh.replace(path)


class _House(yaml.SafeDumper):
    """Lists are indented, as yamllint wants them in this project."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """One level more."""
        super().increase_indent(flow, False)


def _text(organisation: Organisation) -> str:
    stated: dict[str, Any] = organisation.model_dump(mode="json", exclude_defaults=True)
    return yaml.dump(stated, Dumper=_House, sort_keys=False, allow_unicode=True, width=120, explicit_start=True)


def _bytes(signed: Path) -> bytes:
    try:
        return signed.read_bytes()
    except OSError as error:
        raise GatewayError(f"{signed}: cannot be read: {error.strerror}") from error
