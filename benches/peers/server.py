"""The servers of those peers that have one: started on loopback, on a free port, and ended with the store."""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benches.peers import Cannot

HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 120
POLL_SECONDS = 0.001


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


class Server:
    """A child process that listens on a port. What it says goes to the file `log`."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        stop_signal: int = signal.SIGTERM,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Start it and wait until it listens; `settings` are more arguments of `subprocess.Popen`."""
        self._stop_signal = stop_signal
        with log.open("ab") as said:
            # In a session of its own: Ctrl-C is for the measurement, which then stops the server.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                **(settings or {}),
            )
        try:
            self._await(port, log)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _await(self, port: int, log: Path) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._process.poll() is not None:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise Cannot(f"its server ended with {self._process.returncode}: {''.join(last)}")
            try:
                socket.create_connection((HOST, port), timeout=1).close()
            except OSError:
                time.sleep(POLL_SECONDS)
            else:
                return
        raise Cannot(f"its server did not listen within {START_SECONDS} s")

    @property
    def processes(self) -> list[int]:
        """The ids of the server's process and of those it has started."""
        return family(self._process.pid)

    def stop(self) -> None:
        """End it cleanly."""
        self._process.send_signal(self._stop_signal)
        self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it and its children as by kill -9, and wait until they and their locks are gone."""
        kill(self.processes)
        # Reaped, too: to PostgreSQL one that is not looks alive.
        self._process.wait()

    def __enter__(self) -> Self:
        """Return itself, to be stopped at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it cleanly."""
        self.stop()


def family(process: int) -> list[int]:
    """Return a process and its descendants, by their ids; those that have ended are left out."""
    found = [process]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in _text(children).split()]
    return [member for member in found if Path(f"/proc/{member}").exists()]


def kill(processes: Iterable[int]) -> None:
    """Kill processes, and wait until they have ended."""
    handles = []
    for process in processes:
        try:
            handles.append(os.pidfd_open(process))
        except ProcessLookupError:
            continue
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            continue
    for handle in handles:
        # A pidfd is readable once its process has ended.
        select.select([handle], [], [])
        os.close(handle)


def resident_mib(processes: Iterable[int]) -> float:
    """Return the memory that processes take, in MiB; what several share counts once."""
    total = 0
    for process in processes:
        for line in _text(Path(f"/proc/{process}/smaps_rollup")).splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def _text(path: Path) -> str:
    # Of a process that may end meanwhile.
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
