"""A small hierarchy for the tests of OCSP and TSP, made by OpenSSL."""

import subprocess
from pathlib import Path

import pytest

_KEY_USAGE = "keyUsage=critical,digitalSignature"
_EXTENSIONS = {
    "ca": "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign",
    "ocsp": f"{_KEY_USAGE}\nextendedKeyUsage=OCSPSigning\nnoCheck=ignored",
    "tsp": f"{_KEY_USAGE}\nextendedKeyUsage=critical,timeStamping",
    "user": f"{_KEY_USAGE}\nextendedKeyUsage=emailProtection",
}


@pytest.fixture(scope="session")
def issued_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA and what it has issued: `{ca,ocsp,tsp,user}.{key,crt}`, RSA, serials 1 to 4."""
    folder = tmp_path_factory.mktemp("issued")
    for serial, (name, lines) in enumerate(_EXTENSIONS.items(), start=1):
        identifiers = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"
        (folder / f"{name}.cnf").write_text(f"{lines}\n{identifiers}", "utf-8")
        request = f"req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -utf8 -subj /C=KZ/CN={name}"
        issuer = "-signkey ca.key" if name == "ca" else "-CA ca.crt -CAkey ca.key"
        issue = f"x509 -req -in {name}.csr -out {name}.crt -days 30 -set_serial {serial} -extfile {name}.cnf {issuer}"
        for command in (request, issue):
            subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder
