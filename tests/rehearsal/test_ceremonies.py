"""At a rehearsal's end: the ceremonies that replace and destroy keys, on its hosts, in this order; no secret is told.

Each test takes up the estate as the one before left it. `./estate rehearse end` runs them all; CI leaves out those
that are long, whose acts the others have shown.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.activation import pin, recover
from kepil.estate.model import Estate, Host
from tests.estate.everywhere import everywhere, run

RECORDS = Path("ceremonies/rehearsal")
PEOPLE, BUNDLES = RECORDS / "people", RECORDS / "bundles"
RSA = ("--families", "rsa")

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
grep -rlsFf "$words" /etc /home /opt /root /run /tmp /var/lib/kepil-hsm /var/log /var/tmp --exclude-dir=credentials
true
"""
PRIVATE_KEYS = """
export SOFTHSM2_CONF=/etc/kepil/hsm/nca.conf PIN=$(cat /etc/kepil/credentials/hsm-nca.pin)
runuser -u kepil-hsm -- pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so --token-label nca --login --pin env:PIN \\
  --list-objects --type privkey
"""


def kepil(*words: str | Path) -> str:
    """What the command says; it must succeed."""
    command = [sys.executable, "-m", "kepil.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


class Ceremonies:
    """Holds ceremonies as an operator does, remembers what was on the screen, and what must not be."""

    def __init__(self, estate: Estate) -> None:
        self.estate, self.screen, self.secrets = estate, "", set[str]()

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

    def opening(self) -> set[str]:
        """What opens partitions now: activation data where they are kept, shares, and what the shares give."""
        keepers = [host for host in self.estate.hosts.values() if {"hsm", "root"} & set(host.groups)]
        # A module whose keys were destroyed may have none.
        read = "cat /etc/kepil/credentials/*.pin 2>/dev/null || true"
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
    """Where activation data pass, every command line is seen."""
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
    yield Ceremonies(estate)
    everywhere(watched, lambda host: run(estate, host, "sh", "-c", UNWATCH))


@pytest.mark.clause("CP-6.4")
def test_custodians_are_replaced_and_services_go_on(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    before = ceremonies.opening()
    assert before
    ceremonies.hold("custodian_replacement")
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


@pytest.mark.clause("CP-6.1")
def test_killed_in_the_middle_of_an_act_it_goes_on(ceremonies: Ceremonies) -> None:
    """Killed when the key is made and the journal does not say so yet."""
    made = RECORDS / "keys/nca-rsa-next.json"
    with subprocess.Popen(
        ceremonies.command("rekey", *RSA), stdout=subprocess.DEVNULL, start_new_session=True
    ) as begun:
        while not made.exists():
            assert begun.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        os.killpg(begun.pid, signal.SIGKILL)
    key = json.loads(made.read_text())["public_key_sha256"]
    bundle = ceremonies.hold("rekey", *RSA)
    assert len(told(bundle, "resumed")) == 1
    (performed,) = [one for one in told(bundle, "performed") if one["step"] == "key-nca-rsa"]
    assert performed["evidence"]["made"]["key:nca-rsa-next"]["sha256"] == key


@pytest.mark.clause("CP-5.7")
def test_a_compromised_key_is_revoked_and_gone_everywhere(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    serial = json.loads((RECORDS / "nca-rsa.json").read_text())["serial"].upper()
    ceremonies.hold("compromise", *RSA)
    crl = subprocess.run(
        ["openssl", "crl", "-in", RECORDS / "krnca-rsa.crl", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert serial in crl
    assert "Key Compromise" in crl
    for host in ("hsm01", "hsm02"):
        assert "label:      nca-rsa\n" not in on(host)(PRIVATE_KEYS)
    assert not list(RECORDS.rglob("nca.wrapped"))
    assert serial.lower() in (RECORDS / "files/notices").read_text().lower()


@pytest.mark.long
@pytest.mark.clause("CP-5.7")
def test_a_new_key_takes_the_compromised_ones_place(ceremonies: Ceremonies) -> None:
    bundle = ceremonies.hold("issuing", *RSA)
    assert (bundle / "files/nca-rsa.crt").read_bytes() == (RECORDS / "nca-rsa.crt").read_bytes()


@pytest.mark.long
@pytest.mark.clause("CP-6.2")
def test_keys_whose_time_is_over_are_destroyed(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    ceremonies.hold("destruction", "--families", "gost")
    on("ca01")("test ! -e /etc/kepil/keys/nca/nca-gost.pem")


@pytest.mark.long
@pytest.mark.clause("CP-5.8")
def test_the_service_ends(ceremonies: Ceremonies, on: Callable[[str], Any]) -> None:
    ceremonies.hold("end_of_service", *RSA)
    assert not (RECORDS / "keys/krnca-rsa.json").exists()
    assert "label:      nca-rsa\n" not in on("hsm01")(PRIVATE_KEYS)


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
    places = [RECORDS, Path("changes"), Path("build"), Path.home() / ".ansible/tmp"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    read = {path: path.read_bytes() for path in files}
    assert not [path for path, content in read.items() for secret in ceremonies.secrets if secret.encode() in content]


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
