"""Publishing to repository hosts, over real mutual TLS."""

from pathlib import Path

import pytest

from kepil.pki.publish import PublishError, publish
from tests.unit.pki.ca.repository import served

FILES = {"nca-rsa.crl": b"\x30\x00crl", "nca-rsa.crt": b"\x30\x00crt"}


@pytest.fixture(autouse=True)
def files(identities: Path) -> None:
    """What is published lies beside the identities."""
    for name, content in FILES.items():
        (identities / name).write_bytes(content)


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
