"""OpenSSL knows GOST, as another implementation does; and one package came from Debian testing, no other."""

from __future__ import annotations

from typing import Any

import pytest

GOST = "OPENSSL_CONF=/etc/ssl/openssl-gost.cnf openssl"
FOLDER = "/root/molecule-gost"
RFC_6986_MESSAGE = "012345678901234567890123456789012345678901234567890123456789012"
RFC_6986_HASHES = {
    "md_gost12_256": "9d151eefd8590b89daa6ba6cb74af9275dd051026bb149a452fd84e5e57b5500",
    "md_gost12_512": "1b54d01a4af5b9d5cc3d86d68d285462b19abc2475222f35c085122be4ba1ffa"
    "00ad30f8767b3a82384c6574f024c311e2a481332b08ef7f41797891c1646f48",
}
APT = "-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts={0} -o Dir::State::Lists={0}/lists"


@pytest.mark.parametrize(("digest", "expected"), RFC_6986_HASHES.items())
def test_the_hash_is_that_of_the_standard(host: Any, digest: str, expected: str) -> None:
    """RFC 6986 section 10.1."""
    hashed = host.check_output(f"printf %s {RFC_6986_MESSAGE} | {GOST} dgst -r -{digest}")
    assert hashed.split()[0] == expected


@pytest.mark.parametrize(("kind", "digest"), [("gost2012_256", "md_gost12_256"), ("gost2012_512", "md_gost12_512")])
def test_another_implementation_agrees(host: Any, kind: str, digest: str) -> None:
    """RFC 9215: what OpenSSL signs, GnuTLS verifies; and it does not verify once it was changed."""
    host.check_output(
        f"mkdir -p {FOLDER} && cd {FOLDER} && {GOST} req -x509 -newkey {kind} -pkeyopt paramset:A -{digest} -nodes"
        f" -keyout key.pem -out root.pem -subj /CN=root -addext basicConstraints=critical,CA:true 2>/dev/null"
    )
    verify = f"cd {FOLDER} && certtool --verify --load-ca-certificate root.pem --infile"
    assert "Verified. The certificate is trusted." in host.check_output(f"{verify} root.pem")
    host.check_output(
        f"cd {FOLDER} && openssl x509 -in root.pem -outform DER -out der"
        " && printf '\\001\\002' | dd of=der bs=1 seek=$(($(stat -c %s der) - 9)) conv=notrunc"
        " && openssl x509 -inform DER -in der -out changed.pem"
    )
    assert host.run(f"{verify} changed.pem").rc != 0


def test_nothing_else_comes_from_testing(host: Any) -> None:
    """Threat: the next upgrade replaces Debian stable by testing."""
    folder = f"{FOLDER}/archive"
    index = f"{folder}/dists/forky/main/binary-all"
    packages = "".join(f"Package: {name}\\nVersion: 99\\nArchitecture: all\\n\\n" for name in ("openssl", "bash"))
    wanted = "Package: libengine-gost-openssl\\nVersion: 99\\nArchitecture: all\\n\\n"
    host.check_output(
        f"mkdir -p {index} {folder}/lists/partial && printf 'Codename: forky\\n' > {folder}/dists/forky/Release"
        f" && printf '{packages}{wanted}' > {index}/Packages"
        f" && echo 'deb [trusted=yes arch=all] file:{folder} forky main' > {folder}/test.list"
        f" && apt-get {APT.format(folder)} update"
    )
    candidates = {
        name: host.check_output(f"apt-cache {APT.format(folder)} policy {name} | sed -n 's/.*Candidate: //p'")
        for name in ("openssl", "bash", "libengine-gost-openssl")
    }
    assert candidates["libengine-gost-openssl"] == "99"
    assert "99" not in (candidates["openssl"], candidates["bash"])
