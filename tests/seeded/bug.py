"""What a seeded bug is: a change of the engine's source, and the tests that should notice it."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Edit:
    """Some text of a file of the engine, which is there exactly once, and what stands there instead."""

    file: str
    """Below `rust/core/src`."""
    anchor: str
    instead: str

    def path(self, tree: Path) -> Path:
        return tree / "rust/core/src" / self.file

    def occurrences(self, tree: Path) -> int:
        return self.path(tree).read_text().count(self.anchor)

    def apply(self, tree: Path) -> None:
        path = self.path(tree)
        path.write_text(path.read_text().replace(self.anchor, self.instead))


@dataclass(frozen=True)
class Bug:
    """One bug, and where it should be noticed."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """Smallest first: `lib` or an integration test of the core, and a part of the names of its tests."""
    escapes: str = ""
    """Why no test notices it, if none can."""


def bug(name: str, file: str, anchor: str, instead: str, *tests: str, escapes: str = "") -> Bug:
    """A bug of one edit."""
    return Bug(name, (Edit(file, anchor, instead),), tests, escapes)
