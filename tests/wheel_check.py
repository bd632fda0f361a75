"""Run by `make test` in an environment that has nothing but the built wheel: the main job, without extras."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import counterpoint as cp


class SeatTaken(cp.Event):
    seat: Annotated[str, cp.Tag("seat")]


class TakeSeat(cp.Command):
    seat: str

    def run(self, ra: cp.ReadAppender) -> int:
        if ra.read_events(cp.Query().add_item(tags=[f"seat:{self.seat}"])):
            raise ValueError(f"seat {self.seat} is taken")
        return ra.append_event(SeatTaken(self.seat))


def is_refused(store: cp.Store, command: TakeSeat) -> bool:
    try:
        cp.CommandRunner(store).run(command)
    except ValueError:
        return True
    return False


def main() -> None:
    """Append, be refused, reopen and read, away from the source tree."""
    package = Path(cp.__file__).parent
    assert "site-packages" in package.parts, f"imported from {package}, not from the wheel"
    assert (package / "py.typed").exists(), "the wheel has no py.typed"
    assert not {"pydantic", "attr"} & set(sys.modules), "an optional package was imported"
    with tempfile.TemporaryDirectory() as directory:
        with cp.open(directory) as store:
            assert cp.CommandRunner(store).run(TakeSeat("1A")) == 1
        with cp.open(directory) as store:
            assert is_refused(store, TakeSeat("1A")), "a seat was taken twice"
            assert cp.CommandRunner(store).run(TakeSeat("1B")) == 2
            assert [event.tags for event in store.read()] == [("seat:1A",), ("seat:1B",)]
    print(f"the wheel works: {package}")


if __name__ == "__main__":
    main()
