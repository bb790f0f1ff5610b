"""`kepil estate`: what the controller can say about the estate that the inventory describes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from kepil.estate import way
from kepil.estate.access import ssh_config
from kepil.estate.inventory import all_variables, environment_sources, host_groups, read_estate, read_listing
from kepil.estate.model import Estate, EstateError
from kepil.pki.credential import read_certificate


def register(nouns: Any) -> None:
    """Add the noun and its verbs to the command line."""
    noun = nouns.add_parser("estate", help="the estate that the inventory describes")
    verbs = noun.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("summary", help="hosts, addresses, repository and roots").set_defaults(run=summary)
    verbs.add_parser("stands", help="exit 0 if every host's container runs").set_defaults(run=stands)
    verbs.add_parser(
        "ceremonies-held", help="exit 0 if every hierarchy's certificates are there, each in a ceremony's bundle"
    ).set_defaults(run=ceremonies_held)
    access = verbs.add_parser("ssh-config", help="how operators reach the hosts, as ssh_config(5)")
    access.add_argument("--environment", default="production", help="default: production")
    access.add_argument("--folder", help="where known_hosts lies; default: the inventory's own folder")
    access.add_argument("--option", action="append", default=[], help="a line more for every host; may be repeated")
    access.add_argument("--bastion-option", action="append", default=[], help="a line more for the bastion")
    access.set_defaults(run=print_ssh_config)
    drawing = verbs.add_parser("draw", help="draw zones and flows, and the reachability matrix, into a folder")
    drawing.add_argument("--environment", metavar="NAME", help="an inventory (default: the configured one)")
    drawing.add_argument("folder", type=Path)
    drawing.set_defaults(run=draw)
    image = verbs.add_parser("image", help="build the disk image of a host without a network, and its bill")
    image.add_argument("host")
    image.add_argument("--environment", default="production", metavar="NAME", help="default: production")
    image.add_argument("--out", type=Path, metavar="FOLDER", help="not there yet; default: build/image/HOST")
    image.add_argument("--bill", type=Path, metavar="FILE", help="of an earlier build: refuse what is not in it")
    image.set_defaults(run=build_image)
    container = verbs.add_parser("container", help="name of a host's container")
    container.add_argument("host")
    container.set_defaults(run=print_container)


def _running(estate: Estate) -> set[str]:
    try:
        done = subprocess.run(
            [
                *("docker", "ps", "--format", "{{.Names}}"),
                *("--filter", f"label=kepil.environment={estate.environment}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return set()
    return set(done.stdout.split())


def _records(estate: Estate) -> dict[str, dict[str, Any]]:
    """Ceremony records of the environment by certificate name."""
    folder = Path("ceremonies") / estate.environment
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def summary(_: argparse.Namespace) -> int:
    """Print what stands where."""
    estate = read_estate()
    running = _running(estate)
    for host in estate.members("all"):
        state = "runs" if estate.container(host) in running else "down"
        print(f"  {host.name:<8} {host.address or 'no network'!s:<15} {host.zone:<14} {state}")
    if not running:
        print("Nothing stands: ./estate up raises it.")
        return 0
    print(f"Networks: made by {', '.join(sorted(set(way.standing(estate.environment).values())))}")
    repository = f"pki.{estate.domain}"
    address = next((h.address for h in estate.members("repository")), None)
    print(f"Repository: http://{repository}/ ({address})")
    for name, record in _records(estate).items():
        print(f"{name}: SHA-256 {record['sha256']}")
    return 0


def stands(_: argparse.Namespace) -> int:
    """Exit status 0 when every host runs."""
    estate = read_estate()
    return 0 if {estate.container(host) for host in estate.hosts.values()} <= _running(estate) else 1


def ceremonies_held(_: argparse.Namespace) -> int:
    """Exit status 0 when every hierarchy's certificates are on record and in bundles, which the gate verifies."""
    listing = read_listing()
    estate = read_estate(listing)
    hierarchies = all_variables(listing)["pki_hierarchies"]
    names = {member["name"] for hierarchy in hierarchies.values() for member in hierarchy.values()}
    bundles = Path("ceremonies") / estate.environment / "bundles"
    held = {read_certificate(path).sha256.hex() for path in bundles.glob("*/files/*.crt")}
    recorded = {name for name, record in _records(estate).items() if record["sha256"] in held}
    return 0 if names <= recorded else 1


def print_ssh_config(arguments: argparse.Namespace) -> int:
    """Print the environment's ssh_config."""
    estate = read_estate(read_listing(environment_sources(Path("inventories"), arguments.environment)))
    folder = arguments.folder or f"inventories/{arguments.environment}"
    print(ssh_config(estate, folder, *arguments.option, to_bastion=tuple(arguments.bastion_option)), end="")
    return 0


def draw(arguments: argparse.Namespace) -> int:
    """Write an environment's diagrams and pages, and say where they lie."""
    from kepil.estate.pictures import folder  # noqa: PLC0415 what draws is on the controller only, not on hosts

    chosen = arguments.environment
    sources = environment_sources(Path("inventories"), chosen) if chosen else ()
    for path in folder.draw(read_estate(read_listing(sources)), arguments.folder):
        print(path)
    return 0


def build_image(arguments: argparse.Namespace) -> int:
    """Build an offline host's image and bill, and say where they lie."""
    from kepil.estate import offline, substrate  # noqa: PLC0415 what builds is on the controller only, not on hosts

    project = Path.cwd()
    listing = read_listing(environment_sources(Path("inventories"), arguments.environment))
    chosen = offline.packages(project, arguments.host, host_groups(listing), listing["_meta"]["hostvars"])
    out: Path = (arguments.out or Path("build/image", arguments.host)).absolute()
    made = offline.build(project, arguments.host, chosen, substrate.mirror(), out, arguments.bill)
    print((made.parent / "SHA256SUMS").read_text(encoding="ascii"), end="")
    return 0


def print_container(arguments: argparse.Namespace) -> int:
    """Print the name of the container that a host is."""
    estate = read_estate()
    host = estate.hosts.get(arguments.host)
    if host is None:
        raise EstateError(
            f"no host '{arguments.host}' in {estate.environment}; there are {', '.join(sorted(estate.hosts))}"
        )
    if estate.container(host) not in _running(estate):
        print(f"host {host.name} does not run: ./estate up raises it", file=sys.stderr)
        return 1
    print(estate.container(host))
    return 0
