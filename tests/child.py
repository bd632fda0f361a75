"""Other processes: small programs that report over a pipe and can be killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent

PATIENCE = 60.0
"""Seconds until a process counts as hung."""

PRELUDE = """
import os, sys, threading, time
import counterpoint as cp

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def event(text, *tags):
    return cp.RawEvent(type="A", data=text.encode(), tags=tags)
"""


def command(program: str, arguments: tuple[object, ...], prelude: str = PRELUDE) -> list[str]:
    """What runs a program."""
    return [sys.executable, "-c", prelude + dedent(program), *map(str, arguments)]


def environment() -> dict[str, str]:
    """What it needs to be told."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONFAULTHANDLER": "1"}


def run(program: str, *arguments: object, prelude: str = PRELUDE) -> list[str]:
    """Runs a program to its end, and returns what it said. It must exit with 0 and not complain."""
    done = subprocess.run(
        command(program, arguments, prelude),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stderr, done.stdout)
    return done.stdout.splitlines()


@contextmanager
def running(program: str, *arguments: object, prelude: str = PRELUDE) -> Iterator[subprocess.Popen[str]]:
    """A program under way, killed at the end if it still runs."""
    process = subprocess.Popen(
        command(program, arguments, prelude),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that a program says."""
    assert process.stdout is not None
    return process.stdout.readline().removesuffix("\n")


def rest(process: subprocess.Popen[str]) -> list[str]:
    """The whole lines that a program says from here to its end."""
    assert process.stdout is not None
    return process.stdout.read().split("\n")[:-1]


def kill(process: subprocess.Popen[str]) -> list[str]:
    """Kills a program with SIGKILL, and returns the whole lines that it had said and nobody had read."""
    process.kill()
    said = rest(process)
    process.wait(PATIENCE)
    return said
