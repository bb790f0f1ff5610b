"""The internal CA's host."""

from __future__ import annotations

from typing import Any

testinfra_hosts = ["ansible://internal_ca"]


def test_only_root_reaches_the_ca_key(host: Any) -> None:
    """Threat: a service on the CA's host certifies whom it likes."""
    assert host.file("/etc/kepil/internal-ca").mode == 0o700
    key = host.file("/etc/kepil/internal-ca/ca.key")
    assert (key.user, key.mode) == ("root", 0o600)


def test_the_converge_left_the_ca_and_a_good_certificate_alone(host: Any) -> None:
    """Threat: a CA made again because a run could."""
    for name in ("internal-ca.crt", "internal.crt"):
        assert host.file(f"/etc/ssl/kepil/{name}").content == host.file(f"/root/before/{name}").content


def test_the_ca_certifies_hosts_only(host: Any) -> None:
    """Threat: a host's certificate becomes a CA's."""
    text = host.check_output("openssl x509 -in /etc/kepil/internal-ca/ca.crt -noout -ext basicConstraints,keyUsage")
    assert "CA:TRUE, pathlen:0" in text
    assert "Certificate Sign, CRL Sign" in text
