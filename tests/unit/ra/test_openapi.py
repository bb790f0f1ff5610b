"""The API keeps to its own description: whatever is sent, what comes back is what the description says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.testclient import TestClient

from kepil.ra.openapi import description
from kepil.ra.operation import OPERATIONS
from kepil.ra.problem import KINDS
from tests.unit.ra.conftest import OFFICERS, Branch

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning"),  # schemathesis and httpx
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # as above
]
PROJECT = Path(__file__).parents[3]
AS_DESCRIBED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
STRICT = [*AS_DESCRIBED, negative_data_rejection, unsupported_method]
EXAMPLES = settings(
    max_examples=30,
    derandomize=True,  # the same examples in every run
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


schema = schemathesis.openapi.from_dict(description())


def answer(case: Any, client: TestClient) -> Any:
    """Have the case sent by an officer who may do it."""
    name = case.operation.definition.raw["operationId"]
    roles = next(each.roles for each in OPERATIONS if each.name == name)
    officer = next(str(each["name"]) for each in OFFICERS if not roles or set(roles) & set(each["roles"]))
    return client.request(**case.as_transport_kwargs(base_url="http://testserver", headers={"X-Officer": officer}))


@schema.parametrize()
@EXAMPLES
def test_whatever_is_sent_the_answer_is_as_described(case: Any, branch: Branch) -> None:
    case.validate_response(answer(case, branch.client), checks=STRICT)


@pytest.fixture
def known(branch: Branch) -> Iterator[dict[str, str]]:
    """Identifiers that are there: by turns of an application that waits, and of one that led to a certificate."""
    issued = branch.applied()
    serial = branch.approve(issued).json()["serial"]
    paths = (branch.applied(), issued)
    return ({"id": path.rpartition("/")[2], "serial": serial} for path in itertools.cycle(paths))


@schema.include(path_regex="applications|certificates").parametrize()
@EXAMPLES
def test_so_it_is_of_what_is_there(case: Any, branch: Branch, known: Iterator[dict[str, str]]) -> None:
    """The same with identifiers and requests that get past the first look, in whatever state they are by then."""
    identifiers = next(known)
    case.path_parameters = {name: identifiers[name] for name in case.path_parameters}
    if isinstance(case.body, dict) and "request" in case.body:
        case.body |= {name: value for name, value in branch.application().items() if name != "email"}
    case.validate_response(answer(case, branch.client), checks=AS_DESCRIBED)


def test_every_problem_is_described_and_has_its_remedy() -> None:
    """A code that no operation names is dead; one that KINDS lacks would be a fault of ours."""
    assert {code for each in OPERATIONS for code in each.codes} == set(KINDS)
    text = description()["info"]["description"]
    assert all(f"`{code}` ({kind.status.value}): {kind.remedy}" in text for code, kind in KINDS.items())


def test_the_committed_description_is_todays() -> None:
    """Whoever writes a client reads it. Write it anew: `kepil ra describe > docs/registration.json`."""
    committed = (PROJECT / "docs/registration.json").read_text("utf-8")
    assert committed == json.dumps(description(), indent=2, ensure_ascii=False) + "\n"
