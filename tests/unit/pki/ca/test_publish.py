"""Publishing to repository hosts, over real mutual TLS."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kepil.pki.publish import PublishError, publish

FILES = {"nca-rsa.crl": b"\x30\x00crl", "nca-rsa.crt": b"\x30\x00crt"}


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.crt, and key and certificate of `host` (localhost), `client`, and a `stranger` of another CA."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for ca in ("ca", "other"):
        openssl(
            *("req", "-x509", *new_key, "-keyout", f"{ca}.key", "-out", f"{ca}.crt", "-subj", f"/CN={ca}"),
            *("-addext", "keyUsage=critical,keyCertSign"),  # Python 3.13 verifies as strictly as RFC 5280 writes
        )
    for name, ca in (("host", "ca"), ("client", "ca"), ("stranger", "other")):
        signed_by = ("-CA", f"{ca}.crt", "-CAkey", f"{ca}.key")
        openssl(
            *("req", "-x509", *new_key, *signed_by, "-keyout", f"{name}.key", "-out", f"{name}.crt"),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"),
            *("-addext", "keyUsage=critical,digitalSignature", "-addext", "basicConstraints=critical,CA:FALSE"),
        )
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


class Host:
    """A repository host that keeps what is put there."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status = 201
        self.url = ""


@contextmanager
def served(identities: Path) -> Iterator[Host]:
    host = Host()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if host.status < 300:
                host.files[self.path] = content
            self.send_response(host.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identities / "host.crt", identities / "host.key")
    context.load_verify_locations(identities / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    host.url = f"https://localhost:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put(identities: Path, *urls: str, client: str = "client", ca: str = "ca") -> None:
    publish(
        [identities / name for name in FILES],
        list(urls),
        certificate=identities / f"{client}.crt",
        key=identities / f"{client}.key",
        ca=identities / f"{ca}.crt",
    )


@pytest.mark.clause("CP-2.1")
def test_every_host_gets_every_file(identities: Path) -> None:
    with served(identities) as one, served(identities) as two:
        put(identities, one.url, two.url)
        assert one.files == two.files == {f"/{name}": content for name, content in FILES.items()}


def test_a_host_that_is_down_does_not_hold_up_the_others(identities: Path) -> None:
    with served(identities) as gone:
        pass
    with served(identities) as alive:
        with pytest.raises(PublishError, match=f"{gone.url}: .*(refused|Cannot assign).*`kepil ca publish`"):
            put(identities, gone.url, alive.url)
        assert len(alive.files) == 2


def test_every_failure_is_reported(identities: Path) -> None:
    with served(identities) as full, served(identities) as forbidding:
        full.status, forbidding.status = 507, 403
        with pytest.raises(PublishError) as caught:
            put(identities, full.url, forbidding.url)
    for name in FILES:
        assert f"{full.url}{name}: 507" in str(caught.value)
        assert f"{forbidding.url}{name}: 403" in str(caught.value)


@pytest.mark.clause("CP-6.7")
def test_a_stranger_publishes_nothing(identities: Path) -> None:
    """Threat: someone inside the network replaces the CRL."""
    with served(identities) as host:
        with pytest.raises(PublishError):
            put(identities, host.url, client="stranger")
        assert host.files == {}


@pytest.mark.clause("CP-6.7")
def test_a_host_that_nobody_vouches_for_gets_nothing(identities: Path) -> None:
    with served(identities) as host:
        with pytest.raises(PublishError, match="CERTIFICATE_VERIFY_FAILED"):
            put(identities, host.url, ca="other")
        assert host.files == {}


def test_plain_http_is_refused(identities: Path) -> None:
    with pytest.raises(PublishError, match="http://localhost/ is not an https URL"):
        put(identities, "http://localhost/")


def test_a_missing_identity_names_the_files(identities: Path) -> None:
    with pytest.raises(PublishError, match="nobody"):
        put(identities, "https://localhost/", client="nobody")
