"""Installs what only the measurements need, as far as it can: `python -m benches.install`.

The peers' libraries and matplotlib go into the environment that runs this, by the dependency groups of
pyproject.toml. PostgreSQL is the distribution's, where `apt-get` is there and this runs as root. What could
not be installed is said, and the measurements leave it out.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benches.peers import Cannot
from benches.peers.postgres import program

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Install everything; always 0, since a measurement without a peer is one, too."""
    for group in ("bench", "peers"):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        said = failure([*pip, "--group", group])
        if said:
            print(f"left out: the dependency group {group} could not be installed: {said}")
    missing = postgresql()
    if missing:
        print(f"left out: {missing}")
    return 0


def postgresql() -> str | None:
    """Install PostgreSQL if it is missing; return None if it is there, otherwise a line that says why not."""
    try:
        program("initdb")
    except Cannot as reason:
        apt = shutil.which("apt-get")
        if apt is None:
            return f"{reason}, and there is no apt-get to install it with"
        if os.geteuid() != 0:
            return f"{reason}, and only root can install it: apt-get install postgresql"
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            said = failure([apt, "--quiet", *arguments], environment)
            if said:
                return f"{reason}, and apt-get {arguments[0]} failed: {said}"
    return None


def failure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str | None:
    """Run a command; return None if it succeeds, otherwise the last line it said."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    return (done.stdout.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]


if __name__ == "__main__":
    sys.exit(main())
