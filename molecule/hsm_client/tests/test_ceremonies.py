"""Ceremonies make a thing once, find it afterwards, and stop where key, certificate and record do not agree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kepil.pki.hierarchy import key_place
from kepil.pki.profile import load_member

testinfra_hosts = ["ansible://root"]

PROJECT = Path(__file__).parents[3]
NAMES = ("hsm_initialisation", "root", "issuing")
GOST = "OPENSSL_CONF=/etc/ssl/openssl-gost.cnf"


KEYS = "ls /var/lib/kepil-hsm/root/* && sha256sum /etc/kepil/keys/root/*"


@pytest.fixture
def records(variables: dict[str, Any]) -> Path:
    """Folder of the environment's ceremony outputs."""
    return PROJECT / "ceremonies" / str(variables["estate_environment"])


@pytest.fixture(scope="module")
def held(ceremony: Any) -> None:
    """Every ceremony of this scenario has been held once."""
    for name in NAMES:
        done = ceremony(name)
        assert done.returncode == 0, done.stdout


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("name", NAMES)
def test_a_second_ceremony_changes_nothing(ceremony: Any, name: str) -> None:
    """CP-6.1: a key pair is made once."""
    done = ceremony(name)
    assert done.returncode == 0, done.stdout
    assert set(re.findall(r"changed=(\d+)", done.stdout)) == {"0"}


@pytest.mark.usefixtures("held")
def test_the_issuing_certificate_verifies_under_the_root(host: Any, variables: dict[str, Any], records: Path) -> None:
    """CP-1.3.1: with the root's CRL, by a tool that is not ours."""
    for hierarchy in variables["pki_hierarchies"].values():
        root, issuing = hierarchy["root"]["name"], hierarchy["issuing"]["name"]
        folder = "/etc/kepil/ceremony"
        assert host.run(
            f"{GOST} openssl verify -x509_strict -crl_check -CRLfile {folder}/{root}.crl -CAfile {folder}/{root}.crt "
            f"{folder}/{issuing}.crt"
        ).succeeded
        printed = host.check_output(f"openssl x509 -in {folder}/{issuing}.crt -noout -fingerprint -sha256")
        recorded = json.loads((records / f"{issuing}.json").read_text())["sha256"]
        assert printed.split("=")[1].replace(":", "").lower() == recorded


@pytest.fixture
def damaged(records: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A record or a certificate is gone; it is put back afterwards."""
    path = records / request.param
    content = path.read_bytes()
    path.unlink()
    yield str(request.param)
    path.write_bytes(content)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("damaged", "name"),
    [
        ("partitions/root.json", "hsm_initialisation"),
        ("keys/krnca-rsa.json", "root"),
        ("keys/krnca-gost.json", "root"),
        ("krnca-rsa.crt", "root"),
        ("nca-rsa.json", "issuing"),
    ],
    indirect=["damaged"],
)
def test_what_does_not_agree_stops_the_ceremony(
    host: Any, ceremony: Any, records: Path, damaged: str, name: str
) -> None:
    """Threat: a CA key or certificate is made again because its record was mislaid."""
    before = {path: path.read_bytes() for path in records.rglob("*") if path.is_file()}
    keys = host.check_output(KEYS)
    done = ceremony(name)
    assert done.returncode != 0
    assert Path(damaged).name.split(".")[0] in done.stdout
    assert "Restore" in done.stdout
    assert {path: path.read_bytes() for path in records.rglob("*") if path.is_file()} == before
    assert host.check_output(KEYS) == keys


@pytest.fixture
def key_files(variables: dict[str, Any]) -> list[str]:
    """Paths of the roots' keys that are files, here where the HSM is software."""
    roots = [hierarchy["root"] for hierarchy in variables["pki_hierarchies"].values()]
    paths = [key_place(load_member(root), variables["hsm_file_key_types"]) for root in roots]
    return [path["uri"] for path in paths if path["in_file"]]


@pytest.mark.usefixtures("held")
def test_a_key_in_a_file_is_encrypted_and_its_owners(host: Any, key_files: list[str]) -> None:
    """CP-6.4: it opens with its partition's activation data, whose guesses cost a strong derivation each."""
    assert key_files
    for path in key_files:
        assert "BEGIN ENCRYPTED PRIVATE KEY" in host.file(path).content_string
        assert ":scrypt" in host.check_output(f"openssl asn1parse -in {path}")
        assert (host.file(path).user, host.file(path).group, host.file(path).mode) == ("root", "root", 0o640)
        opened = f"{GOST} openssl pkey -in {path} -noout -passin file:"
        assert host.run(f"{opened}/run/kepil-ceremony/hsm-root.pin").rc == 0
        assert host.run(f"{opened}/etc/hostname").rc != 0


@pytest.mark.usefixtures("held")
def test_no_pin_is_shown(host: Any, ceremony: Any) -> None:
    """CP-6.4: activation data reaches neither what the controller prints nor any host's journal."""
    pin = host.check_output("cat /run/kepil-ceremony/hsm-root.pin")
    printed = ceremony("hsm_initialisation").stdout
    journal = host.check_output("journalctl --no-pager --output=cat")
    assert len(pin) == 32
    assert pin not in printed
    assert pin not in journal


@pytest.mark.usefixtures("held")
def test_nothing_that_opens_a_token_lies_on_the_roots_disk(host: Any) -> None:
    """CP-6.4: neither the user's PIN nor that of the token's security officer, which could set another."""
    assert host.check_output("find / -xdev -name 'hsm-*pin'") == ""
