"""What the CA published, where the public finds it (CP-2.1, CP-2.3)."""

from typing import Any

testinfra_hosts = ["ansible://organisation"]


def test_crls_are_published(host: Any, variables: dict[str, Any]) -> None:
    """A complete CRL and a delta of each issuing CA, valid as long as the policy says."""
    for hierarchy in variables["pki_hierarchies"].values():
        name = hierarchy["issuing"]["name"]
        for kind, file in (("full", f"{name}.crl"), ("delta", f"{name}-delta.crl")):
            text = host.check_output(
                "curl -sf %s | openssl crl -inform DER -noout -text -lastupdate -nextupdate",
                f"http://pki.{variables['estate_domain']}/{file}",
            )
            assert ("Delta CRL Indicator" in text) == (kind == "delta")
            ends = [line.split("=")[1] for line in text.splitlines() if line.startswith(("lastUpdate", "nextUpdate"))]
            first, last = (int(host.check_output("date -d %s +%%s", each)) for each in ends)
            assert last - first == variables["pki_crl"][kind]["valid_hours"] * 3600
