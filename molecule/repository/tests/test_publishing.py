"""The CA puts its files on the repository; nobody else does, and nothing half-made is ever shown."""

from __future__ import annotations

from typing import Any

import pytest

testinfra_hosts = ["ansible://ca"]

ANONYMOUS = "--cacert /etc/ssl/kepil/internal-ca.crt"
IDENTITY = f"{ANONYMOUS} --cert /etc/ssl/kepil/internal.crt --key /etc/ssl/private/kepil-internal.key"


@pytest.fixture
def target(variables: dict[str, Any]) -> str:
    """The publishing side."""
    port = next(f["port"] for f in variables["estate_flows"] if (f["from"], f["to"]) == ("ca", "repository"))
    return f"https://repo01.{variables['estate_domain']}:{port}"


@pytest.fixture
def authority(variables: dict[str, Any]) -> str:
    """Name of an issuing CA."""
    name: str = variables["pki_hierarchies"]["rsa"]["issuing"]["name"]
    return name


@pytest.fixture
def repository(host: Any) -> Any:
    """The repository's host."""
    return host.get_host("ansible://repo01")


def put(host: Any, url: str, content: str, arguments: str = IDENTITY) -> str:
    """HTTP status of an upload."""
    code: str = host.check_output(
        f"printf %s {content} | curl -s -o /dev/null -w '%{{http_code}}' {arguments} -T - {url}"
    )
    return code


def test_the_ca_publishes_and_replaces(host: Any, repository: Any, target: str, authority: str) -> None:
    """CP-2.1, CP-2.3: a CRL and its delta, again and again."""
    for name in (f"{authority}.crl", f"{authority}-delta.crl"):
        assert put(host, f"{target}/{name}", "first") in ("201", "204")
        assert put(host, f"{target}/{name}", "second") == "204"
        file = repository.file(f"/srv/kepil/repository/published/{name}")
        assert file.content_string == "second"
        assert (file.user, file.mode) == ("www-data", 0o644)


@pytest.mark.clause("CP-5.6")
def test_files_of_a_ca_that_is_no_more_stay_and_nobody_replaces_them(
    host: Any, repository: Any, variables: dict[str, Any], target: str, authority: str
) -> None:
    """Threat: a signature of years ago cannot be verified, for what its certificate points to is gone."""
    former = authority.removesuffix("-2")
    assert former != authority
    repository.check_output(f"echo last > /srv/kepil/repository/published/{former}.crl")
    reader = host.get_host("ansible://org01")
    assert reader.check_output(f"curl -sf http://pki.{variables['estate_domain']}/{former}.crl") == "last"
    assert put(host, f"{target}/{former}.crl", "other") == "403"


def test_the_public_reads_what_was_published(host: Any, variables: dict[str, Any], target: str, authority: str) -> None:
    """CP-2.1."""
    put(host, f"{target}/{authority}.crl", "shown")
    reader = host.get_host("ansible://org01")
    domain = variables["estate_domain"]
    assert reader.check_output(f"curl -sf http://pki.{domain}/{authority}.crl") == "shown"


@pytest.mark.parametrize(
    "name", ["krnca-rsa.crt", "krnca-rsa.crl", "index.html", "other.crl", "x/nca-rsa.crl", "nca-rsa.crl.bak"]
)
def test_the_ca_publishes_nothing_but_its_own(host: Any, target: str, name: str) -> None:
    """CP-2.4. Threat: who has the issuing CA replaces the root."""
    assert put(host, f"{target}/{name}", "x") == "403"


def test_it_only_puts(host: Any, target: str, authority: str) -> None:
    """CP-2.4: what is published cannot be taken away."""
    for method in ("GET", "DELETE", "MOVE", "PROPFIND"):
        assert (
            host.check_output(
                f"curl -s -o /dev/null -w '%{{http_code}}' {IDENTITY} -X {method} {target}/{authority}.crl"
            )
            == "405"
        )


def test_another_host_of_the_estate_does_not_publish(repository: Any, target: str, authority: str) -> None:
    """CP-2.4. Threat: an intruder on a lesser host of the estate uses its certificate."""
    assert put(repository, f"{target}/{authority}.crl", "x") == "403"


def test_nobody_publishes_without_a_certificate(host: Any, target: str, authority: str) -> None:
    """CP-2.4."""
    assert put(host, f"{target}/{authority}.crl", "x", ANONYMOUS) == "400"


def test_only_tls_1_3_is_spoken(host: Any, target: str) -> None:
    """CP-6.7."""
    assert host.run(f"curl -s {IDENTITY} --tls-max 1.2 {target}/").rc == 35


def test_an_upload_that_breaks_off_changes_nothing(host: Any, repository: Any, target: str, authority: str) -> None:
    """CP-2.3. Threat: a reader gets half a CRL, which does not verify."""
    put(host, f"{target}/{authority}.crl", "whole")
    part = f"PUT /{authority}.crl HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 1000\\r\\n\\r\\npart"
    tls = IDENTITY.replace("--cacert", "-CAfile").replace("--cert", "-cert").replace("--key", "-key")
    host.run(
        f"(printf '{part}'; sleep 2) | timeout 1 openssl s_client -quiet {tls} -connect {target.removeprefix('https://')}"
    )
    assert repository.file(f"/srv/kepil/repository/published/{authority}.crl").content_string == "whole"
    assert repository.check_output("find /srv/kepil/repository/incoming -type f | wc -l") == "0"
    journal = repository.check_output("journalctl --no-pager -o cat -t kepil_repository")
    assert f"PUT /{authority}.crl 400" in journal, "it did begin"


def test_who_published_what_is_in_the_journal(host: Any, repository: Any, target: str, authority: str) -> None:
    """CP-5.4."""
    put(host, f"{target}/{authority}.crl", "journalled")
    journal = repository.check_output("journalctl --no-pager -o cat -t kepil_repository")
    assert f"PUT /{authority}.crl 204" in journal
    assert "by CN=ca01." in journal
