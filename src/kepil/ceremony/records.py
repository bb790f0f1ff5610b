"""What the ceremonies' playbooks keep of an environment, and the evidence of a step that follows from it.

A folder, `ceremonies/ENVIRONMENT`, holds what was made (`NAME.crt`, `NAME.crl`, `medium/`) and a record of each thing
beside it (`keys/`, `partitions/`, `shares/`, `lint/`). Playbooks write it; nothing in it is secret.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kepil.ceremony.definition import Step, Thing
from kepil.ceremony.evidence import (
    FILES,
    describe_certificate,
    describe_crl,
    describe_file,
    describe_state,
    kind,
    name_of,
)
from kepil.ceremony.order import order_sha256
from kepil.ceremony.statement import TIME
from kepil.errors import KepilError
from kepil.journal.chain import Journal
from kepil.pki.algorithm import KEY_KINDS
from kepil.pki.crl_content import read_crl

ACCOUNT = "account"
"""Folder in the ceremony's, with what each partition says of its module and of its keys: PARTITION.json."""
DESTROYED = "destroyed"
"""Folder in the ceremony's, with a folder for each key, and in it a file for each host that destroyed it."""
OPENED = "opened"
"""Folder in the ceremony's, with who gave shares to open a partition, and how many it takes: PARTITION.json."""
FORMER = "former"
"""Folder in the ceremony's, with each root's CRL that stands again, as it came from its host after an abort."""
FORMER_CRL: Final = ".former.crl"
"""What follows a root's name in the name of such a CRL's medium."""
AGAIN: Final = "-again"
"""What follows a partition's name where a ceremony opens it a second time."""
WITHDRAWN, WITHDRAWN_CRL = "withdrawn", ".withdrawn.crl"
"""Folder with the last CRL of each root that was withdrawn, and what follows the root's name in its file's."""
RETIRED = "retired"
"""Folder with what was kept of certificates whose keys were destroyed, each in a folder of its fingerprint."""

STAYS = "was there before this ceremony, and stays"

WRAPPING = "CMS AuthEnvelopedData, AES-256-GCM"
"""How a partition is wrapped (playbooks/ceremonies/steps/wrap.sh)."""

_CURVES: Final = {"P-256": 256, "P-384": 384, "P-521": 521, "prime256v1": 256, "secp384r1": 384, "secp521r1": 521}


class RecordError(KepilError):
    """A playbook left no record of what it was to make, or an incomplete one. The message names file and remedy."""


class Records:
    """The records of one environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def evidence(self, step: Step, hall: Path) -> dict[str, Any]:
        """What the act of a step left, as the journal takes it; its files are copied into the hall. Raises KepilError.

        A playbook that was to destroy things looked for them in vain, or failed; their records go then.
        """
        (hall / FILES).mkdir(exist_ok=True)
        stated: dict[str, Any] = {"made": {thing: self._made(thing, step, hall) for thing in step.makes}}
        accounts = {path.stem: read(path) for path in sorted((hall / ACCOUNT).glob("*.json"))}
        stated["modules"] = [one["module"] for one in accounts.values()]
        if step.account:
            if not accounts:
                raise RecordError(f"step {step.id}: no host gave an account: its playbook reaches none of {step.at}")
            stated["account"] = _account(accounts)
        if step.destroys:
            stated["destroyed"] = {thing: self._destroyed(thing, hall) for thing in step.destroys}
            for key in (thing for thing in step.destroys if kind(thing) == "key"):
                self._retire(name_of(key))
        return stated

    def receive(self, arrived: Path) -> None:
        """Keep what came out of the offline root, once its medium was checked. An interrupted run is repeated.

        A certificate without its record waits on the medium's folder until its key's host has accepted it.
        """
        for file in sorted(arrived.iterdir(), key=lambda file: file.suffix == ".json"):  # the record goes last
            waits = file.suffix == ".crt" and not file.with_suffix(".json").exists()
            target = self.folder / ("medium" if waits else "") / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(file, target)

    def older(self, thing: Thing, hall: Path) -> bool:
        """Whether a thing was made before the ceremony in the hall began: then it is not that ceremony's to destroy."""
        opened = Journal(hall / "journal.jsonl").entries()[0].time
        kept = next((path for name in _kept(thing) if (path := self.folder / name).exists()), None)
        if kept is None:
            return False
        written = datetime.fromtimestamp(kept.stat().st_mtime, UTC).strftime(TIME)  # of what has no record of its own
        made = read(kept).get("performed_at", written) if kept.suffix == ".json" else written
        return str(made) < opened

    def forget(self, thing: Thing, hall: Path) -> str:
        """Remove what is kept of a thing that was destroyed where it was made, and say how it was.

        Raises RecordError for a key that no host says it destroyed.
        """
        destroyed = hall / DESTROYED / name_of(thing)
        if kind(thing) == "key" and not destroyed.exists():
            raise RecordError(f"{thing}: no host of the ceremony destroyed it: find out where it is")
        if kind(thing) == "shares":
            self._forget_shares(name_of(thing))
            return "encrypted shares removed"
        if kind(thing) == "crl" and (former := hall / FORMER / f"{name_of(thing)}.crl").exists():
            self._bring_back(former)
            return "withdrawn, and the CRL before it stands again; its number stays taken"
        if kind(thing) == "crl" and self.older(thing, hall):
            return STAYS
        for name in _kept(thing):
            (self.folder / name).unlink(missing_ok=True)
        if kind(thing) == "key":
            hosts = ", ".join(sorted(path.name for path in destroyed.iterdir()))
            return f"destroyed on {hosts}, and looked for in vain"
        gone = {
            "partition": "token and activation data removed",
            "opened": "activation data shredded",
            "state": "what was brought in stays, as it was before",
        }
        return gone.get(kind(thing), "file removed")

    def _bring_back(self, former: Path) -> None:
        """Let a CRL stand again. What was signed in its place is kept, for its number stays taken."""
        kept = self.folder / WITHDRAWN / f"{former.stem}{WITHDRAWN_CRL}"
        told, signed = former.with_name(kept.name), self.folder / former.name
        kept.parent.mkdir(exist_ok=True)
        if told.exists():
            _replace(told, kept)
        elif signed.exists() and signed.read_bytes() != former.read_bytes():
            _replace(signed, kept)
        _replace(former, self.folder / former.name)

    def _destroyed(self, thing: Thing, hall: Path) -> str:
        """Forget a thing, unless an interrupted run did, and what now has its name was made by this ceremony."""
        following = self.folder / "shares" / f"{name_of(thing)}-next.json"
        if kind(thing) == "shares" and not following.exists() and not self.older(thing, hall):
            return "encrypted shares removed"
        return self.forget(thing, hall)

    def _forget_shares(self, name: str) -> None:
        """Remove shares; those that were handed out in their place take their name."""
        record, following = (self.folder / "shares" / f"{one}.json" for one in (name, f"{name}-next"))
        encrypted, follow = record.with_suffix(""), following.with_suffix("")
        if follow.exists() or not following.exists():  # else they have taken it already
            shutil.rmtree(encrypted, ignore_errors=True)
        record.unlink(missing_ok=True)
        if follow.exists():
            follow.rename(encrypted)
        if following.exists():
            record.write_text(json.dumps({**read(following), "name": name}), encoding="utf-8")
            following.unlink()

    def _retire(self, name: str) -> None:
        """Lay aside the certificate of a key that was destroyed, so that another can be made under the same name."""
        record = self.folder / f"{name}.json"
        if not record.exists():
            return
        retired = self.folder / RETIRED / str(read(record)["sha256"])
        for kept in (*_kept(f"request:{name}"), *reversed(_kept(f"certificate:{name}"))):  # the record goes last
            if (path := self.folder / kept).exists():
                (retired / kept).parent.mkdir(parents=True, exist_ok=True)
                path.rename(retired / kept)

    def _made(self, thing: Thing, step: Step, hall: Path) -> dict[str, Any]:
        describe: dict[str, Callable[[str, Path], dict[str, Any]]] = {
            "partition": self._partition,
            "shares": self._shares,
            "opened": self._opened,
            "state": lambda name, hall: describe_state(hall / "media" / f"{name}.state/files/state"),
            "key": self._key,
            "request": lambda name, hall: describe_file(self._copy(hall, f"medium/{name}.csr")),
            "certificate": self._certificate,
            "crl": lambda name, hall: self._crl(name, step, hall),
            "file": lambda name, hall: describe_file(self._copy(hall, f"files/{name}")),
            "backup": self._backup,
        }
        return describe[kind(thing)](name_of(thing), hall)

    def _partition(self, name: str, _hall: Path) -> dict[str, Any]:
        record = self._record("partitions", name, "serial", "host")
        return {"serial": record["serial"], "module": f"SoftHSM on {record['host']}"}

    def _shares(self, name: str, _hall: Path) -> dict[str, Any]:
        record = self._record("shares", name, "threshold", "holders")
        return {"threshold": record["threshold"], "holders": record["holders"]}

    def _opened(self, name: str, hall: Path) -> dict[str, Any]:
        given = read(hall / OPENED / f"{name.removesuffix(AGAIN)}.json")
        return {"threshold": given["threshold"], "holders": given["holders"]}

    def _key(self, name: str, _hall: Path) -> dict[str, Any]:
        record = self._record("keys", name, "public_key_sha256", "key_uri", "key", "module")
        key = record["key"]
        sort = KEY_KINDS[key["type"]]
        in_file = not str(record["key_uri"]).startswith("pkcs11:")
        return {
            "identifier": record["key_uri"],
            "algorithm": sort.called,
            "bits": sort.bits or key.get("bits") or _CURVES[key["curve"]],
            "sha256": record["public_key_sha256"],
            "module": f"none: file on {record['host']}" if in_file else record["module"],
            "settings": f"curve {key['curve']}" if "curve" in key else sort.settings,
            "random_source": "OpenSSL CTR-DRBG of the host" if in_file else "the module itself",
        }

    def _certificate(self, name: str, hall: Path) -> dict[str, Any]:
        lint = self._record("lint", name, "tbs_sha256", "linter")
        fetched = self.folder / f"{name}.crt"  # once its key's host has accepted it; until then it is on the medium
        path = self._copy(hall, fetched.name if fetched.exists() else f"medium/{name}.crt")
        return describe_certificate(path, lint["tbs_sha256"], lint["linter"])

    def _crl(self, name: str, step: Step, hall: Path) -> dict[str, Any]:
        path = self._copy(hall, f"{name}.crl")
        linted = f"{name}.crl-{read_crl(path).tbs_sha256}"  # each CRL has a record of its own
        lint = self._record("lint", linted, "tbs_sha256", "linter")
        return describe_crl(path, lint["tbs_sha256"], lint["linter"], order_sha256(step, name, hall))

    def _backup(self, name: str, _hall: Path) -> dict[str, Any]:
        record = self._record("backups", name, "sha256", "host")
        carried = describe_file(self.folder / "medium" / f"{name}.wrapped")["sha256"]
        if carried != record["sha256"]:
            raise RecordError(
                f"backup:{name}: what was carried out is not what {record['host']} wrapped: throw it away"
            )
        return {"sha256": carried, "wrapping": WRAPPING}

    def _record(self, folder: str, name: str, *fields: str) -> Mapping[str, Any]:
        path = self.folder / folder / f"{name}.json"
        record = read(path)
        if lacking := [field for field in fields if field not in record]:
            raise RecordError(
                f"{path}: {', '.join(lacking)} is not on record: what is there was made without a ceremony's engine; "
                "in development, ./estate down and up make it anew"
            )
        return record

    def _copy(self, hall: Path, name: str) -> Path:
        source, target = self.folder / name, hall / FILES / Path(name).name
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise RecordError(f"{source}: the act left no such file: {error.strerror}") from error
        return target


def keep_former(arrived: Path, hall: Path) -> None:
    """Keep a root's CRL that stands again, once its medium was checked, until what it replaces is forgotten.

    Beside it is the one with the highest number that was withdrawn, as its host has it.
    """
    (hall / FORMER).mkdir(exist_ok=True)
    for file in arrived.iterdir():
        name = file.name if file.name.endswith(WITHDRAWN_CRL) else f"{file.name.removesuffix(FORMER_CRL)}.crl"
        shutil.copyfile(file, hall / FORMER / name)


def _replace(source: Path, target: Path) -> None:
    """A copy that is there as a whole, or not at all."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, fresh)
    fresh.replace(target)


def recorded(records: Path) -> list[str]:
    """Names of the keys on record, in the folder of an environment; those that were destroyed are not among them."""
    return sorted(path.stem for path in (records / "keys").glob("*.json"))


def used(records: Path) -> set[str]:
    """Names under which a key was certified that was destroyed since."""
    return {path.stem for path in (records / RETIRED).glob("*/*.crt")}


def _account(accounts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """All keys that the hosts' partitions name. Raises RecordError where two of them name different keys alike."""
    keys: dict[str, str] = {}
    for host, account in accounts.items():
        for name, key in account["keys"].items():
            if keys.setdefault(name, key) != key:
                raise RecordError(f"{host}: its module holds another key {name} than the module before: find out whose")
    return keys


def _kept(thing: Thing) -> tuple[str, ...]:
    """Names of the files that are kept of a thing."""
    name = name_of(thing)
    return {
        "key": (f"keys/{name}.json",),
        "partition": (f"partitions/{name}.json",),
        "shares": (f"shares/{name}.json",),
        "opened": (),
        "state": (),
        "request": (f"medium/{name}.csr",),
        "certificate": (f"{name}.json", f"{name}.crt", f"medium/{name}.crt", f"lint/{name}.json"),
        "crl": (f"{name}.crl",),
        "file": (f"files/{name}",),
        "backup": (f"backups/{name}.json", f"medium/{name}.wrapped"),
    }[kind(thing)]


def read(path: Path) -> Mapping[str, Any]:
    try:
        stated = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: the act left no record that can be read: {error}") from error
    if not isinstance(stated, dict):
        raise RecordError(f"{path}: no record: it holds no mapping")
    return stated
