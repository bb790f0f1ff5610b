"""A process that dies by SIGKILL at any point of an issue or a CRL leaves all of it or nothing, and a retry is safe.

The points are before and after every statement, every commit and every signature. At each, a process of its own dies.
"""

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asn1crypto.crl import CertificateList

from kepil.pki.authority import CertificateAuthority
from kepil.pki.settings import CaSettings
from kepil.pki.signer import Signer

OFFICER = "ra01.example.test"
STEPS = (
    (psycopg.Cursor, "execute"),
    (psycopg.ServerCursor, "execute"),
    (psycopg.Copy, "write_row"),
    (psycopg.Connection, "commit"),
    (Signer, "sign_digest"),
)
FEWEST_POINTS = 10
"""A revocation has four statements and a commit, each with a before and an after; were there fewer, one was missed."""


def die_at(point: int) -> None:
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

    for owner, name in STEPS:
        setattr(owner, name, walked(getattr(owner, name)))


def act_until(point: int, settings: CaSettings, act: str, arguments: dict[str, Any]) -> None:
    """What the dying process runs."""
    die_at(point)
    getattr(CertificateAuthority(settings, partial(psycopg.connect, settings.database)), act)(**arguments)


def walk(settings: CaSettings, act: str, arguments: Callable[[], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Die at one point after the other, and give what the process was at; the last one gets through."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    for point in itertools.count(1):
        given = arguments()
        process = processes.Process(target=act_until, args=(point, settings, act, given))
        process.start()
        process.join(timeout=60)
        assert process.exitcode in (0, -signal.SIGKILL)
        yield given
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
