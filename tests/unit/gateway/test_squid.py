"""Squid itself under the role's configuration, with the real helper, in a network namespace of its own.

Needs a tree of Debian 13 (KEPIL_TEST_TREE) with squid-openssl, curl, iproute2 and what the package stands on.
Interception is not tried here (the ports listen as plain proxies); the rules and the helper are the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kepil.gateway.calendar import day_of
from kepil.gateway.category import Categories
from kepil.gateway.lookup import build
from kepil.gateway.organisation import last_day
from kepil.gateway.policy import PolicyFile, write_policy
from tests.unit.gateway.conftest import PROJECT, STATED, organisation
from tests.unit.gateway.test_role import TREE, rendered

NAMES = {"bank.example": "finance", "news.example": "news", "games.example": "games", "evil.example": "malware"}
GATEWAY, ORIGIN = "OU=gateway", "OU=origin"
SCRIPT = Path(__file__).with_name("squid.sh").read_text(encoding="utf-8")
EXPECTED = {
    # a source, a server name, the name it asks the proxy for: status, whose certificate, the page's reason
    "198.18.10.11 bank.example bank.example": f"200 {ORIGIN}",
    "198.18.10.11 news.example news.example": f"200 {GATEWAY}",
    "198.18.10.11 games.example games.example": f"403 {GATEWAY} category-closed",
    "198.18.10.11 evil.example evil.example": f"403 {GATEWAY} malware",
    "198.18.10.11 bank.example evil.example": "000",  # the exempt name is a pretext
    "198.18.10.11 games.example bank.example": "000",
    "198.18.10.11 203.0.113.80 203.0.113.80": "000",  # no server name
    "198.18.20.1 news.example news.example": "000",  # in the catalogue, not enrolled
    "198.18.99.1 news.example news.example": f"200 {ORIGIN}",  # in no catalogue yet: never decrypted
    "198.18.99.1 evil.example evil.example": "000",
}


@pytest.fixture
def tree(categories: Categories) -> Path:
    """The tree, with the package, a policy, a table and the role's files in it."""
    root = Path(TREE)
    settings, state, work = root / "etc/kepil/gateway", root / "var/lib/kepil/gateway", root / "work"
    for folder in (settings / "inspection", state, work, root / "opt/kepil/current/bin"):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(PROJECT / "src/kepil", root / "opt/kepil/src/kepil", dirs_exist_ok=True)
    python = root / "opt/kepil/current/bin/python3"
    python.write_text('#!/bin/sh\nPYTHONPATH=/opt/kepil/src exec /usr/bin/python3 "$@"\n')
    python.chmod(0o755)
    shutil.copytree(root / "usr/share/squid/errors/templates", settings / "errors", dirs_exist_ok=True)
    (settings / "errors/ERR_KEPIL_CLOSED").write_text(rendered("ERR_KEPIL_CLOSED"), encoding="utf-8")
    plain = rendered("squid.conf", gateway_antivirus=False).replace(" tproxy", "").splitlines()
    left_out = ("https_port", "dns_nameservers")
    (settings / "squid.conf").write_text(
        "\n".join(x for x in plain if not x.startswith(left_out)).replace(
            "myportname transparent_tls", "myportname explicit"
        )
    )
    today = day_of(datetime.now(UTC))
    stated = {
        "organisations": {"ministry": organisation(valid_from=today, valid_until=last_day(today)).model_dump()},
        "catalogue": ["198.18.20.0/24"],
        "categories": STATED["gateway_categories"],
    }
    write_policy(settings / "policy.json", PolicyFile.model_validate(stated))
    build(state / "categories.mdb", NAMES.items(), {}, categories)
    (work / "names").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in NAMES) + "\n")
    (work / "questions").write_text("".join(f"{question}\n" for question in EXPECTED))
    (work / "body").touch()
    (root / "etc/hosts").write_text("".join(f"203.0.113.80 {name}\n" for name in NAMES))
    return root


@pytest.mark.clause("GW-20")
@pytest.mark.skipif(not TREE or os.geteuid() != 0, reason="needs KEPIL_TEST_TREE and root")
def test_squid_does_what_was_decided(tree: Path) -> None:
    """Who gets whose certificate, page or nothing."""
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "chroot", tree, "sh", "-s"],
        input=SCRIPT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 143), done.stderr
    answers = [line.split(maxsplit=3) for line in (tree / "work/answers").read_text().splitlines()]
    assert {" ".join(words[:3]): words[3].strip() for words in answers} == EXPECTED
    log = (tree / "var/log/squid/access.log").read_text()
    assert "bank.example bank.example splice" in log
