"""The code in README.md and docs/guide.md runs as it stands, prints what they say, and type checks."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "guide.md"

SNIPPET = re.compile(r"^```python\n(.*?)^```$(?:\s*^```text\n(.*?)^```$)?", flags=re.DOTALL | re.MULTILINE)


class Snippet(NamedTuple):
    code: str
    """With empty lines in front, so that a line has the number that it has in the document."""
    output: str | None
    """The text block that follows, if one does."""


def snippets(document: Path) -> Iterator[Snippet]:
    text = document.read_text()
    for match in SNIPPET.finditer(text):
        yield Snippet("\n" * text.count("\n", 0, match.start(1)) + match[1], match[2])


@pytest.fixture(params=[README, GUIDE], ids=lambda document: document.name)
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_document_runs_as_written_and_shows_all_that_it_prints(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("attrs")
    pytest.importorskip("pydantic")
    monkeypatch.chdir(tmp_path)
    module = ModuleType(document.stem.lower())
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where annotations are looked up
    for code, output in snippets(document):
        exec(compile(code, str(document), "exec", dont_inherit=True), vars(module))
        last_line = code.count("\n")
        assert capsys.readouterr().out == (output or ""), f"the snippet that ends at line {last_line}"


def test_every_python_and_text_block_is_looked_at(document: Path) -> None:
    text, found = document.read_text(), list(snippets(document))
    assert len(found) == text.count("```python") > 0
    assert sum(snippet.output is not None for snippet in found) == text.count("```text") > 0


def test_mypy_agrees_with_a_document(document: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    lines = [""] * len(document.read_text().splitlines())
    for code, _ in snippets(document):
        for number, line in enumerate(code.splitlines()):
            lines[number] = line or lines[number]
    file = tmp_path / f"{document.stem.lower()}.py"
    file.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
