"""A process that dies by SIGKILL at any point of an issue or a CRL leaves all of it or nothing, and a retry is safe.

The points are before and after every statement, every commit and every signature, and where a CRL is published every
request and answer. At each, a process of its own dies.
"""

import argparse
import http.client
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asn1crypto.crl import CertificateList

from kepil.commands import ca
from kepil.pki.authority import CertificateAuthority
from kepil.pki.issuance import Order
from kepil.pki.settings import CaSettings
from kepil.pki.signer import Signer
from tests.unit.pki.ca.repository import Host, served

OFFICER = "ra01.example.test"
STEPS = (
    (psycopg.Cursor, "execute"),
    (psycopg.ServerCursor, "execute"),
    (psycopg.Copy, "write_row"),
    (psycopg.Connection, "commit"),
    (Signer, "sign_digest"),
)
PUBLISHING = ((http.client.HTTPSConnection, "request"), (http.client.HTTPSConnection, "getresponse"))
FEWEST_POINTS = 10
"""A revocation has four statements and a commit, each with a before and an after; were there fewer, one was missed."""


def die_at(point: int, steps: Sequence[tuple[type, str]] = STEPS) -> None:
    """End this process at that point."""
    passed = itertools.count(1)

    def pass_by() -> None:
        if next(passed) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def walked(act: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            pass_by()
            result = act(*args, **kwargs)
            pass_by()
            return result

        return step

    for owner, name in steps:
        setattr(owner, name, walked(getattr(owner, name)))


def act_until(point: int, settings: CaSettings, act: str, arguments: dict[str, Any]) -> None:
    """What the dying process runs."""
    die_at(point)
    getattr(CertificateAuthority(settings, partial(psycopg.connect, settings.database)), act)(**arguments)


def publish_until(point: int, settings: Path) -> None:
    """What the dying process runs: what `kepil ca crl` does once the CRLs are made."""
    die_at(point, PUBLISHING)
    parser = argparse.ArgumentParser()
    ca.register(parser.add_subparsers())
    arguments = parser.parse_args(["ca", "publish", "--settings", str(settings)])
    arguments.run(arguments)


def walk(settings: CaSettings, act: str, arguments: Callable[[], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Die at one point after the other, and give what the process was at; the last one gets through."""
    given = dict[str, Any]()

    def next_arguments() -> tuple[Any, ...]:
        given.clear()
        given.update(arguments())
        return settings, act, given

    for _ in die_everywhere(act_until, next_arguments):
        yield given


def die_everywhere(run: Callable[..., None], arguments: Callable[[], tuple[Any, ...]]) -> Iterator[None]:
    """Have processes of their own die at one point after the other; the last one gets through."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    for point in itertools.count(1):
        process = processes.Process(target=run, args=(point, *arguments()))
        process.start()
        process.join(timeout=60)
        assert process.exitcode in (0, -signal.SIGKILL)
        yield
        if process.exitcode == 0:
            assert point > FEWEST_POINTS, point
            return


@pytest.fixture
def authority(ca_settings: CaSettings) -> CertificateAuthority:
    return CertificateAuthority(ca_settings, partial(psycopg.connect, ca_settings.database))


def serials(connection: psycopg.Connection[Any], statement: str) -> list[str]:
    return sorted(serial for (serial,) in connection.execute(statement.encode()).fetchall())


def test_an_issue(authority: CertificateAuthority, ca_settings: CaSettings, new_request: Callable[[], bytes]) -> None:
    def arguments() -> dict[str, Any]:
        request = new_request()
        return {
            "request": request,
            "profile": "natural-person",
            "authority": "nca-rsa",
            "actor": OFFICER,
            "idempotency_key": request.hex(),
        }

    left_by_the_dead = []
    with psycopg.connect(ca_settings.database, autocommit=True) as connection:
        for requests, given in enumerate(walk(ca_settings, "issue", arguments), start=1):
            certificates = serials(connection, "select encode(serial, 'hex') from certificate")
            assert certificates == serials(connection, "select encode(serial, 'hex') from status")
            assert certificates == serials(connection, "select object ->> 'serial' from journal")
            left_by_the_dead.append(len(certificates) == requests)
            retried = authority.issue(**given)
            assert len(certificates) < requests or retried.serial.hex() in certificates
            assert len(serials(connection, "select encode(serial, 'hex') from certificate")) == requests
    assert left_by_the_dead == sorted(left_by_the_dead), "once committed, it stays"
    assert left_by_the_dead.count(True) == 2, "what died after the commit, and what lived"


def test_several_issued_at_once(
    authority: CertificateAuthority, ca_settings: CaSettings, new_request: Callable[[], bytes]
) -> None:
    """All of them or none, and each is there once when all are asked for again."""
    several = 3

    def arguments() -> dict[str, Any]:
        requests = [new_request() for _ in range(several)]
        orders = [Order(each, "natural-person", OFFICER, idempotency_key=each.hex()) for each in requests]
        return {"authority": "nca-rsa", "orders": orders}

    with psycopg.connect(ca_settings.database, autocommit=True) as connection:
        for rounds, given in enumerate(walk(ca_settings, "issue_together", arguments), start=1):
            certificates = serials(connection, "select encode(serial, 'hex') from certificate")
            assert len(certificates) in ((rounds - 1) * several, rounds * several)
            assert certificates == serials(connection, "select object ->> 'serial' from journal")
            outcomes = authority.issue_together(**given)
            assert {getattr(each, "serial", b"").hex() for each in outcomes} <= set(
                serials(connection, "select encode(serial, 'hex') from certificate")
            )
            assert len(serials(connection, "select encode(serial, 'hex') from certificate")) == rounds * several


@pytest.mark.parametrize("kind", ["full", "delta"])
def test_a_crl(
    authority: CertificateAuthority,
    ca_settings: CaSettings,
    new_request: Callable[[], bytes],
    tmp_path: Path,
    kind: str,
) -> None:
    def shown() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in authority.publications(tmp_path)}

    issued = authority.issue(new_request(), "natural-person", "nca-rsa", OFFICER)
    authority.make_crl("nca-rsa", "full", "a timer")
    authority.revoke(int.from_bytes(issued.serial, "big"), "keyCompromise", "nca-rsa", OFFICER)
    before = shown()
    arguments = {"authority": "nca-rsa", "kind": kind, "actor": "a timer"}
    changes = 0
    with psycopg.connect(ca_settings.database, autocommit=True) as connection:
        for _ in walk(ca_settings, "make_crl", lambda: arguments):
            numbers = [number for (number,) in connection.execute("select number from crl order by number").fetchall()]
            assert numbers == list(range(1, len(numbers) + 1))
            journal = "select (object ->> 'number')::int from journal where act = 'crl.issue' order by 1"
            assert numbers == [number for (number,) in connection.execute(journal).fetchall()]
            changes += shown() != before
            before = shown()
    assert changes == 2, "what died after the commit, and what lived"
    last = CertificateList.load(before["nca-rsa.crl" if kind == "full" else "nca-rsa-delta.crl"])
    assert [entry["user_certificate"].native for entry in last["tbs_cert_list"]["revoked_certificates"]] == [
        int.from_bytes(issued.serial, "big")
    ]


def numbers(host: Host) -> dict[str, int]:
    """The numbers of the CRLs that a repository host shows, each whole."""
    shown = {path: CertificateList.load(content, strict=True) for path, content in host.files.items() if "crl" in path}
    return {path: int(crl.crl_number_value.native) for path, crl in shown.items()}


@pytest.mark.clause("CP-2.3")
def test_a_publication(
    authority: CertificateAuthority, ca_settings: CaSettings, identities: Path, tmp_path: Path
) -> None:
    """What a repository host shows is whole and never goes back; the next run brings both hosts up to date."""

    def make() -> tuple[Path]:
        for kind in ("full", "delta"):
            authority.make_crl("nca-rsa", kind, "a timer")
        return (path,)

    with served(identities) as one, served(identities) as two:
        target = ca_settings.publish.model_copy(
            update={
                "urls": [one.url, two.url],
                "certificate": identities / "client.crt",
                "key": identities / "client.key",
                "ca": identities / "ca.crt",
            }
        )
        path = tmp_path / "ca.json"
        settings = ca_settings.model_copy(update={"publish": target})
        path.write_text(settings.model_dump_json(exclude_none=True), "utf-8")
        before: list[dict[str, int]] = [{}, {}]
        for _ in die_everywhere(publish_until, make):
            now = [numbers(one), numbers(two)]
            for earlier, later in zip(before, now, strict=True):
                assert all(later[file] >= number for file, number in earlier.items())
            before = now
        last = {f"/{file.name}": file.read_bytes() for file in authority.publications(tmp_path)}
        assert one.files == two.files == last


def test_a_revocation(
    authority: CertificateAuthority, ca_settings: CaSettings, new_request: Callable[[], bytes]
) -> None:
    def arguments() -> dict[str, Any]:
        serial = int.from_bytes(authority.issue(new_request(), "natural-person", "nca-rsa", OFFICER).serial, "big")
        return {"serial": serial, "reason": "keyCompromise", "authority": "nca-rsa", "actor": OFFICER}

    revoked = "select encode(serial, 'hex') from status where revoked_at is not null"
    journal = "select object ->> 'serial' from journal where act = 'certificate.revoke'"
    with psycopg.connect(ca_settings.database, autocommit=True) as connection:
        for given in walk(ca_settings, "revoke", arguments):
            assert serials(connection, revoked) == serials(connection, journal)
            authority.revoke(**given)
            assert serials(connection, revoked) == serials(connection, journal)
