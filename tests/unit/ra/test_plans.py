"""What officers ask of the applications takes an index that fits, however many there are (EXPLAIN)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from kepil.pki.migrations import migrate, shipped
from kepil.ra.store import Store

APPLICATIONS = 20_000
FILL = """
insert into application (branch, profile, authority, request, request_sha256, key_sha256, email, document_sha256,
    submitted_by, idempotency_sha256, body_sha256, approvals_needed, state, reason, serial, told_at)
  select 'branch-' || n %% 400, 'natural-person', 'nca-rsa', 'a request', h, h,
      case when state = 'submitted' then 'a@b' end, h, 'registrar-1', h, h, 1, state,
      case when state = 'rejected' then 'a reason' end,
      case when state = 'issued' then h end, case when state = 'issued' then now() end
    from (select n, sha256(n::text::bytea) as h,
        case when n %% 100 = 0 then 'submitted' when n %% 100 = 1 then 'rejected' else 'issued' end as state
      from generate_series(1, %s) n) made
"""


@pytest.fixture(scope="module")
def filled(create_database: Callable[[], str]) -> str:
    """A database with applications of 400 branches, most of them issued, and what officers found."""
    conninfo = create_database()
    migrate(conninfo, shipped("registration"))
    administrator = conninfo.replace("user=kepil_ca", "user=postgres")
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")  # no act led here, so no rule of acts can hold
        connection.execute(FILL, [APPLICATIONS])
        connection.execute(
            "insert into finding (application, officer, verdict) select id, 'approver-1', 'approved' from application"
        )
        connection.execute("vacuum analyze")
    return administrator


@pytest.fixture
def plans(filled: str) -> Iterator[tuple[Store, Callable[[], str]]]:
    """A store, and the plans of what it ran."""
    with psycopg.connect(filled) as connection:
        found = list[str]()
        connection.execute("load 'auto_explain'")
        for setting in ("auto_explain.log_min_duration = 0", "auto_explain.log_level = notice"):
            connection.execute(f"set {setting}".encode())
        connection.execute("set client_min_messages = notice")
        connection.add_notice_handler(lambda notice: found.append(notice.message_primary or ""))

        def told() -> str:
            connection.execute("select")  # what was planned is told when the next one begins
            return "\n".join(found)

        yield Store(connection), told
        connection.rollback()


HALF = APPLICATIONS // 2
ASKED: dict[str, tuple[Callable[[Store], Any], str]] = {
    "a branch's": (lambda s: s.applications("branch-7", None, HALF, 51), "application_branch"),
    "a branch's in a state": (lambda s: s.applications("branch-7", "submitted", HALF, 51), "application_page"),
    "all branches'": (lambda s: s.applications(None, None, HALF, 51), "application_number_key"),
    "all branches' in a state": (lambda s: s.applications(None, "rejected", HALF, 51), "application_state"),
    "one": (lambda s: s.application(UUID(int=1), "branch-7"), "application_pkey"),
    "of a certificate": (lambda s: s.by_serial(bytes(32)), "application_serial_key"),
    "of a retry": (lambda s: s.by_idempotency_key(bytes(32)), "idempotency_key_once"),
    "that wait for the CA": (lambda s: s.unissued(), "application_unissued"),
    "that wait for word": (lambda s: s.untold(), "application_untold"),
}


@pytest.mark.parametrize("what", ASKED)
def test_no_table_is_read_from_end_to_end(plans: tuple[Store, Callable[[], str]], what: str) -> None:
    store, told = plans
    ask, index = ASKED[what]
    ask(store)
    plan = told()
    assert "Seq Scan" not in plan, plan
    assert f"using {index} " in plan or f"on {index} " in plan, plan
    assert "Filter: " not in plan or what == "one", "a condition that no index serves"
    assert "::text is null or" not in plan or what == "one", "a plan that is kept for all values could use no index"


def test_a_page_deep_in_the_list_is_right(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        rows = Store(connection).applications("branch-0", "submitted", HALF, 3)
    assert [row.number for row in rows] == [HALF + 400, HALF + 800, HALF + 1200]
    assert all(row.approved_by == ["approver-1"] for row in rows)
