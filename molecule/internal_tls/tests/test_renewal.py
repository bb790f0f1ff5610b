"""A certificate that was about to end when the converge began."""

from __future__ import annotations

from typing import Any

testinfra_hosts = ["ansible://organisation"]

CERTIFICATE = "/etc/ssl/kepil/internal.crt"


def test_key_and_certificate_were_renewed_under_the_same_ca(host: Any) -> None:
    """Threat: services cut each other off on the day it ends."""
    files = ("/root/before/internal.crt", CERTIFICATE)
    old, new = (host.check_output(f"openssl x509 -in {file} -noout -pubkey") for file in files)
    assert old != new
    host.run_expect([0], f"openssl verify -CAfile /root/before/internal-ca.crt {CERTIFICATE}")


def test_services_that_use_it_were_restarted_and_others_were_not(host: Any) -> None:
    """Threat: a daemon goes on with the old certificate in memory until it has ended."""
    before, now = (host.file(path).content for path in ("/root/before/internal.crt", CERTIFICATE))
    assert host.file("/run/probe-user.crt").content == now
    assert host.file("/run/probe-bystander.crt").content == before
