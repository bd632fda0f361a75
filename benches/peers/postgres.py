"""A PostgreSQL cluster for each store: its own directory, port and password, everything else as it comes."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benches.peers import Cannot
from benches.peers.server import HOST, Server, free_port

USER = "postgres"
INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian puts the servers, one directory for each version."""
DATA = "data"
ACCESS = "access"
EMPTY = "empty"


class Access(NamedTuple):
    """What a client needs."""

    port: int
    password: str


def program(name: str) -> str:
    """Return the path of one of the server's programs, of the newest version; raises `Cannot`."""
    versions = sorted(INSTALLED.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which(name)
    if found is None:
        raise Cannot(f"PostgreSQL is not installed: there is no {name}")
    return found


def version() -> str:
    """Return the version of the server, as it tells it."""
    said = subprocess.run([program("postgres"), "--version"], capture_output=True, text=True, check=True)
    return "PostgreSQL " + said.stdout.split()[2]


def check(directory: Path) -> None:
    """Raise `Cannot` if there is no server, or if its user cannot come into `directory`."""
    program("initdb")
    program("postgres")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            raise Cannot(f"it does not run as root, and there is no user {USER}") from None
        for place in (directory.resolve(), *directory.resolve().parents):
            if not place.stat().st_mode & 0o001:
                raise Cannot(f"its server runs as the user {USER}, who cannot come into {place}")


def _as_user() -> Mapping[str, Any]:
    # PostgreSQL refuses to run as root.
    return {"user": USER, "group": USER, "extra_groups": ()} if os.geteuid() == 0 else {}


def start(path: Path) -> Server:
    """Start the cluster in the directory `path`, made if need be."""
    data = path / DATA
    if not data.exists():
        _make(path)
    access = read_access(path)._replace(port=free_port())
    (path / ACCESS).write_text(f"{access.port} {access.password}")
    command = [program("postgres"), "-D", str(data), "-p", str(access.port), "-h", HOST, "-k", ""]
    # SIGINT is its fast shutdown: it ends the sessions, and writes a checkpoint.
    return Server(
        command,
        access.port,
        path / "server.log",
        stop_signal=signal.SIGINT,
        settings={**_as_user(), "cwd": path},
    )


def _make(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    password = secrets.token_hex()
    access, secret = path / ACCESS, path / "password"
    for file in (access, secret):
        file.touch(mode=0o600)
    access.write_text(f"0 {password}")
    secret.write_text(password)
    if os.geteuid() == 0:
        shutil.chown(path, USER, USER)
        shutil.chown(secret, USER, USER)
    command = [program("initdb"), "-D", str(path / DATA), "-U", USER, "-A", "scram-sha-256"]
    made = subprocess.run(
        [*command, f"--pwfile={secret}", "-E", "UTF8", "--locale=C"],
        capture_output=True,
        text=True,
        check=False,
        cwd=path,
        **_as_user(),
    )
    if made.returncode != 0:
        raise Cannot(f"initdb ended with {made.returncode}: {made.stderr.strip()}")
    (path / EMPTY).write_text(str(_base_bytes(path)))


def read_access(path: Path) -> Access:
    """Return what a client needs for the cluster that was last started in `path`."""
    port, password = (path / ACCESS).read_text().split()
    return Access(int(port), password)


def used_bytes(path: Path) -> int:
    """Return what tables and indexes have grown by since the cluster was made: without its WAL."""
    return _base_bytes(path) - int((path / EMPTY).read_text())


def _base_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path / DATA / "base").rglob("*") if file.is_file())
