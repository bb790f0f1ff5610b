"""What the CA published, where the public finds it (CP-2.1, CP-2.2, CP-2.3)."""

from typing import Any

import pytest

testinfra_hosts = ["ansible://organisation"]

FOLDER = "/root/molecule-ca"
FILES = ("{issuing}.crl", "{issuing}-delta.crl", "{root}.crl")


@pytest.fixture(params=["nca-rsa", "nca-rsa-2", "nca-gost"])
def published(host: Any, variables: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, str]:
    """Names of an issuing CA and its root; their certificates lie in FOLDER in PEM, their CRLs in DER."""
    (found,) = (one for one in variables["pki_authorities"] if one["issuing"]["name"] == request.param)
    names = {member: found[member]["name"] for member in ("root", "issuing")}
    files = [*(name.format(**names) for name in FILES), *(f"{name}.pem" for name in names.values())]
    for file in files:
        host.check_output(
            f"mkdir -p {FOLDER} && curl -sSf -o {FOLDER}/{file} http://pki.{variables['estate_domain']}/{file}"
        )
    return names


@pytest.mark.clause("CP-2.2")
@pytest.mark.parametrize("file", FILES)
def test_each_cas_crls_are_signed_by_it(host: Any, published: dict[str, str], file: str) -> None:
    """For RSA, its former generation, and GOST: OpenSSL and GnuTLS verify them, and refuse them once changed."""
    ca, crl = published["root" if file.startswith("{root}") else "issuing"], file.format(**published)
    for name, expected in ((crl, True), (f"changed-{crl}", False)):
        openssl = "OPENSSL_CONF=/etc/ssl/openssl-gost.cnf openssl crl -inform DER -noout"
        said = host.run(f"cd {FOLDER} && {openssl} -in {name} -CAfile {ca}.pem 2>&1").stdout
        assert ("verify OK" in said) is expected, said
        gnutls = f"certtool --verify-crl --load-ca-certificate {ca}.pem --infile crl.pem"
        said = host.run(f"cd {FOLDER} && openssl crl -inform DER -in {name} -out crl.pem && {gnutls} 2>&1").stdout
        assert ("Verified" in said) is expected, said
        host.check_output(f"cd {FOLDER} && head -c -8 {crl} > changed-{crl} && printf '%08d' 0 >> changed-{crl}")


def test_crls_are_published(host: Any, variables: dict[str, Any]) -> None:
    """A complete CRL and a delta of each issuing CA, valid as long as the policy says."""
    for authority in variables["pki_authorities"]:
        name = authority["issuing"]["name"]
        for kind, file in (("full", f"{name}.crl"), ("delta", f"{name}-delta.crl")):
            text = host.check_output(
                "curl -sf %s | openssl crl -inform DER -noout -text -lastupdate -nextupdate",
                f"http://pki.{variables['estate_domain']}/{file}",
            )
            assert ("Delta CRL Indicator" in text) == (kind == "delta")
            ends = [line.split("=")[1] for line in text.splitlines() if line.startswith(("lastUpdate", "nextUpdate"))]
            first, last = (int(host.check_output("date -d %s +%%s", each)) for each in ends)
            assert last - first == variables["pki_crl"][kind]["valid_hours"] * 3600
