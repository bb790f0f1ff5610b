"""The checkout: what commit it stands at, whether it is exactly that, and whether others know the commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kepil.errors import KepilError

# Nothing in a configuration may run a program, or excuse a file, while the tree is examined.
_SAFE = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.excludesFile=/dev/null"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "core.fileMode=true"),
    *("-c", "core.trustctime=true"),
    *("-c", "core.checkStat=default"),
)


class TreeError(KepilError):
    """The checkout cannot be examined; the message holds git's own."""


class Tree:
    """A checkout of the project, as git sees it without the caller's GIT_ variables."""

    def __init__(self, project: Path) -> None:
        self.project = project.resolve()
        top = Path(self._git("rev-parse", "--show-toplevel").rstrip("\n"))
        if top.resolve() != self.project:
            raise TreeError(f"{self.project} is not the top of a checkout; git says {top}")

    @classmethod
    def around(cls, folder: Path) -> Tree:
        """The checkout in which a folder lies."""
        return cls(Path(_run(folder, "rev-parse", "--show-toplevel").rstrip("\n")))

    def head(self) -> str:
        """The commit that is checked out, as a full id."""
        return self._git("rev-parse", "--verify", "HEAD^{commit}").strip()

    def holds(self, commit: str) -> bool:
        """Whether the repository has this commit at all."""
        return self._asks("cat-file", "-e", f"{commit}^{{commit}}")

    def is_in(self, commit: str, branch: str) -> bool:
        """Whether a branch has come by this commit; raises TreeError where there is no such branch."""
        if not self._asks("rev-parse", "--verify", "--quiet", "--end-of-options", f"{branch}^{{commit}}"):
            raise TreeError(f"{self.project} has no {branch}: git fetch brings it")
        return self._asks("merge-base", "--is-ancestor", commit, branch)

    def subject(self, commit: str) -> str:
        """One line about a commit: its author, date and subject."""
        return self._git("log", "-1", "--no-show-signature", "--format=%an, %cs: %s", commit).strip()

    def dirt(self) -> list[str]:
        """Paths that are not as the commit has them: changed, added, or hidden from git's sight.

        Only the project's own .gitignore excuses a file, not one that lies in a folder, nor .git/info/exclude.
        """
        changed = self._git("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=no")
        ignore = self.project / ".gitignore"
        excused = [f"--exclude-from={ignore}"] if ignore.exists() else []
        untracked = self._git("ls-files", "-z", "--others", *excused)
        unwatched = [line for line in _split(self._git("ls-files", "-z", "-v")) if not line.startswith("H ")]
        return sorted(
            {entry[3:] for entry in _split(changed)} | set(_split(untracked)) | {entry[2:] for entry in unwatched}
        )

    def _git(self, *arguments: str) -> str:
        return _run(self.project, *arguments)

    def _asks(self, *arguments: str) -> bool:
        return _call(self.project, *arguments).returncode == 0


def _run(folder: Path, *arguments: str) -> str:
    done = _call(folder, *arguments)
    if done.returncode != 0:
        raise TreeError(f"{folder}: git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="surrogateescape")


def _call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", *_SAFE, "-C", folder, *arguments],
            capture_output=True,
            check=False,
            env=environment | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1"},
        )
    except FileNotFoundError as error:
        raise TreeError("git is not there: install git") from error


def _split(output: str) -> list[str]:
    return [part for part in output.split("\0") if part]
