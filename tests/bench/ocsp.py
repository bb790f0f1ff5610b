"""OCSP beside `openssl ocsp`, `cfssl ocspserve`, nginx, and what `openssl speed` can sign."""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import tempfile
import urllib.request
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from urllib.parse import quote, unquote

from asn1crypto import ocsp as asn1

from kepil.pki import ocsp
from kepil.pki.credential import Credential, read_certificate
from kepil.pki.settings import OcspSettings
from kepil.pki.status import CertificateStatus
from tests.bench import common, nginx

ASKED_ABOUT = 1000
POST = "application/ocsp-request"


def serial(number: int) -> int:
    """The serial of the certificate of that number, as SERIAL makes it."""
    return int("4" + md5(str(number).encode()).hexdigest()[1:], 16)  # noqa: S324 - a spread, not a secret


SERIAL = "decode('4' || substr(md5(number::text), 2), 'hex')"


def make_requests(folder: Path, certificates: int) -> list[int]:
    """Write `post` (requests with room for a nonce) and `get` (paths); the serials that they ask about."""
    template = folder / "template"
    common.openssl("ocsp", "-issuer", "ca.crt", "-serial", "1", "-no_nonce", "-reqout", "template", folder=folder)
    request = asn1.OCSPRequest.load(template.read_bytes())
    serials = [serial(number) for number in random.sample(range(certificates), min(certificates, ASKED_ABOUT))]
    posts, gets = [], []
    for one in serials:
        request["tbs_request"]["request_list"][0]["req_cert"]["serial_number"] = one
        plain = request.dump(force=True)
        gets.append("/" + quote(base64.b64encode(plain), safe=""))
        asked = asn1.OCSPRequest.load(plain)
        asked["tbs_request"]["request_extensions"] = [{"extn_id": "nonce", "extn_value": asn1.OctetString(bytes(16))}]
        posts.append(asked.dump(force=True).hex())
    (folder / "post").write_text("\n".join(posts))
    (folder / "get").write_text("\n".join(gets))
    return serials


def make_peers(folder: Path, serials: list[int]) -> None:
    """Write what the peers answer from: OpenSSL's index, cfssl's signed responses, nginx's file."""
    index = "".join(f"V\t301231235959Z\t\t{one:X}\tunknown\t/CN={one}\n" for one in serials)
    (folder / "index.txt").write_text(index)
    settings = OcspSettings.load(folder / "ocsp.json").responders[0]
    issuer = read_certificate(settings.issuer)
    credential = Credential.open(settings, purpose="ocsp_signing", issuer=issuer)
    responder = ocsp.Responder("nca-rsa", issuer, credential, timedelta(hours=9))
    lines = []
    for path, one in zip((folder / "get").read_text().split(), serials, strict=True):
        request = ocsp.read_request(base64.b64decode(unquote(path[1:])))
        response = responder.respond(request, {one: CertificateStatus()}, datetime.now(UTC))
        lines.append(base64.b64encode(response.encoded).decode())
    (folder / "responses").write_text("\n".join(lines))
    (folder / "static").write_bytes(base64.b64decode(lines[0]))


def check(url: str, folder: Path) -> None:
    """Make sure that the server's answer is what the load is meant to ask for. Raises ValueError."""
    path = (folder / "get").read_text().split()[0]
    with urllib.request.urlopen(url + path, timeout=60) as answer:  # noqa: S310 - our own server
        status = asn1.OCSPResponse.load(answer.read())["response_status"].native
    if status != "successful":
        raise ValueError(f"{url} answers {status}")


def main() -> None:
    """Run the comparison and print its table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--certificates", type=int, default=1000, help="in the status table")
    options.add_argument("--seconds", type=int, default=5, help="of each load")
    options.add_argument("--only", default="", help="run only the servers whose name has this in it")
    kinds = ("rsa2048", "rsa3072", "p256")
    options.add_argument("--key", choices=kinds, default=common.estate_key("ocsp"), help="of whoever signs")
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    common.make_hierarchy(folder, chosen.key)
    with common.database("replica") as conninfo:
        fill = (
            f"insert into status (issuer, serial, not_after) select 'nca-rsa', {SERIAL}, now() + interval '1 year' "  # noqa: S608 - own names
            f"from generate_series(0, {chosen.certificates - 1}) number"
        )
        common.execute(conninfo, fill, "vacuum analyze status", "checkpoint")
        responder = {
            "authority": "nca-rsa",
            "issuer": f"{folder}/ca.crt",
            **common.key_settings(folder, "ocsp", chosen.key),
        }
        (folder / "ocsp.json").write_text(json.dumps({"database": conninfo, "responders": [responder]}))
        make_peers(folder, make_requests(folder, chosen.certificates))
        compare(folder, chosen)


def compare(folder: Path, chosen: argparse.Namespace) -> None:
    """Load each server in turn."""
    openssl = "openssl ocsp -port 8002 -index index.txt -CA ca.crt -rsigner ocsp.crt -rkey ocsp.key -nmin 60 -multi 2"
    cfssl = "cfssl ocspserve -port 8003 -address 127.0.0.1 -loglevel 5 -responses responses"
    location = f"root {folder}; try_files /static =404; types {{}} default_type application/ocsp-response;"
    site = f"server {{ listen 127.0.0.1:8004; location / {{ {location} }} }}"
    limits = {"ocsp_requests_per_second": 1_000_000, "ocsp_request_burst": 1_000_000}
    servers: dict[str, tuple[AbstractContextManager[str], tuple[str, ...]]] = {
        "Kepil": (common.serving_kepil("ocsp", folder / "ocsp.json"), ("signed", "half", "cached")),
        "Kepil behind nginx, as on its hosts": (
            nginx.serving_kepil_by_nginx("ocsp", folder / "ocsp.json", 8005, **limits),
            ("signed", "half", "cached"),
        ),
        "openssl ocsp -multi 2": (common.serving(8002, *openssl.split(), folder=folder), ("signed",)),
        "cfssl ocspserve, signed beforehand": (common.serving(8003, *cfssl.split(), folder=folder), ("cached",)),
        "nginx, one static file": (nginx.serving_nginx(8004, folder, site), ("cached",)),
    }
    rows = []
    signature = common.signature_us(chosen.key)
    for name, (server, kinds) in servers.items():
        if chosen.only not in name:
            continue
        with server as url:
            check(url, folder)
            rate = 0.0
            for kind in kinds:
                load = measure(url, folder, kind, chosen.seconds, rate / 2)
                rate = rate or load.rate
                share = f"{signature / load.cost_us:.0%}" if kind == "signed" and load.cost_us else ""
                cost = f"{load.cost_us:.0f}"
                rows.append([name, kind, f"{load.rate:.0f}", f"{load.p99_ms:.1f}", str(load.failed), cost, share])
    limit = f"{(os.cpu_count() or 1) * 1e6 / signature:.0f}"
    rows.append(
        [f"openssl speed {chosen.key}, all processors", "a signature", limit, "", "", f"{signature:.0f}", "100%"]
    )
    heads = ["server", "question", "answers/s", "p99 ms", "failed", "µs of processor an answer", "of the signing limit"]
    common.table(f"OCSP, {chosen.key}, {chosen.certificates} certificates, {common.load_average()}", heads, rows)


def measure(url: str, folder: Path, kind: str, seconds: int, rate: float) -> common.Load:
    """Put a load on a server: `signed` (a nonce each), the same `half` as often, or `cached` (GET, no nonce)."""
    if kind == "cached":
        common.wrk(url, folder / "get", 2)  # so that it is
        return common.wrk(url, folder / "get", seconds)
    return common.wrk(url, folder / "post", seconds, post=POST, nonce=True, rate=rate if kind == "half" else 0)


if __name__ == "__main__":
    main()
