"""No secret of a host stands in its journal, its logs, its process list or the world-readable part of its disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kepil.estate.model import Estate
from kepil.pki.hierarchy import key_place
from kepil.pki.profile import load_member

MEMBERS = ("root", "issuing", "ocsp", "tsp")
# A gateway makes its inspection CA's key and those of certificates under it; the internet's sites have their own.
OTHERS = {
    "gateway": ("/etc/kepil/gateway/inspection/ca.key", "/var/lib/squid/ssl_db/"),
    "internet": ("/srv/tls/",),
}

# The patterns are read from the files by grep itself, so that no secret appears on a command line here either.
SEARCH = """
for secret in /etc/kepil/credentials/*pin /run/kepil-ceremony/*; do
  [ -e "$secret" ] || continue
  [ "$(stat -c %a "$secret")" = 600 ] || echo "$secret: mode $(stat -c %a "$secret")"
  journalctl --no-pager -o cat | grep -qFf "$secret" && echo "$secret: in the journal"
  grep -rqsFf "$secret" /var/log && echo "$secret: in /var/log"
  cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -qFf "$secret" && echo "$secret: in an environment"
  cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -qFf "$secret" && echo "$secret: in the process list"
  grep -rlsFf "$secret" /etc /run /tmp /var/tmp /opt --exclude-dir=credentials | sed "s,^,$secret: in ,"
done
true
"""


@pytest.mark.clause("CP-5.4")
def test_activation_data_stays_where_it_belongs(estate: Estate, on: Callable[[str], Any]) -> None:
    found = {name: on(name)(SEARCH).strip() for name in estate.hosts}
    assert {name: text for name, text in found.items() if text} == {}


@pytest.mark.clause("CP-6.4")
def test_nothing_opens_the_roots_module_between_ceremonies(estate: Estate, on: Callable[[str], Any]) -> None:
    """Threat: who has the host has the key, and no custodian is asked. Nothing sets another PIN anywhere."""
    for host in estate.members("root"):
        opened = "[ ! -d /run/kepil-ceremony ] || ls -A /run/kepil-ceremony"
        assert on(host.name)(f"find / -xdev -name 'hsm-root*pin'; {opened}") == ""
    for name in estate.hosts:
        kept = "[ ! -d /etc/kepil/credentials ] || find /etc/kepil/credentials -name '*.so-pin'"
        assert on(name)(kept) == ""


@pytest.mark.clause("CP-6.2")
def test_there_is_something_to_search_for(estate: Estate, on: Callable[[str], Any]) -> None:
    """The search above is worth nothing where no host holds activation data."""
    for host in estate.members("ca"):
        assert on(host.name)("cat /etc/kepil/credentials/*.pin | wc -c").strip() not in ("", "0")


@pytest.fixture
def key_files(everywhere: dict[str, Any]) -> set[str]:
    """Keys that are files because the software HSM has nothing for them; in production there are none."""
    members = [each[member] for each in everywhere["pki_hierarchies"].values() for member in each if member in MEMBERS]
    places = [key_place(load_member(member), everywhere["hsm_file_key_types"]) for member in members]
    return {place["uri"] for place in places if place["in_file"]}


@pytest.mark.clause("CP-6.2")
def test_no_private_ca_key_is_a_file(estate: Estate, on: Callable[[str], Any], key_files: set[str]) -> None:
    """Keys of the hierarchies live in tokens, or encrypted where the inventory says so."""
    allowed = {
        "/etc/ssl/private/kepil-internal.key",
        "/etc/kepil/internal-ca/ca.key",
        "/etc/ssl/private/ssl-cert-snakeoil.key",
    }
    for name, host in estate.hosts.items():
        others = tuple(path for group, paths in OTHERS.items() if group in host.groups for path in paths)
        # grep ends with 1 where it finds nothing, which is what is hoped for.
        for kind, expected in (("([A-Z]+ )?", allowed | key_files), ("((RSA|EC|DSA) )?", allowed)):
            found = set(on(name)(f"grep -rlsE 'BEGIN {kind}PRIVATE KEY' /etc /srv /var/lib /opt/kepil || true").split())
            assert {
                each for each in found if "/dist-packages/" not in each and not each.startswith(others)
            } <= expected, name
