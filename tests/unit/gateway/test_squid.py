"""Squid itself under the role's configuration, with the real helper, in a network namespace of its own.

Needs a tree of Debian 13 (KEPIL_TEST_TREE) with squid-openssl, nftables, clamav-daemon, c-icap,
libc-icap-mod-virus-scan, curl, iproute2 and what the package stands on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kepil.gateway import rules
from kepil.gateway.calendar import day_of
from kepil.gateway.category import Categories
from kepil.gateway.lookup import build
from kepil.gateway.organisation import last_day
from kepil.gateway.policy import PolicyFile, read_policy, write_policy
from tests.unit.gateway.conftest import PROJECT, STATED, organisation
from tests.unit.gateway.test_role import TREE, rendered

NAMES = {"bank.example": "finance", "news.example": "news", "games.example": "games", "evil.example": "malware"}
GATEWAY, ORIGIN = "OU=gateway", "OU=origin"
SCRIPTS = Path(__file__).parent
EXPLICIT = {
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
INTERCEPTED = {
    # a source, a server name, the address that it connects to
    "198.18.10.11 bank.example 203.0.113.80": f"200 {ORIGIN}",
    "198.18.10.11 news.example 203.0.113.80": f"200 {GATEWAY}",
    "198.18.10.11 games.example 203.0.113.80": f"403 {GATEWAY} category-closed",
    "198.18.10.11 bank.example 203.0.113.81": "000",  # the name leads elsewhere: neither passed on nor decrypted
    "198.18.10.11 news.example 203.0.113.81": "000",
    "198.18.10.11 203.0.113.80 203.0.113.80": "000",
    "198.18.20.1 news.example 203.0.113.80": "000",
    "198.18.99.1 news.example 203.0.113.80": f"200 {ORIGIN}",
    "198.18.99.1 evil.example 203.0.113.80": "000",
    "198.18.10.11 news.example 203.0.113.80 closed": "000",  # when the kernel has let the organisation's element go
}


SCANNED = {
    # what is up, the site, the file: status, and whether the file came whole
    "up news.example clean": "200 whole",
    "up news.example eicar": "403",
    "up bank.example eicar": "200 whole",  # GW-20: untouched is untouched
    "unscanned news.example clean": "500",
    "unscanned bank.example clean": "200 whole",
    "alone news.example clean": "500",
}
EICAR = (
    "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
)  # in two, or scanners take this file away


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
    today = day_of(datetime.now(UTC))
    stated = {
        "organisations": {"ministry": organisation(valid_from=today, valid_until=last_day(today)).model_dump()},
        "catalogue": ["198.18.20.0/24"],
        "categories": STATED["gateway_categories"],
    }
    write_policy(settings / "policy.json", PolicyFile.model_validate(stated))
    build(state / "categories.mdb", NAMES.items(), {}, categories)
    (work / "names").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in NAMES) + "\n")
    (work / "body").touch()
    (root / "etc/hosts").write_text("".join(f"203.0.113.80 {name}\n" for name in NAMES))
    return root


def configure(tree: Path, *, intercepts: bool, scans: bool = False) -> None:
    """Squid's configuration and the firewall's, as the role renders them; without interception the ports are plain."""
    lines = rendered("squid.conf", gateway_antivirus=scans).splitlines()
    lines = [line for line in lines if not line.startswith("dns_nameservers")]
    if not intercepts:
        lines = [line.replace(" tproxy", "") for line in lines if not line.startswith("https_port")]
        lines = [line.replace("myportname transparent_tls", "myportname explicit") for line in lines]
    (tree / "etc/kepil/gateway/squid.conf").write_text("\n".join(lines), encoding="utf-8")
    (tree / "work/gateway.nft").write_text(rendered("gateway.nft", gateway_user_interfaces=["users0"]))
    at = datetime.now(UTC)
    elements = rules.elements(read_policy(tree / "etc/kepil/gateway/policy.json"), (), at)
    (tree / "work/elements.nft").write_text(rules.script(elements, at))


@pytest.mark.clause("GW-20")
@pytest.mark.skipif(not TREE or os.geteuid() != 0, reason="needs KEPIL_TEST_TREE and root")
@pytest.mark.parametrize(("script", "expected"), [("squid.sh", EXPLICIT), ("interception.sh", INTERCEPTED)])
def test_squid_does_what_was_decided(tree: Path, script: str, expected: dict[str, str]) -> None:
    """Who gets whose certificate, page or nothing: asked as a proxy, and with connections taken on their way."""
    configure(tree, intercepts=script == "interception.sh")
    (tree / "work/questions").write_text("".join(f"{question}\n" for question in expected))
    assert answers(tree, script) == expected


@pytest.mark.clause("LQ-A3-6")
@pytest.mark.skipif(not TREE or os.geteuid() != 0, reason="needs KEPIL_TEST_TREE and root")
def test_nothing_that_is_decrypted_passes_unscanned(tree: Path) -> None:
    """Threat: malware over TLS; and whoever stops the scanner opens the way."""
    configure(tree, intercepts=False)
    (tree / "work/questions").write_text("")
    answers(tree, "squid.sh")  # makes the certificates
    configure(tree, intercepts=False, scans=True)
    for name, folder in (("clamd", "clamav"), ("c-icap", "c-icap"), ("virus_scan", "c-icap"), ("clamd_mod", "c-icap")):
        (tree / "etc" / folder / f"{name}.conf").write_text(rendered(f"{name}.conf"), encoding="utf-8")
    (tree / "var/lib/clamav/local.ndb").write_text(f"Eicar:0:*:{EICAR.encode().hex()}\n")
    (tree / "work/eicar").write_text(EICAR)
    (tree / "work/clean").write_text("clean\n" * 100)
    assert answers(tree, "antivirus.sh") == SCANNED


def answers(tree: Path, script: str) -> dict[str, str]:
    """What a script that is run in the tree, in namespaces of its own, leaves there."""
    (tree / "work/answers").unlink(missing_ok=True)
    inside = f"mount -t proc proc {tree}/proc && mount -t sysfs sys {tree}/sys && exec chroot {tree} sh -s"
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount", "sh", "-c", inside],
        input=(SCRIPTS / script).read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 143), done.stderr
    lines = [line.split(" | ") for line in (tree / "work/answers").read_text().splitlines()]
    return {question: " ".join(given.split()) for question, given in lines}
