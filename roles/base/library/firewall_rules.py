"""Ansible module: nftables rules that are taken back by themselves unless a later step confirms them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: firewall_rules
short_description: Compare, load and confirm a host's nftables rules
description:
  - The rules in force, counters aside, are compared with what the wanted text means to nft, so that a rule added by
    hand is found. To get the meaning, the text is loaded into a network namespace of its own (needs C(CAP_SYS_ADMIN)).
  - Rules are loaded for a time. Unless they are confirmed within it, a timer of systemd restores those that were in
    force, whatever has become of who loaded them. Only confirmed rules are written to C(/etc/nftables.conf), which a
    restart loads.
  - The text says C(flush ruleset), for a start, when nobody keeps a table yet. A load puts in its place what takes
    away every table but those named O(beside). It is one transaction; if it cannot be loaded, the rules in force stay.
options:
  rules:
    description: The whole rule set, as C(nft -f) reads it.
    type: str
    required: true
  state:
    description:
      - With C(compared), nothing is done; C(changed) and the difference say whether file or kernel hold other rules.
      - With C(loaded), the rules are in force for O(seconds).
      - With C(confirmed), they stay, over restarts too. It fails where they are no longer in force.
    choices: [compared, loaded, confirmed]
    default: compared
  beside:
    description:
      - Tables, as C(nft list tables) names them without the word C(table), that another service of the host keeps. They
        are neither compared, nor taken away by a load, nor brought back as they were by its way back.
    type: list
    elements: str
    default: []
  seconds:
    description: How long loaded rules wait for their confirmation. Needed with C(loaded).
    type: int
"""

CONFIRMED = Path("/etc/nftables.conf")
PREVIOUS = Path("/run/kepil-firewall-previous.nft")
FLUSH = "flush ruleset\n"
TIMER = "kepil-firewall-rollback"


class Firewall:
    """The rules of this host: those that are wanted, those in force, and those that a restart would load."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.wanted: str = module.params["rules"]

    def compare(self) -> list[dict[str, str]]:
        """What differs from the wanted rules, each as Ansible shows a difference."""
        if not self.module.get_bin_path("nft"):  # check mode, on a host that has nothing yet
            return [_difference(str(CONFIRMED), "", self.wanted)]
        file = CONFIRMED.read_text(encoding="utf-8") if CONFIRMED.exists() else ""
        found = [
            _difference(str(CONFIRMED), file, self.wanted),
            _difference("the rules in force", self._in_force(), self._meaning()),
        ]
        return [difference for difference in found if difference["before"] != difference["after"]]

    def load(self, seconds: int) -> None:
        """Put the wanted rules in force, with the way back prepared and tried before."""
        transaction = self._transaction()
        self._run("nft --check --file -", transaction)
        if self.module.run_command(f"systemctl is-active {TIMER}.timer")[0] == 0:
            self.module.fail_json(
                msg="Rules of another run wait for their confirmation. Run the play again when it has ended."
            )
        self._write(
            PREVIOUS, self._without(re.findall(r"^(table .+) \{", self.wanted, re.MULTILINE)) + self._previous()
        )
        self._run(f"nft --check --file {PREVIOUS}")
        self._run(
            f"systemd-run --quiet --collect --unit={TIMER} --on-active={seconds} --timer-property=AccuracySec=100ms"
            f" --description='Take back firewall rules that nobody confirmed' nft --file {PREVIOUS}"
        )
        code, _, error = self.module.run_command("nft --file -", data=transaction)
        if code != 0:
            self._run(f"systemctl stop {TIMER}.timer")
            self.module.fail_json(msg=f"The rules in force stay: the new ones cannot be loaded. {error.strip()}")

    def confirm(self) -> None:
        """Let the rules in force last; a timer that has run out is seen by what is in force then."""
        self.module.run_command(f"systemctl stop {TIMER}.timer {TIMER}.service")
        if self._in_force() != self._meaning():
            self.module.fail_json(
                msg="The new rules are no longer in force: nobody confirmed them in time, and those before them were"
                " restored, or they were changed by hand. Run the play again."
            )
        self._write(CONFIRMED, self.wanted)

    def _transaction(self) -> str:
        """The wanted text, which at a start flushes everything, as it is loaded beside tables that others keep."""
        if self.wanted.count(FLUSH) != 1:
            self.module.fail_json(msg=f"The rules in force stay: the new ones must hold '{FLUSH.strip()}' once.")
        return self.wanted.replace(FLUSH, self._without(self._ours()))

    def _previous(self) -> str:
        """What restores the rules in force, but for what iptables made and nft cannot write down.

        A container engine translates the addresses of its resolver so: with /etc/hosts that may go. A filter may not.
        """
        tables = {name: self._run(f"nft list {name}") for name in self._ours()}
        foreign = {name for name, rules in tables.items() if re.search(r"\bxt (match|target) ", rules)}
        filters = sorted(name for name in foreign if "type filter " in tables[name])
        if filters:
            self.module.fail_json(
                msg=f"The rules in force stay: {', '.join(filters)} was made by iptables, and nft could not restore it."
                " Delete what no longer serves (nft delete …), then run the play again."
            )
        return "".join(rules for name, rules in tables.items() if name not in foreign)

    def _ours(self) -> list[str]:
        """Tables in force, as `table FAMILY NAME`, but for those that others keep."""
        kept = {f"table {name}" for name in self.module.params.get("beside") or ()}
        return [name for name in self._run("nft list tables").splitlines() if name not in kept]

    def _without(self, tables: Iterable[str]) -> str:
        """What takes tables away, whether they are there or not."""
        return "".join(f"{name}\ndelete {name}\n" for name in tables)

    def _in_force(self) -> str:
        """The rules in force, but for tables that others keep."""
        return "".join(self._run(f"nft --stateless list {name}") for name in self._ours())

    def _meaning(self) -> str:
        """The wanted rules as nft lists them once they are loaded."""
        return self._run("unshare --net sh -c 'nft --file - && nft --stateless list ruleset'", self.wanted)

    def _write(self, path: Path, content: str) -> None:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            file.write(content)
        self.module.atomic_move(file.name, str(path))
        path.chmod(0o600)

    def _run(self, command: str, given: str = "") -> str:
        _, output, _ = self.module.run_command(command, data=given, check_rc=True)
        return str(output)


def _difference(where: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": where, "before": before, "after_header": where, "after": after}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        {
            "rules": {"type": "str", "required": True},
            "state": {"choices": ["compared", "loaded", "confirmed"], "default": "compared"},
            "beside": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "int"},
        },
        required_if=[("state", "loaded", ["seconds"])],
        supports_check_mode=True,
    )
    firewall = Firewall(module)
    if module.params["state"] == "compared":
        differences = firewall.compare()
        module.exit_json(changed=bool(differences), diff=differences)
    if not module.check_mode:
        if module.params["state"] == "loaded":
            firewall.load(module.params["seconds"])
        else:
            firewall.confirm()
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
