"""At a rehearsal's end: the ceremonies that replace and destroy keys, on its hosts, in this order; no secret is told.

Each test takes up the estate as the one before left it. `./estate rehearse end` runs them all; CI leaves out those
that are long, whose acts the others have shown.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.activation import pin, recover
from kepil.estate.model import Estate, Host
from tests.estate.everywhere import everywhere, run

RECORDS = Path("ceremonies/rehearsal")
PEOPLE, BUNDLES = RECORDS / "people", RECORDS / "bundles"
MEMORY = Path("/dev/shm")  # noqa: S108 -- where no file outlives the tests
GENERATIONS = Path("inventories/rehearsal/group_vars/all/generations.yml")
RSA, GOST = ("--families", "rsa"), ("--families", "gost")
SOURCES = [f"inventories/{name}" for name in ("common", "production", "rehearsal", "estate.kepil.yml")]
OPENING = """security-officer-1 custodian-1 custodian-2 operator-1 witness-1 auditor-1
witness-1 - auditor-1 - auditor-1 - custodian-1 - security-officer-1 - witness-1 -"""
MEDIUM = "operator-1 witness-1"
OPENED = f"{MEDIUM} witness-1 - auditor-1 - custodian-1 - custodian-2 - auditor-1 -"
CONFIRMED = "custodian-1 - custodian-2 - witness-1 - auditor-1 -"
ABORTED, CLOSED = "abort custodian-1 wrong abort witness-1 wrong", "custodian-1 witness-1"
"""What people type at the terminal, `-` for an empty line: until a ceremony's first act, to sign a medium, to bring in
what the root signed before and open its module, to confirm a CRL, to abort, and to close the journal."""

WATCH = Path(__file__).with_name("watch.py")
UNWATCH = "kill $(cat /dev/shm/watch.pid); rm -f /dev/shm/watch.pid /dev/shm/watched"
# What is looked for comes by standard input, so that no secret appears on a command line here either.
SEARCH = """
umask 077
words=$(mktemp -p /dev/shm)
trap 'rm -f "$words"' EXIT
cat > "$words"
journalctl --no-pager -o cat | grep -qFf "$words" && echo 'the journal'
[ ! -e /dev/shm/watched ] || { grep -qFf "$words" /dev/shm/watched && echo 'a command line'; }
grep -lsaFf "$words" /proc/[0-9]*/environ
grep -rlsFf "$words" /dev/shm /etc /home /opt /root /run /srv /tmp /var/lib /var/log /var/tmp \\
  --exclude-dir=credentials --exclude-dir=postgresql --exclude="${words##*/}"
true
"""
PRIVATE_KEYS = """
export SOFTHSM2_CONF=/etc/kepil/hsm/nca.conf PIN=$(cat /etc/kepil/credentials/hsm-nca.pin)
runuser -u kepil-hsm -- pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so --token-label nca --login --pin env:PIN \\
  --list-objects --type privkey
"""


def ask_ocsp(issuing: str, ocsp: str) -> str:
    """A command that asks a responder for its own certificate, which is one of those that it answers for."""
    return f"""
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
export OPENSSL_CONF=/etc/ssl/openssl-gost.cnf
for name in {issuing} {ocsp}; do openssl x509 -in /etc/kepil/pki/$name.crt -out $name.pem; done
openssl ocsp -issuer {issuing}.pem -cert {ocsp}.pem -partial_chain -CAfile {issuing}.pem -url http://localhost/ 2>&1
"""


def kepil(*words: str | Path) -> str:
    """What the command says; it must succeed."""
    command = [sys.executable, "-m", "kepil.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def state(**generations: Any) -> None:
    """What the rehearsal's inventory says of generations from now on; the file is none of the project's."""
    GENERATIONS.write_text(json.dumps({"pki_generations": generations}), encoding="utf-8")


class Ceremonies:
    """Holds ceremonies as an operator does, remembers what was on the screen, and what must not be."""

    def __init__(self, estate: Estate, watched: Path) -> None:
        self.estate, self.screen, self.secrets = estate, "", set[str]()
        self.watched, self.since = watched, time.time()

    def command(self, name: str, *options: str) -> list[str]:
        return ["./estate", "rehearse", "ceremony", name, *options]

    def hold(self, name: str, *options: str) -> Path:
        """The bundle of a ceremony that was completed, and verifies."""
        before = set(BUNDLES.iterdir())
        done = subprocess.run(self.command(name, *options), capture_output=True, text=True, check=False)
        self.screen += done.stdout + done.stderr
        assert done.returncode == 0, done.stdout + done.stderr
        (bundle,) = set(BUNDLES.iterdir()) - before
        assert ": completed, " in kepil("ceremony", "verify", bundle, "--signers", PEOPLE / "allowed_signers")
        return bundle

    def abort(self, name: str, *typed: str, families: tuple[str, ...] = RSA) -> Path:
        """The bundle of a ceremony at a terminal, where this is typed, and that its people abort."""
        before = set(BUNDLES.iterdir())
        done = self.attended(name, *families, typed=" ".join(typed))
        made = set(BUNDLES.iterdir()) - before
        assert len(made) == 1, done.stdout + done.stderr
        (bundle,) = made
        assert ": aborted, " in kepil("ceremony", "verify", bundle, "--signers", PEOPLE / "allowed_signers")
        return bundle

    def converge(self, playbook: str, *replaceable: str) -> tuple[int, str]:
        """A converge under a change of its own; these certificates may be replaced. Gives exit status and output."""
        given = json.dumps({"ceremony_certificate_replaceable": replaceable})
        now = datetime.now(UTC)
        change = f"{now:%Y%m%d-%H%M%S}-{Path(playbook).stem}"
        until = f"{now + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"
        record = (
            "--id",
            change,
            "--playbook",
            playbook,
            "--reason",
            "Rehearsal",
            "--until",
            until,
            "--extra-vars",
            given,
        )
        kepil("change", "propose", "rehearsal", *record, *(word for one in SOURCES for word in ("--inventory", one)))
        for who in ("change-manager", "security-officer"):
            kepil("change", "sign", "rehearsal", change, "--key", f"build/rehearsal/people/{who}", "--yes")
        command = [
            "ansible-playbook",
            *(word for one in SOURCES for word in ("-i", one)),
            playbook,
            "--extra-vars",
            given,
        ]
        environment = os.environ | {"KEPIL_CHANGE": change}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def attended(self, name: str, *options: str, typed: str) -> subprocess.CompletedProcess[str]:
        """A ceremony at a terminal, where this is typed."""
        lines = "\n".join("" if word == "-" else word for word in typed.split()) + "\n"
        command = self.command(name, *options, "--attended")
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
        self.screen += done.stdout + done.stderr
        return done

    def opening(self) -> set[str]:
        """What opens partitions now: activation data where they are kept, shares, and what the shares give."""
        keepers = [host for host in self.estate.hosts.values() if {"hsm", "root"} & set(host.groups)]
        # A module whose keys were destroyed may have none.
        read = "cat /etc/kepil/credentials/*pin 2>/dev/null || true"
        found = set(
            " ".join(everywhere(keepers, lambda host: run(self.estate, host, "sh", "-c", read)).values()).split()
        )
        for record in (RECORDS / "shares").glob("*.json"):
            shares = json.loads(kepil("ceremony", "open-shares", record.with_suffix(""), "--keys", PEOPLE))
            found |= {*shares, pin(recover(shares[: json.loads(record.read_text())["threshold"]]))}
        self.secrets |= found
        return found


def told(bundle: Path, event: str) -> list[dict[str, Any]]:
    """The data of a journal's entries of a kind."""
    entries = map(json.loads, (bundle / "journal.jsonl").read_text(encoding="utf-8").splitlines())
    return [entry["data"] for entry in entries if entry["event"] == event]


@pytest.fixture(scope="module")
def ceremonies(estate: Estate) -> Iterator[Ceremonies]:
    """Where activation data pass, every command line is seen; here too, from where ceremonies are held."""
    watched = [host for host in estate.hosts.values() if {"hsm", "root", "ca"} & set(host.groups)]
    for host in watched:
        words = (
            "docker",
            "exec",
            "--detach",
            estate.container(host),
            "python3",
            "-c",
            WATCH.read_text(encoding="utf-8"),
        )
        subprocess.run(words, check=True, capture_output=True)
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    with subprocess.Popen([sys.executable, "-c", WATCH.read_text(encoding="utf-8"), folder]) as watching:
        yield Ceremonies(estate, folder / "watched")
        watching.kill()
    shutil.rmtree(folder)
    GENERATIONS.unlink(missing_ok=True)
    everywhere(watched, lambda host: run(estate, host, "sh", "-c", UNWATCH))


CLOSED_MODULE = """
ls -A /run/kepil-ceremony 2>/dev/null
find / -xdev -name 'hsm-root*pin' 2>/dev/null
find /etc/kepil/credentials -name '*.so-pin'
true
"""


def assert_closed(on: Callable[[str], Any]) -> None:
    """Nothing on the root's host opens its module, and nothing anywhere sets a PIN or has a token made anew."""
    assert on("root01")(CLOSED_MODULE) == ""
    for name in ("hsm01", "hsm02"):
        assert "so-pin" not in on(name)("ls /etc/kepil/credentials")
    for name in ("root01", "hsm01"):
        assert on(name)("find /var/lib/kepil-hsm -name begun") == ""


@pytest.mark.clause("CP-6.4")
def test_custodians_are_replaced_and_services_go_on(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    before = ceremonies.opening()
    assert before
    assert_closed(on)
    ceremonies.hold("custodian_replacement")
    assert_closed(on)
    assert not before & ceremonies.opening(), "something that opened before opens still"
    on("ca01")("systemctl start kepil-ca-crl@delta.service && systemctl is-active kepil-ca.service")
    for name, unit in (("ocsp01", "kepil-ocsp@*"), ("tsp02", "kepil-tsp@*")):
        on(name)(f"systemctl list-units --plain --no-legend --state=running '{unit}' | grep .")


@pytest.mark.clause("CP-6.2")
def test_a_backup_is_restored_to_the_second_module(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    bundle = ceremonies.hold("backup", *RSA)
    ceremonies.opening()
    assert "nca-rsa" in on("hsm02")(PRIVATE_KEYS)
    on("hsm01")("test ! -e /etc/kepil/ceremony/nca.wrapped")
    wrapped = RECORDS / "medium/nca.wrapped"
    assert wrapped.exists()
    assert not [path for path in bundle.rglob("*") if path.is_file() and path.read_bytes() == wrapped.read_bytes()]


@pytest.mark.long
@pytest.mark.clause("CP-6.1")
def test_killed_in_the_middle_of_an_act_it_goes_on(ceremonies: Ceremonies) -> None:
    """Killed when the key is made, and neither record nor journal says so yet."""
    state(rsa={"next": {"issuing": 2, "ocsp": 2, "tsp": 2}})
    made = RECORDS / "keys/nca-rsa-2.json"
    with subprocess.Popen(
        ceremonies.command("rekey", *RSA), stdout=subprocess.DEVNULL, start_new_session=True
    ) as begun:
        while not made.exists():
            assert begun.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        os.killpg(begun.pid, signal.SIGKILL)
    key = json.loads(made.read_text())["public_key_sha256"]
    made.unlink()  # as if it had ended a moment before; key and record are written too close for a kill between them
    bundle = ceremonies.hold("rekey", *RSA)
    assert len(told(bundle, "resumed")) == 1
    (performed,) = [one for one in told(bundle, "performed") if one["step"] == "key-nca-rsa-2"]
    assert performed["evidence"]["made"]["key:nca-rsa-2"]["sha256"] == key


@pytest.mark.long
@pytest.mark.timeout(2400)  # four converges and three ceremonies
@pytest.mark.clause("CP-5.6")
def test_keys_that_follow_go_into_service(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    """Re-key, renewal, the day, and the end of the old unit's key, as docs/ceremonies.md has them (Generations)."""
    rsa, numbers = {"next": {"issuing": 2, "ocsp": 2, "tsp": 2}}, {"issuing": 2, "ocsp": 2, "tsp": 2}
    state(rsa=rsa, gost={"next": numbers})
    ceremonies.hold("rekey", *GOST)
    assert ceremonies.converge("playbooks/layers/authority.yml")[0] == 0
    ceremonies.hold("renewal", *GOST)
    assert ceremonies.converge("playbooks/site.yml")[0] == 0
    state(rsa=rsa, gost={**numbers, "former": [{"issuing": 1, "ocsp": 1}]})
    assert ceremonies.converge("playbooks/site.yml")[0] == 0
    status, said = ceremonies.converge("playbooks/site.yml")
    assert status == 0
    assert set(re.findall(r"changed=(\d+)", said)) == {"0"}, said
    for issuing, ocsp in (("nca-gost", "ocsp-gost"), ("nca-gost-2", "ocsp-gost-2")):
        answer = on("ocsp02")(ask_ocsp(issuing, ocsp))
        assert "Response verify OK" in answer
        assert f"{ocsp}.pem: good" in answer
    ceremonies.hold("destruction", *GOST)
    for unit in ("tsp01", "tsp02"):
        on(unit)("cd /etc/kepil/keys/tsp && test ! -e tsp-gost.pem && test -e tsp-gost-2.pem")


def root_crl(path: Path | str = RECORDS / "krnca-rsa.crl") -> tuple[int, str]:
    """Number and text of the RSA root's CRL."""
    words = ["openssl", "crl", "-in", path, "-noout", "-crlnumber", "-text"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return int(said.splitlines()[0].removeprefix("crlNumber="), 16), said


@pytest.mark.clause("CP-6.4")
def test_the_roots_host_keeps_nothing_and_signs_with_enough_shares(
    ceremonies: Ceremonies, on: Callable[[str], Any]
) -> None:
    """As on the image that runs from memory. Threat: who comes to the host without the custodians uses its key."""
    assert_closed(on)
    before = root_crl()[0]
    on("root01")("rm -rf /etc/kepil/credentials /etc/kepil/ceremony && install -d -m 0700 /etc/kepil/credentials")
    kept = PEOPLE / "custodian-2.pem"
    away = kept.rename(kept.with_suffix(".away"))
    try:
        alone = ceremonies.attended("crl", *RSA, typed=f"{OPENING} {MEDIUM} witness-1 - auditor-1 -")
    finally:
        away.rename(kept)
    assert alone.returncode != 0
    assert "module stays closed" in " ".join(alone.stdout.split())
    assert "no key, and no card's URI, of custodian-2" in " ".join(alone.stdout.split())
    assert_closed(on)
    assert root_crl()[0] == before
    bundle = ceremonies.hold("crl", *RSA)  # it goes on where it was interrupted
    assert root_crl()[0] == before + 1
    opened = next(one for one in told(bundle, "performed") if one["step"] == "open-root")["evidence"]["made"]
    assert opened == {"opened:root": {"threshold": 2, "holders": ["custodian-1", "custodian-2"]}}
    assert_closed(on)


@pytest.mark.long
@pytest.mark.clause("CP-6.2")
def test_an_aborted_renewal_leaves_its_key_on_no_host(ceremonies: Ceremonies, estate: Estate) -> None:
    """Threat: a key that is a file was brought to the group's other host, and stays there."""
    stated = GENERATIONS.read_text() if GENERATIONS.exists() else None
    state(rsa={"next": {"issuing": 2, "ocsp": 2, "tsp": 2}}, gost={"next": {"ocsp": 9, "tsp": 9}})

    def look(host: Host) -> str:
        return run(estate, host, "sh", "-c", "find / -xdev -name '*-gost-9*' ! -path '/proc/*' 2>/dev/null || true")

    hosts = [host for host in estate.hosts.values() if "appliance" not in host.groups]
    steps = f"{OPENING} custodian-1 - auditor-1 - custodian-1 - witness-1 -"
    begun = ceremonies.attended("renewal", *GOST, typed=steps)
    assert begun.returncode != 0, "the terminal was closed in the middle"
    seen = {name for name, found in everywhere(hosts, look).items() if "/etc/kepil/keys/ocsp/ocsp-gost-9.pem" in found}
    assert {"ocsp01", "ocsp02"} <= seen
    present = "security-officer-1 custodian-1 custodian-2 operator-1 witness-1 auditor-1"
    bundle = ceremonies.abort("renewal", present, ABORTED, CLOSED, families=GOST)
    assert "key:ocsp-gost-9" in {one["thing"] for one in told(bundle, "removed")}
    assert {name: found for name, found in everywhere(hosts, look).items() if found} == {}
    if stated is not None:
        GENERATIONS.write_text(stated, encoding="utf-8")


@pytest.mark.long
@pytest.mark.clause("CP-4.9")
def test_an_aborted_ceremony_leaves_the_root_a_valid_crl(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    before, text = root_crl()
    bundle = ceremonies.abort("crl", OPENING, OPENED, MEDIUM, ABORTED, MEDIUM, CLOSED)
    assert_closed(on)
    assert root_crl() == (before, text), "one that nobody confirmed is withdrawn"
    former = json.loads((bundle / "media/krnca-rsa.former.crl/manifest.json").read_bytes())
    assert (
        former["files"]["krnca-rsa.former.crl"]["sha256"]
        == sha256((RECORDS / "krnca-rsa.crl").read_bytes()).hexdigest()
    )
    ceremonies.abort("crl", OPENING, OPENED, MEDIUM, CONFIRMED, ABORTED, CLOSED)
    assert_closed(on)
    assert root_crl()[0] == before + 2, "one that was confirmed stays, and no number is given twice"
    here = sha256((RECORDS / "krnca-rsa.crl").read_bytes()).hexdigest()
    assert on("root01")("sha256sum /etc/kepil/ceremony/krnca-rsa.crl").split()[0] == here


@pytest.mark.clause("CP-5.7")
def test_a_compromised_key_is_revoked_and_gone_everywhere(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    serial = json.loads((RECORDS / "nca-rsa.json").read_text())["serial"].upper()
    ceremonies.hold("compromise", *RSA)
    crl = root_crl()[1]
    assert serial in crl
    assert "Key Compromise" in crl
    for host in ("hsm01", "hsm02"):
        assert "label:      nca-rsa\n" not in on(host)(PRIVATE_KEYS)
    assert not list(RECORDS.rglob("nca.wrapped"))
    notices = (RECORDS / "files/notices").read_text()
    assert serial.lower() in notices.lower()
    assert "ocsp-rsa" not in notices, "it was not revoked: it goes with its issuer"


@pytest.mark.long
@pytest.mark.timeout(2400)  # three converges and two ceremonies
@pytest.mark.clause("CP-5.7")
def test_a_new_key_takes_the_compromised_ones_place(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    """Compromise, issuing, authority, status, converge: who goes another way is told which."""
    retired = sorted(path.name for path in (RECORDS / "retired").iterdir())
    status, said = ceremonies.converge("playbooks/layers/status.yml")
    assert status != 0
    assert "nca-rsa.crt, nca-rsa.json" in said
    assert "Hold the ceremony" in said
    bundle = ceremonies.hold("issuing", *RSA)
    assert (bundle / "files/nca-rsa.crt").read_bytes() == (RECORDS / "nca-rsa.crt").read_bytes()
    early = subprocess.run(ceremonies.command("status", *RSA), capture_output=True, text=True, check=False)
    assert early.returncode != 0
    assert "Converge playbooks/layers/authority.yml" in " ".join(early.stdout.split())
    status, said = ceremonies.converge("playbooks/layers/authority.yml", *retired)
    assert status == 0, said
    ceremonies.hold("status", *RSA)
    status, said = ceremonies.converge("playbooks/site.yml", *retired)
    assert status == 0, said
    answer = on("ocsp01")(ask_ocsp("nca-rsa", "ocsp-rsa"))
    assert "Response verify OK" in answer
    assert "ocsp-rsa.pem: good" in answer


@pytest.mark.long
@pytest.mark.clause("CP-5.7")
def test_what_the_revoked_nca_made_is_not_deployed(ceremonies: Ceremonies) -> None:
    """Threat: the old responder's certificate is restored from its bundle, which verifies to this day."""
    (old,) = (RECORDS / "retired").glob("*/ocsp-rsa.crt")
    names = ("ocsp-rsa.crt", "ocsp-rsa.json")
    new = {name: (RECORDS / name).read_bytes() for name in names}
    for name in names:
        (RECORDS / name).write_bytes((old.parent / name).read_bytes())
    status, said = ceremonies.converge("playbooks/layers/status.yml", old.parent.name)
    for name, content in new.items():
        (RECORDS / name).write_bytes(content)
    assert status != 0
    assert "ocsp-rsa.crt was not issued by" in said
    assert "revoked at" in said
    assert "(key_compromise)" in said


@pytest.mark.long
@pytest.mark.clause("CP-5.7")
def test_a_former_key_is_compromised_and_the_one_in_service_stays(
    ceremonies: Ceremonies, on: Callable[[str], Any]
) -> None:
    """The first generation's: once its line is taken out of `former`, nobody signs for it any more."""
    records = [RECORDS / f"{name}.json" for name in ("nca-gost", "nca-gost-2")]
    former, present = (json.loads(record.read_text())["serial"] for record in records)
    second = {"issuing": 2, "ocsp": 2, "tsp": 2}
    state(gost={**second, "former": [{"issuing": 1, "ocsp": 1}]})
    ceremonies.hold("compromise", *GOST, "--issuing", "nca-gost")
    crl = root_crl(RECORDS / "krnca-gost.crl")[1]
    assert former.upper() in crl
    assert present.upper() not in crl
    notices = (RECORDS / "files/notices").read_text().lower()
    assert former.lower() in notices
    assert present.lower() not in notices
    state(gost=second)
    status, said = ceremonies.converge("playbooks/site.yml")
    assert status == 0, said
    on("ca01")("cd /etc/kepil/keys/nca && test ! -e nca-gost.pem && test -e nca-gost-2.pem")
    for name in ("ocsp01", "ocsp02"):
        on(name)("cd /etc/kepil/keys/ocsp && test ! -e ocsp-gost.pem && test -e ocsp-gost-2.pem")
    assert "ocsp-gost-2.pem: good" in on("ocsp01")(ask_ocsp("nca-gost-2", "ocsp-gost-2"))


@pytest.mark.long
@pytest.mark.clause("CP-5.8")
def test_the_service_ends(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    following = json.loads((RECORDS / "nca-rsa-2.json").read_text())["serial"].upper()
    bundle = ceremonies.hold("end_of_service", *RSA)
    assert following in root_crl()[1]
    assert not list((RECORDS / "keys").glob("*-rsa*.json"))
    assert "-rsa" not in on("hsm01")(PRIVATE_KEYS)
    accounts = [one["evidence"]["account"] for one in told(bundle, "performed") if "account" in one["evidence"]]
    assert not [name for last in accounts[-2:] for name in last if "-rsa" in name], "of the estate, and of the root"


def recent(place: Path, since: float) -> Iterator[Path]:
    """Files there that were written since the tests began."""
    for folder, _, names in os.walk(place):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink() and path.stat().st_mtime > since:
                    yield path


def assert_untold_here(ceremonies: Ceremonies) -> None:
    """On the host from which ceremonies are held: records, temporary files, and what processes were started with."""
    places = {RECORDS: 0.0, Path("changes"): 0.0, Path("build"): 0.0}
    places |= dict.fromkeys([Path.home() / ".ansible", Path(tempfile.gettempdir()), MEMORY], ceremonies.since)
    files = [path for place, since in places.items() for path in recent(place, since)]
    files += [path for kind in ("cmdline", "environ") for path in Path("/proc").glob(f"[0-9]*/{kind}")]
    assert ceremonies.watched in files
    found = []
    for path in files:
        with contextlib.suppress(OSError):  # it is gone
            content = path.read_bytes()
            found += [path for secret in ceremonies.secrets if secret.encode() in content]
    assert not found


@pytest.mark.clause("CP-5.4")
def test_no_secret_was_told_anywhere(ceremonies: Ceremonies, estate: Estate) -> None:
    """Threat: a share or a PIN in a journal, a log, a temporary file, on a command line or on the screen."""
    assert len(ceremonies.opening()) > len(list((RECORDS / "shares").glob("*.json")))
    words = "".join(f"{secret}\n" for secret in ceremonies.secrets)

    def search(host: Host) -> str:
        return run(estate, host, "sh", "-c", SEARCH, given=words).strip()

    found = everywhere([host for host in estate.hosts.values() if "appliance" not in host.groups], search)
    assert {name: text for name, text in found.items() if text} == {}
    assert not [secret for secret in ceremonies.secrets if secret in ceremonies.screen]
    assert_untold_here(ceremonies)


def test_the_search_finds_what_is_there(ceremonies: Ceremonies, estate: Estate) -> None:
    """The search above is worth nothing where it finds nothing at all."""
    host = estate.hosts["hsm01"]
    plant = (
        "logger kepil-planted; python3 -c 'import time; time.sleep(2)' kepil-planted; echo kepil-planted > /run/planted"
    )
    run(estate, host, "sh", "-c", plant)
    found = run(estate, host, "sh", "-c", SEARCH, given="kepil-planted\n")
    run(estate, host, "rm", "/run/planted")
    assert {"the journal", "a command line", "/run/planted"} <= set(found.splitlines())
