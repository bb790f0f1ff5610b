"""A new algorithm is a line of data (ADR 16): one is put into a copy of the package, which then issues by it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kepil
from kepil.pki.algorithm import KEY_KINDS

PROFILES = Path(__file__).parents[4] / "inventories/common/group_vars/all/profiles.yml"
BEFORE = "    # The first of the parameter sets"
LINE = '    "ed448": KeyKind("ED448", "Ed448", "edwards448", bits=456, oid="1.3.101.113", bare=True),\n'
ISSUE = f"""
import sys
from pathlib import Path
import yaml
from kepil.ceremony.records import KEY_KINDS
from kepil.pki.issuer import Issuer
from kepil.pki.profile import load_profiles
from kepil.pki.request import check, read_request
from kepil.pki.settings import AuthoritySettings

data = yaml.safe_load(Path({str(PROFILES)!r}).read_text("utf-8"))["pki_profiles"]["natural-person"]
profile = load_profiles({{"natural-person": data | {{"key_types": ["ed448"]}}}})["natural-person"]
urls = dict.fromkeys(("issuer", "crl", "delta_crl", "ocsp"), "http://pki.example.test/")
authority = Issuer(AuthoritySettings(name="nca", certificate=Path("ca.crt"), key="ca.key", urls=urls))
asked = check(read_request(Path("leaf.csr").read_bytes()), profile)
Path("leaf.der").write_bytes(authority.certify(profile, asked, None).der)
print(KEY_KINDS[asked.public_key.kind].called)
"""


def openssl(folder: Path, *words: str) -> str:
    done = subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def issue(folder: Path, package: Path) -> subprocess.CompletedProcess[str]:
    """Issue with the package that lies in a folder."""
    command = [sys.executable, "-c", ISSUE]
    environment = os.environ | {"PYTHONPATH": str(package)}
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)


def test_one_line_and_it_is_issued_linted_signed_and_verified(tmp_path: Path) -> None:
    assert "ed448" not in KEY_KINDS
    ca = ("-x509", "-keyout", "ca.key", "-out", "ca.crt", "-days", "900", "-subj", "/C=KZ/O=Orda/CN=CA")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(tmp_path, "req", "-newkey", "ed448", "-nodes", *ca, *usage)
    person = (
        "-keyout",
        "leaf.key",
        "-out",
        "leaf.csr",
        "-utf8",
        "-subj",
        "/C=KZ/CN=ӘУЕЗОВ/serialNumber=IIN970908300017",
    )
    openssl(tmp_path, "req", "-newkey", "ed448", "-nodes", *person)

    package = tmp_path / "package"
    shutil.copytree(Path(kepil.__file__).parent, package / "kepil")
    assert "'ed448' is not one of" in issue(tmp_path, package).stderr

    table = package / "kepil/pki/algorithm.py"
    text = table.read_text("utf-8")
    assert text.count(BEFORE) == 1
    table.write_text(text.replace(BEFORE, LINE + BEFORE), "utf-8")
    done = issue(tmp_path, package)
    assert (done.returncode, done.stdout) == (0, "Ed448\n"), done.stderr
    assert openssl(tmp_path, "verify", "-x509_strict", "-CAfile", "ca.crt", "leaf.der") == "leaf.der: OK\n"
    assert "ED448" in openssl(tmp_path, "x509", "-in", "leaf.der", "-noout", "-text")
