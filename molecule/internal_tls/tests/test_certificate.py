"""Each host's key and certificate, and what they are good for."""

from __future__ import annotations

from typing import Any

import testinfra

KEY = "/etc/ssl/private/kepil-internal.key"
CERTIFICATE = "/etc/ssl/kepil/internal.crt"
ANCHOR = "/etc/ssl/kepil/internal-ca.crt"


def peers(inventory: dict[str, Any]) -> dict[str, Any]:
    """All hosts of the scenario, by name."""
    return {name: testinfra.get_host(f"ansible://{name}") for name in inventory["_meta"]["hostvars"]}


def test_only_root_and_tls_daemons_read_the_key(host: Any) -> None:
    """Threat: any process on the host speaks in the host's name."""
    key = host.file(KEY)
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
    assert host.file("/etc/ssl/private").mode & 0o007 == 0


def test_no_half_made_key_is_left(host: Any) -> None:
    """Threat: a key that nobody watches."""
    assert not host.file(f"{KEY}.new").exists


def test_each_host_has_a_key_of_its_own(inventory: dict[str, Any]) -> None:
    """Threat: one stolen key opens the whole estate."""
    keys = [peer.check_output(f"openssl pkey -in {KEY} -pubout") for peer in peers(inventory).values()]
    assert len(set(keys)) == len(keys) > 1


def test_all_hosts_trust_the_one_ca(inventory: dict[str, Any]) -> None:
    """Threat: a second CA, made by accident, divides the estate."""
    assert len({peer.file(ANCHOR).content for peer in peers(inventory).values()}) == 1


def test_the_certificate_names_its_host_and_no_other_use(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a host's certificate signs others, or passes for another host."""
    name = variables["estate_fqdn"]
    host.run_expect([0], f"openssl verify -x509_strict -CAfile {ANCHOR} -verify_hostname {name} {CERTIFICATE}")
    text = host.check_output(
        f"openssl x509 -in {CERTIFICATE} -noout -subject -nameopt RFC2253 -text -certopt ext_parse"
    )
    assert f"subject=CN={name}\n" in text
    assert f"DNS:{name}\n" in text
    assert "CA:FALSE" in text
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
    assert "NIST CURVE: P-256" in text


def test_the_certificate_lasts_longer_than_it_takes_to_renew_it(host: Any) -> None:
    """Threat: services cut each other off because a certificate ended unnoticed."""
    host.run_expect([0], f"openssl x509 -in {CERTIFICATE} -noout -checkend {30 * 86400}")
    host.run_expect([1], f"openssl x509 -in {CERTIFICATE} -noout -checkend {397 * 86400}")
