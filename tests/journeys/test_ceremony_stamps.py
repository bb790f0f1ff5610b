"""The head of a ceremony that was held here, stamped over HTTP by the estate's own units; OpenSSL judges the tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kepil.estate.model import Estate
from tests.conftest import PROJECT
from tests.journeys.conftest import HERE

BUNDLE = f"{HERE}/bundle"
GOST = "export OPENSSL_CONF=/etc/ssl/openssl-gost.cnf;"
POLICY = "1.2.398.3.3.2.6.4"


@pytest.fixture(scope="module")
def head(client: Any, domain: str, estate: Estate) -> str:
    """What a machine with a network gets of the root ceremony's bundle, and the roots that it trusts."""
    bundles: list[Path] = sorted((PROJECT / "ceremonies" / estate.environment / "bundles").glob("root-*"))
    for name in ("journal.jsonl", "journal.jsonl.head"):
        client.put(f"{BUNDLE}/{name}", (bundles[-1] / name).read_bytes())
    client(f"cd {HERE} && curl -sSf -o krnca-gost.pem http://pki.{domain}/krnca-gost.pem")
    client(f"cd {HERE} && cat krnca-rsa.pem krnca-gost.pem > anchors.pem")
    return str(client(f"cut -d ' ' -f 2 {BUNDLE}/journal.jsonl.head")).strip()


@pytest.mark.clause("CP-5.4")
def test_two_nodes_with_one_certificate_are_one_authority(client: Any, domain: str, head: str) -> None:
    assert len(head) == 64
    refused = client(
        f"{GOST} cd {HERE} && kepil ceremony stamp {BUNDLE} --anchors anchors.pem"
        f" --tsa http://tsp01.{domain}/ --tsa http://tsp02.{domain}/",
        fails=True,
    )
    assert "alone; two different authorities are needed" in refused
    client(f"test ! -e {BUNDLE}/tokens")


@pytest.mark.clause("CP-5.4")
def test_units_of_two_families_stamp_and_openssl_verifies(client: Any, domain: str, head: str) -> None:
    told = client(
        f"{GOST} cd {HERE} && kepil ceremony stamp {BUNDLE} --anchors anchors.pem"
        f" --tsa http://tsp01.{domain}/ --tsa 'http://tsp02.{domain}/#{POLICY}'"
    )
    assert told.count("stamped by ") == 2
    verified = client(
        f"cd {BUNDLE}/tokens && openssl ts -verify -digest {head} -in tsp01.{domain}.tsr -CAfile ../../krnca-rsa.pem"
    )
    assert "Verification: OK" in verified
    client(f"{GOST} cd {BUNDLE}/tokens && openssl ts -reply -in tsp02.{domain}-{POLICY}.tsr -token_out -out ../token")
    signed = client(
        f"{GOST} cd {BUNDLE} && openssl cms -verify -inform DER -in token -purpose timestampsign -out said"
        f" -CAfile ../krnca-gost.pem"
    )
    assert "successful" in signed
    assert head in client(f"od -An -v -tx1 {BUNDLE}/said | tr -d ' \\n'")
