"""Guard rails of an environment in earnest: what serves development must never get there.

They are looked at before any host is touched. A rehearsal lifts by name those that containers cannot meet; production
cannot lift any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any

import yaml

from kepil.errors import KepilError
from kepil.estate.access import unpinned
from kepil.estate.model import Estate

PRODUCTION = "production"
LOG_RETENTION_DAYS = 2557
"""Seven years, two of them leap years."""
TEST_NETWORKS = tuple(
    IPv4Network(text) for text in ("127.0.0.0/8", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24")
)
"""Addresses that are nobody's in earnest (RFC 6890)."""
_SECRET = re.compile(r"(^|_)(password|passphrase|passwd|secret|token|pin|puk|private_key|activation)$")
_DEBUG = re.compile(r"(^|_)(debug|verbose|trace)(_|$)|^ansible_verbosity$")


def in_earnest(estate: Estate) -> bool:
    """Whether guard rails and change gate hold: everywhere but in development and in Molecule's scenarios.

    No variable can switch them off where they hold.
    """
    return estate.environment != "development" and not estate.environment.startswith("molecule-")


class GuardRailError(KepilError):
    """The environment holds what only development may hold. The message names what, where, and what to do."""


@dataclass(frozen=True)
class Environment:
    """What the guard rails look at: each host's variables, and the folders of the environment's inventory."""

    estate: Estate
    hosts: Mapping[str, Mapping[str, Any]]
    folders: tuple[Path, ...]
    process: Mapping[str, str]
    """Environment variables of the run."""


Check = Callable[[Environment], Iterator[str]]


def hold(environment: Environment, lifted: frozenset[str] = frozenset()) -> None:
    """Raise GuardRailError with everything that is wrong; `lifted` names checks that a rehearsal goes without."""
    unknown = sorted(lifted - CHECKS.keys())
    if unknown:
        raise GuardRailError(f"estate_guard_rails_lifted: {', '.join(unknown)}: there are {', '.join(CHECKS)}")
    if lifted and environment.estate.environment == PRODUCTION:
        raise GuardRailError("estate_guard_rails_lifted: production lifts none; take the variable out")
    problems = [
        f"{name}: {problem}" for name, check in CHECKS.items() if name not in lifted for problem in check(environment)
    ]
    if problems:
        raise GuardRailError("The guard rails refuse this environment:\n" + "\n".join(f"- {each}" for each in problems))


def _software_hsm(environment: Environment) -> Iterator[str]:
    for host, variables in environment.hosts.items():
        if variables.get("hsm_kind") != "appliance":
            yield f"{host}: hsm_kind is '{variables.get('hsm_kind')}'; keys live on the vendor's HSM (appliance)"
        for key in ("hsm_module", "hsm_client_module"):
            if re.search(r"softhsm|p11-kit-client", str(variables.get(key, "softhsm")), re.IGNORECASE):
                yield f"{host}: {key} is {variables.get(key, 'not set')}; name the vendor's PKCS #11 module"
        if variables.get("hsm_file_key_types"):
            yield f"{host}: hsm_file_key_types is {variables['hsm_file_key_types']}; every key lives on the HSM: []"


def _file_keys(environment: Environment) -> Iterator[str]:
    for host, variables in environment.hosts.items():
        for name, hierarchy in dict(variables.get("pki_hierarchies", {})).items():
            for kind, member in hierarchy.items():
                if not member.get("partition"):
                    yield f"{host}: pki_hierarchies.{name}.{kind} has no partition; its key belongs on an HSM"
        for path, value in _leaves(variables):
            if isinstance(value, str) and value.startswith("file:"):
                yield f"{host}: {path} is {value}; keys are named by pkcs11: URIs (RFC 7512)"


def _time(environment: Environment) -> Iterator[str]:
    for host, variables in environment.hosts.items():
        if variables.get("base_owns_clock") is False:
            yield f"{host}: base_owns_clock is false; a machine keeps its own clock"
    for server in environment.estate.members("time"):
        sources = environment.hosts[server.name].get("base_time_sources") or []
        if not sources:
            yield f"{server.name}: base_time_sources is empty; name the clocks that the estate trusts"
        for source in filter(_is_test_address, sources):
            yield f"{server.name}: base_time_sources: {source} is an address for tests; name a clock"


def _randomness(environment: Environment) -> Iterator[str]:
    for host, variables in environment.hosts.items():
        if variables.get("base_hardware_randomness") is not True:
            yield f"{host}: base_hardware_randomness is not true; keys are drawn from hardware"


def _debugging(environment: Environment) -> Iterator[str]:
    for host, variables in environment.hosts.items():
        for path, value in _leaves(variables):
            key = path.rsplit(".", 1)[-1]
            if (_DEBUG.search(key) and value) or (
                key.endswith("log_level") and str(value).lower() in ("debug", "trace")
            ):
                yield f"{host}: {path} is {value!r}; take it out"
    for name in ("ANSIBLE_DEBUG", "ANSIBLE_KEEP_REMOTE_FILES", "ANSIBLE_NO_TARGET_SYSLOG", "ANSIBLE_STRATEGY"):
        if environment.process.get(name, "").lower() not in ("", "0", "false", "no"):
            yield f"the environment variable {name} is set; unset it"


def _host_keys(environment: Environment) -> Iterator[str]:
    known_hosts = environment.folders[-1] / "known_hosts"
    for host in unpinned(environment.estate, known_hosts):
        yield f"{host.name}: {known_hosts} holds no key for {host.address}; read it at the host's console and pin it"
    for name, variables in environment.hosts.items():
        for key in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"):
            if re.search(r"StrictHostKeyChecking[= ]*(no|off|accept-new)", str(variables.get(key, "")), re.IGNORECASE):
                yield f"{name}: {key} switches the check of host keys off; take that out"
        if variables.get("ansible_host_key_checking", True) is not True:
            yield f"{name}: ansible_host_key_checking is off; take it out"
    if environment.process.get("ANSIBLE_HOST_KEY_CHECKING", "true").lower() not in ("true", "1", "yes"):
        yield "the environment variable ANSIBLE_HOST_KEY_CHECKING switches the check of host keys off; unset it"


def _secrets(environment: Environment) -> Iterator[str]:
    for folder in environment.folders:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            text = file.read_text(encoding="utf-8", errors="replace")
            if "PRIVATE KEY-----" in text:
                yield f"{file}: holds a private key; keys are made where they are used"
            if file.suffix in (".yml", ".yaml") and not text.startswith("$ANSIBLE_VAULT;"):
                for path, value in _leaves(_Loader(text).get_data()):
                    if _SECRET.search(path.rsplit(".", 1)[-1]) and not _is_protected(value):
                        yield f"{file}: {path} is in the clear; encrypt it with ansible-vault encrypt_string"


def _log_retention(environment: Environment) -> Iterator[str]:
    for host, variables in environment.hosts.items():
        days = variables.get("base_log_retention_days", 0)
        if not isinstance(days, int) or days < LOG_RETENTION_DAYS:
            yield f"{host}: base_log_retention_days is {days}; seven years are {LOG_RETENTION_DAYS}"


def _ceremonies(environment: Environment) -> Iterator[str]:
    for host, variables in environment.hosts.items():
        if variables.get("ceremony_certificate_gate", True) is not True:
            yield f"{host}: ceremony_certificate_gate is not true; a ceremony vouches for what is deployed: take it out"
        if "ceremony_certificate_signers" in variables:
            yield (
                f"{host}: ceremony_certificate_signers is set; those who hold ceremonies stand in "
                f"{environment.folders[-1] / 'allowed_signers'}: take it out"
            )


def _known_keys(environment: Environment) -> Iterator[str]:
    for host in environment.estate.members("ca"):
        if not environment.hosts[host.name].get("ca_known_keys"):
            yield (
                f"{host.name}: ca_known_keys names no list; without one keys of Debian's broken generator pass: "
                "bring in the lists of package openssl-blacklist (docs/adr/0013-weak-keys.md)"
            )


def _antivirus(environment: Environment) -> Iterator[str]:
    for host in environment.estate.members("gateway"):
        variables = environment.hosts[host.name]
        if variables.get("gateway_antivirus", True) and not variables.get("gateway_antivirus_mirror"):
            yield f"{host.name}: gateway_antivirus_mirror is empty; the scanner would know the EICAR test file alone"


CHECKS: dict[str, Check] = {
    "software_hsm": _software_hsm,
    "file_keys": _file_keys,
    "ceremonies": _ceremonies,
    "time": _time,
    "randomness": _randomness,
    "debugging": _debugging,
    "host_keys": _host_keys,
    "secrets": _secrets,
    "log_retention": _log_retention,
    "known_keys": _known_keys,
    "antivirus": _antivirus,
}


class _Vaulted(str):
    """A value that ansible-vault has encrypted."""


class _Loader(yaml.SafeLoader):
    """YAML with Ansible's own tags, none of them resolved."""


_Loader.add_constructor("!vault", lambda _loader, node: _Vaulted(node.value))
_Loader.add_constructor("!unsafe", lambda _loader, node: str(node.value))


def _is_protected(value: Any) -> bool:
    return value in (None, "") or isinstance(value, _Vaulted) or "{{" in str(value)


def _is_test_address(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return text.endswith((".test", ".example", ".invalid", "localhost", ".pool.ntp.org"))
    return any(address in network for network in TEST_NETWORKS)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each plain value with the keys that lead to it."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _leaves(item, f"{path}.{at}")
    else:
        yield path, value
