"""The public names as mypy sees them: the files in `typing` must check, and their mistakes must be found."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed")

ROOT = Path(__file__).parent.parent


def test_mypy_understands_the_public_names_and_finds_the_mistakes(tmp_path: Path) -> None:
    """A mistake that mypy no longer finds is an unused `type: ignore`, which is an error too."""
    files = sorted((ROOT / "tests" / "typing").glob("*.py"))
    assert files
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), *map(str, files)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
