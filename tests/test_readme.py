"""The README's code runs as it stands, in order, in one namespace."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_readme_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    for block in blocks():
        exec(compile(block, str(README), "exec", dont_inherit=True), namespace)
    assert capsys.readouterr().out.splitlines() == [
        "placed at position 1",
        '1 OrderPlaced (\'order:o1\',) b\'{"order_id":"o1","total":42}\'',
        "total 42",
        "first OrderPlaced",
    ]
