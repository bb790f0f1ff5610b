"""The head is stamped over HTTP by two authorities, or nothing comes into the bundle; OpenSSL judges the tokens."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import CertificateBuilder, ExtendedKeyUsage, Name, NameAttribute
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kepil.ceremony import stamp as stamping
from kepil.ceremony import timestamp
from kepil.ceremony.stamp import StampError, stamp
from kepil.ceremony.timestamp import TokenError, check_token, check_tokens
from kepil.cli import main
from kepil.pki.credential import Credential
from kepil.pki.settings import KeySettings
from kepil.pki.tsp import StampingUnit, read_request

from .authority import Authority
from .conftest import Hall

HEAD, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(folder, "first"), Authority(folder, "second")


@pytest.fixture
def anchors(authorities: tuple[Authority, Authority], tmp_path: Path) -> Path:
    path = tmp_path / "anchors.pem"
    path.write_bytes(b"".join(one.certificate for one in authorities))
    return path


@pytest.fixture
def bundle(made: tuple[Hall, Path], tmp_path: Path) -> Path:
    """A sealed one, not stamped yet."""
    return Path(shutil.copytree(made[1], tmp_path / "bundle"))


class Stopped:
    """A clock that stands."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def maximum_error_seconds(self) -> float:
        return 0.001


def verify(hall: Hall, bundle: Path, *words: str | Path) -> int:
    signers = hall.people.allowed_signers(bundle.parent).path
    return main(["ceremony", "verify", str(bundle), "--signers", str(signers), *map(str, words)])


@pytest.mark.clause("CP-5.4")
def test_two_authorities_stamp_over_http_and_openssl_verifies(
    hall: Hall,
    bundle: Path,
    authorities: tuple[Authority, Authority],
    anchors: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with authorities[0].listening() as one, authorities[1].listening("127.0.0.2") as two:
        words = ["ceremony", "stamp", str(bundle), "--anchors", str(anchors), "--tsa", one, "--tsa", two]
        assert main(words) == 0
        assert "stamped by Common Name: first, 20" in capsys.readouterr().out
        assert main(words) == 1
        assert "is there already: an authority stamps once" in capsys.readouterr().err
    assert verify(hall, bundle, "--anchors", anchors) == 0
    assert "stamped by Common Name: second, 20" in capsys.readouterr().out
    head = (bundle / "journal.jsonl.head").read_text().split()[1]
    for name in ("127.0.0.1.tsr", "127.0.0.2.tsr"):
        asked = ["-digest", head, "-in", f"{bundle}/tokens/{name}", "-CAfile", str(anchors)]
        subprocess.run(["openssl", "ts", "-verify", *asked], check=True, capture_output=True)


def test_one_authority_is_not_enough_and_twice_the_same_is_one(
    bundle: Path, authorities: tuple[Authority, Authority], anchors: Path
) -> None:
    with authorities[0].listening() as one, authorities[0].listening("127.0.0.2") as again:
        for asked in ([one], [one, again], [one, f"{again}#1.2.4"]):
            with pytest.raises(TokenError, match="first alone; two different authorities are needed"):
                stamp(bundle, asked, anchors)
    assert not (bundle / "tokens").exists()


def test_the_second_may_come_later(bundle: Path, authorities: tuple[Authority, Authority], anchors: Path) -> None:
    """The network of one of them was down: what was carried in by hand counts too."""
    head = (bundle / "journal.jsonl.head").read_text().split()[1]
    authorities[1].stamp(head, bundle / "tokens/second.tsr")
    with authorities[0].listening() as one:
        assert len(stamp(bundle, [one], anchors)) == 2


def test_an_authority_that_nobody_trusts_stamps_nothing(
    bundle: Path, authorities: tuple[Authority, Authority], anchors: Path, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    nothing = pytest.raises(StampError, match=r"127\.0\.0\.2.*no valid time stamp.*nothing came into the bundle")
    with authorities[0].listening() as one, stranger.listening("127.0.0.2") as two, nothing:
        stamp(bundle, [one, two], anchors)
    assert not (bundle / "tokens").exists()


@pytest.mark.parametrize("family", ["ts", "cms"])
def test_an_answer_to_another_query_is_refused(
    bundle: Path,
    authorities: tuple[Authority, Authority],
    anchors: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
) -> None:
    """A valid token of this head that somebody kept, and one of another head."""
    monkeypatch.setattr(timestamp, "_is_gost", lambda _: family == "cms")
    head = (bundle / "journal.jsonl.head").read_text().split()[1]
    for stamped, reason in ((head, "nonce"), (OTHER, "imprint|something else")):
        authorities[0].stamp(stamped, tmp_path / "kept")
        monkeypatch.setattr(stamping, "_post", lambda *_: (tmp_path / "kept").read_bytes())
        with pytest.raises(StampError, match=f"no valid time stamp.*({reason})"):
            stamp(bundle, ["http://authority.test/"], anchors)


@pytest.mark.parametrize("family", ["ts", "cms"])
def test_the_chain_lies_beside_a_token_that_lacks_it(
    bundle: Path,
    authorities: tuple[Authority, Authority],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
) -> None:
    monkeypatch.setattr(timestamp, "_is_gost", lambda _: family == "cms")
    root = Authority(tmp_path, "root", extensions="ca")
    middle = Authority(tmp_path, "middle", root, "ca")
    leaf = Authority(tmp_path, "leaf", middle)
    anchors = tmp_path / "roots.pem"
    anchors.write_bytes(root.certificate + authorities[0].certificate)
    with authorities[0].listening() as one, leaf.listening("127.0.0.2") as two:
        with pytest.raises(StampError, match="no valid time stamp"):
            stamp(bundle, [one, two], anchors)
        stamped = stamp(bundle, [one, two], anchors, middle.folder / "crt")
    assert [line.split(",")[0] for line in stamped] == ["Common Name: first", "Common Name: middle"]
    head = (bundle / "journal.jsonl.head").read_text().split()[1]
    (bundle / "tokens/127.0.0.2.pem").unlink()
    with pytest.raises(TokenError, match=r"127\.0\.0\.2\.tsr: no valid time stamp"):
        check_tokens(bundle / "tokens", head, anchors)


@pytest.mark.parametrize("family", ["ts", "cms"])
def test_a_token_of_another_head_is_refused(
    authorities: tuple[Authority, Authority],
    anchors: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
) -> None:
    monkeypatch.setattr(timestamp, "_is_gost", lambda _: family == "cms")
    token = tmp_path / "tokens/a.tsr"
    authorities[0].stamp(HEAD, token)
    assert check_token(token, HEAD, anchors)[0] == "Common Name: first"
    with pytest.raises(TokenError, match=f"no valid time stamp of the journal's head {OTHER}"):
        check_token(token, OTHER, anchors)


def test_a_token_that_names_another_certificate_is_refused(
    authorities: tuple[Authority, Authority], anchors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 5816: a certificate of the same name and number, put beside the token, is not its signer's."""
    monkeypatch.setattr(timestamp, "_is_gost", lambda _: True)
    token = tmp_path / "a.tsr"
    authorities[0].stamp(HEAD, token)
    monkeypatch.setattr(timestamp, "sha256", lambda _: hashlib.sha256(b"another certificate"))
    with pytest.raises(TokenError, match="not the one that it names"):
        check_token(token, HEAD, anchors)


def test_a_token_outlives_the_certificate_of_its_authority(tmp_path: Path) -> None:
    """Stamped in 2020 by a unit whose certificate ended in 2021; one that stamped in 2022 did so without a right to."""
    key = rsa.generate_private_key(65537, 2048)
    name = Name([NameAttribute(NameOID.COMMON_NAME, "old")])
    usage = ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    builder = CertificateBuilder(name, name, key.public_key(), 1, datetime(2020, 1, 1), datetime(2021, 1, 1))
    made = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
    (tmp_path / "crt").write_bytes(made.public_bytes(Encoding.PEM))
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    own = KeySettings(certificate=tmp_path / "crt", key=str(tmp_path / "key"))
    credential = Credential.open(own, purpose="time_stamping")
    query = ["ts", "-query", "-digest", HEAD, "-sha256", "-cert", "-out", "query"]
    subprocess.run(["openssl", *query], cwd=tmp_path, check=True, capture_output=True)
    for year in (2020, 2022):
        unit = StampingUnit("1.2.3", credential, [], Stopped(datetime(year, 6, 1, tzinfo=UTC)), timedelta(seconds=1))
        unit.ends = datetime.max.replace(tzinfo=UTC)  # ours would refuse
        (tmp_path / f"{year}.tsr").write_bytes(unit.stamp(read_request((tmp_path / "query").read_bytes())))
    assert check_token(tmp_path / "2020.tsr", HEAD, tmp_path / "crt")[1] == "2020-06-01T00:00:00Z"
    with pytest.raises(TokenError, match="no valid time stamp"):
        check_token(tmp_path / "2022.tsr", HEAD, tmp_path / "crt")
    unit = StampingUnit("1.2.3", credential, [], Stopped(datetime(2999, 1, 1, tzinfo=UTC)), timedelta(seconds=1))
    unit.ends = datetime.max.replace(tzinfo=UTC)
    (tmp_path / "later.tsr").write_bytes(unit.stamp(read_request((tmp_path / "query").read_bytes())))
    with pytest.raises(TokenError, match="a time that has not come yet: 2999-01-01"):
        check_token(tmp_path / "later.tsr", HEAD, tmp_path / "crt")


@pytest.mark.parametrize("content", [b"", b"x", b"\x30\x00", b"\x30\x05\x30\x03\x02\x01\x02"])
def test_what_is_no_token_is_said_to_be_none(anchors: Path, tmp_path: Path, content: bytes) -> None:
    """The last one is a rejection, which has no token."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens/a.tsr").write_bytes(content)
    with pytest.raises(TokenError, match=r"a\.tsr: no time stamp"):
        check_tokens(tmp_path / "tokens", HEAD, anchors)
    (tmp_path / "tokens/notes.txt").write_bytes(content)
    with pytest.raises(TokenError, match=r"neither a token .* of one: notes\.txt"):
        check_tokens(tmp_path / "tokens", HEAD, anchors)


def test_who_does_not_answer_or_is_no_authority_is_named(
    bundle: Path, authorities: tuple[Authority, Authority], anchors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(StampError, match=r"no answer from this authority: .*refused"):
            stamp(bundle, [f"http://127.0.0.1:{taken.getsockname()[1]}/"], anchors)
    with (
        authorities[0].listening(kind="text/html") as page,
        pytest.raises(StampError, match="no time stamp: text/html"),
    ):
        stamp(bundle, [page], anchors)
    monkeypatch.setattr(stamping, "LARGEST_REPLY", 100)
    with authorities[0].listening() as long, pytest.raises(StampError, match="101 octets"):
        stamp(bundle, [long], anchors)
    for url in ("file:///etc/passwd", "tsp.example", "http:///"):
        with pytest.raises(StampError, match="not the URL of an authority"):
            stamp(bundle, [url], anchors)
    with pytest.raises(StampError, match="no query for the policy wrong"):
        stamp(bundle, ["http://127.0.0.1/#wrong"], anchors)


def test_what_is_not_over_is_not_stamped(hall: Hall, anchors: Path) -> None:
    hall.open()
    with pytest.raises(StampError, match="its head is not the last one"):
        stamp(hall.folder, ["http://127.0.0.1/"], anchors)


def test_tokens_that_nobody_asked_for_do_not_stop_who_has_no_anchors(hall: Hall, bundle: Path) -> None:
    """The deployment gate has none: who may write to the bundle could take the tokens away as well."""
    (bundle / "tokens").mkdir()
    (bundle / "tokens/a.tsr").write_bytes(b"x")
    assert verify(hall, bundle) == 0
    assert verify(hall, bundle, "--anchors", "/dev/null") == 1
