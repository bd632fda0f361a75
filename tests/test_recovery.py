"""What is left of a damaged store: every event before the first that is lost, with not a byte of it changed.

F3, F6, F12.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import counterpoint as cp
import pytest
from counterpoint import recovery
from hypothesis import given, seed
from hypothesis import strategies as st

from tests import child
from tests.budget import SEED, examples, tries
from tests.model import Draft, log_of
from tests.opener import SMALL_SEGMENT, Opener
from tests.test_opening import NOBODY

pytestmark = pytest.mark.timeout(tries(120, 0))

FIRST = "00000000000000000001.log"
Damage = Callable[[Path], None]


class Patient:
    """A store that was closed in order, copies of which are damaged."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with cp.open(home / "sound", segment_bytes=SMALL_SEGMENT) as store:
            for n in range(60):
                guard = cp.AppendCondition(cp.Query().add_item(types=["B"]), after=n)
                draft = Draft("A", (f"n:{n}", "all"), bytes([n]) * 90, b"meta", UUID(int=n))
                store.append([draft.raw()] * (n % 3 + 1), guard)
            store.set_cursor("near", 2)
            store.set_cursor("far", store.head())
            self.events = log_of(store)
            self.times = [event.recorded_at for event in store.read()]
        self.logs = [file.name for file in sorted((home / "sound").glob("*.log"))]
        self.lengths = {name: len(self.content(name).rstrip(b"\0")) for name in self.logs}

    def content(self, name: str) -> bytes:
        return (self.home / "sound" / name).read_bytes()

    def examine(self, damage: Damage) -> recovery.Inspection:
        """Damages a copy, salvages it, and checks all that can be said of any damage."""
        sick, new = self.home / "sick", self.home / "new"
        shutil.copytree(self.home / "sound", sick)
        try:
            damage(sick)
            before = snapshot(sick)
            found = recovery.inspect(sick)
            salvaged = recovery.salvage(sick, new)
            assert snapshot(sick) == before, "the damaged store is as it was"
            assert salvaged.inspection == found
            self.check(new, salvaged)
            for file in sick.glob("*.idx"):  # By which opening would pass over damage.
                file.unlink()
            try:
                with cp.open(sick) as store:
                    assert log_of(store) == self.events[: found.head]
            except cp.CorruptionError:
                assert not found
        finally:
            shutil.rmtree(sick)
            shutil.rmtree(new, ignore_errors=True)
        return found

    def check(self, new: Path, salvaged: recovery.Salvage) -> None:
        head = salvaged.head
        with cp.open(new) as store:
            assert log_of(store) == self.events[:head]
            assert [event.recorded_at for event in store.read()] == self.times[:head]
            assert store.verify()
            assert salvaged.verification.conditions == salvaged.inspection.batches
            if head:
                assert store.why(head).conditions[0].query == cp.Query().add_item(types=["B"])
            if salvaged.inspection.cursors is not None:
                assert store.get_cursor("near") == min(2, head, salvaged.inspection.cursors.get("near", 0))
                assert store.get_cursor("far") == min(head, salvaged.inspection.cursors.get("far", 0))
            assert store.append([Draft("More").raw()]) == head + 1


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in directory.iterdir()}


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    return Patient(tmp_path_factory.mktemp("patient"))


def overwrite(name: str, offset: int, content: bytes) -> Damage:
    def damage(store: Path) -> None:
        with (store / name).open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return damage


def test_a_sound_store_is_found_so(patient: Patient) -> None:
    found = patient.examine(lambda store: None)
    assert found
    assert not found.loses_events
    assert (found.head, found.batches, found.readable_after) == (len(patient.events), 60, 0)
    assert found.last_readable == found.durable == found.head
    assert list(found.segments) == patient.logs
    assert found.cursors == {"near": 2, "far": found.head}
    assert (found.damages, found.damage_count, found.unfinished) == ((), 0, False)


def test_a_flipped_bit_in_a_batch_ends_the_prefix_there(patient: Patient) -> None:
    name = patient.logs[2]
    offset = patient.content(name).index(b"meta", 1000)
    found = patient.examine(overwrite(name, offset, b"\xff"))
    damage = found.damages[0]
    assert (damage.file, damage.position) == (name, found.head + 1)
    assert int(name[:20]) <= found.head + 1 < len(patient.events)
    assert 64 <= damage.offset < offset
    assert "checksum" in damage.what
    assert found.loses_events
    assert found.last_readable == len(patient.events)
    assert found.last_readable - found.readable_after - found.head in (1, 2, 3), "one batch is lost"


@pytest.mark.parametrize("place", [0, 8, 20, 35, 42, 48, 62])
def test_a_damaged_header_loses_no_event(patient: Patient, place: int) -> None:
    for name in patient.logs:
        other = bytes([patient.content(name)[place] ^ 0xEE])
        found = patient.examine(overwrite(name, place, other))
        assert (found.head, found.ok, found.loses_events) == (len(patient.events), False, False)
        assert found.damages[0].file == name


def test_missing_and_short_and_zeroed_segments_end_the_prefix(patient: Patient) -> None:
    for name in patient.logs:
        first, used = int(name[:20]), patient.lengths[name]
        gone = patient.examine(lambda store, name=name: (store / name).unlink())  # type: ignore[misc]
        assert (gone.head, gone.damages[0].file, gone.loses_events) == (first - 1, name, True)
        short = patient.examine(lambda store, name=name, used=used: os.truncate(store / name, used // 2))  # type: ignore[misc]
        zeroed = patient.examine(overwrite(name, used // 2, bytes(600)))
        for found in (short, zeroed):
            assert first - 1 <= found.head < len(patient.events)
            assert found.loses_events


def test_a_lost_end_is_known_from_the_marks(patient: Patient) -> None:
    name = patient.logs[-1]
    found = patient.examine(overwrite(name, 64, bytes(patient.lengths[name] - 64)))
    assert found.head == int(name[:20]) - 1
    assert found.durable == len(patient.events)
    assert f"durable up to {len(patient.events)}" in found.damages[-1].what


def test_of_a_log_that_is_gone_the_cursors_are_left(patient: Patient) -> None:
    def lose(store: Path) -> None:
        for name in patient.logs:
            (store / name).unlink()

    found = patient.examine(lose)
    assert (found.head, found.segments, found.cursors) == (0, (), {"near": 2, "far": len(patient.events)})


def test_damaged_cursors_and_marks_are_said_to_be(patient: Patient) -> None:
    found = patient.examine(overwrite("cursors", 12, b"\xff"))
    assert (found.cursors, found.head, found.loses_events) == (None, len(patient.events), False)
    found = patient.examine(overwrite("marks", 0, bytes(1024)))
    assert (found.durable, found.ok) == (None, True)


PLACES = st.floats(0, 1, exclude_max=True)
HARM = st.tuples(
    st.sampled_from(["flip", "zero", "cut", "garbage", "remove", "repeat"]),
    PLACES,
    PLACES,
    st.binary(min_size=1, max_size=99),
)


def harm(store: Path, kind: str, which: float, where: float, garbage: bytes) -> None:
    files = sorted(file for file in store.iterdir() if file.stat().st_size)
    if not files:
        return
    file = files[int(which * len(files))]
    content = file.read_bytes()
    used = max(1, len(content.rstrip(b"\0")))
    place = int(where * used)
    match kind:
        case "flip":
            changed = content[:place] + bytes([content[place] ^ 1 << garbage[0] % 8]) + content[place + 1 :]
        case "zero":
            changed = content[:place] + bytes(len(content[place : place + 700])) + content[place + 700 :]
        case "cut":
            changed = content[:place]
        case "garbage":
            changed = content[:place] + garbage + content[place + len(garbage) :]
        case "repeat":
            at = place // 8 * 8
            changed = (content[:at] + content[at // 2 // 8 * 8 : at] + content[at:])[: len(content)]
        case _:
            file.unlink()
            return
    file.write_bytes(changed)


def test_after_any_damage_all_before_it_is_salvaged(patient: Patient) -> None:
    @seed(SEED)
    @examples(default=60, soak=20_000)
    @given(harms=st.lists(HARM, min_size=1, max_size=4))
    def damage_and_salvage(harms: list[tuple[str, float, float, bytes]]) -> None:
        def damage(store: Path) -> None:
            for one in harms:
                harm(store, *one)
            (store / "cursors").touch()  # Or there may be no trace of a store.

        patient.examine(damage)

    damage_and_salvage()


def test_hostile_bytes_are_damage_and_nothing_else(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for n in range(tries(30, 10_000)):
        sick, new = tmp_path / f"sick {n}", tmp_path / f"new {n}"
        sick.mkdir()
        for name in (FIRST, "00000000000000000002.log", "marks", "cursors"):
            filling = chance.choice(
                [b"cpf\x01\x01\0\0\0", b"cplog\r\n\x1a\x02\0\0\0\0\0\0\0", b"\xff" * 8, b""]
            )
            (sick / name).write_bytes((filling + chance.randbytes(24)) * chance.randrange(100))
        assert not recovery.inspect(sick)
        assert recovery.salvage(sick, new).head == 0
        shutil.rmtree(sick)
        shutil.rmtree(new)


def test_files_that_are_no_files_are_an_error(tmp_path: Path) -> None:
    """A pipe would keep a reader waiting for ever."""
    (tmp_path / "store").mkdir()
    os.mkfifo(tmp_path / "store" / FIRST)
    with pytest.raises(cp.StorageError, match="not a regular file"):
        recovery.inspect(tmp_path / "store")
    (tmp_path / "store" / FIRST).unlink()
    (tmp_path / "store" / FIRST).mkdir()
    with pytest.raises(cp.StorageError, match="not a regular file"):
        recovery.salvage(tmp_path / "store", tmp_path / "new")


def test_a_store_that_is_open_is_refused(open_on_disk: Opener, tmp_path: Path) -> None:
    store = open_on_disk()
    store.append([Draft("A").raw()])
    for act in (recovery.inspect, lambda path: recovery.salvage(path, tmp_path / "new")):
        with pytest.raises(cp.StoreLocked, match="is open"):
            act(tmp_path / "store")
    assert not (tmp_path / "new").exists()
    program = """
    store = cp.open(sys.argv[1])
    say("open")
    sys.stdin.readline()
    """
    store.close()
    with child.running(program, tmp_path / "store") as process:
        assert child.line(process) == "open"
        with pytest.raises(cp.StoreLocked):
            recovery.inspect(tmp_path / "store")
    assert recovery.inspect(tmp_path / "store").head == 1


def test_a_killed_store_is_whole(tmp_path: Path) -> None:
    """A batch that was under way is no damage."""
    program = """
    store = cp.open(sys.argv[1], segment_bytes=4096)
    for n in range(50):
        store.append([event("x" * 100)])
    os._exit(0)
    """
    child.run(program, tmp_path / "store")
    assert recovery.inspect(tmp_path / "store").head == 50
    log = max((tmp_path / "store").glob("*.log"))
    with log.open("r+b") as file:
        file.seek(len(log.read_bytes().rstrip(b"\0")) // 8 * 8 + 16)
        file.write(b"torn")
    found = recovery.inspect(tmp_path / "store")
    assert (found.head, found.ok) == (50, True)


def test_no_place_that_has_something_is_salvaged_to(patient: Patient, tmp_path: Path) -> None:
    sound, before = patient.home / "sound", snapshot(patient.home / "sound")
    (tmp_path / "notes.txt").write_text("precious")
    for new, error in [
        (tmp_path, FileExistsError),
        (tmp_path / "notes.txt", NotADirectoryError),
        (sound, ValueError),
        (sound / "new", ValueError),
    ]:
        with pytest.raises(error):
            recovery.salvage(sound, new)
    assert snapshot(sound) == before
    assert (tmp_path / "notes.txt").read_text() == "precious"
    with pytest.raises(FileNotFoundError):
        recovery.inspect(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no store"):
        recovery.salvage(tmp_path, tmp_path / "new")
    with pytest.raises(NotADirectoryError):
        recovery.inspect(tmp_path / "notes.txt")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("wrong", [None, 1, b"bytes", object()])
def test_paths_are_str_or_path_like(patient: Patient, wrong: Any) -> None:
    with pytest.raises(TypeError, match="path must be"):
        recovery.inspect(wrong)
    with pytest.raises(TypeError, match="new must be"):
        recovery.salvage(patient.home / "sound", wrong)


@pytest.fixture
def read_only(patient: Patient) -> Iterator[Path]:
    """A damaged store in which nobody may write, and that everybody may read."""
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        store = Path(shutil.copytree(patient.home / "sound", Path(home) / "store"))
        overwrite(patient.logs[1], 700, b"\xff\xff")(store)
        for file in store.iterdir():
            file.chmod(0o444)
        store.chmod(0o555)
        yield store
        store.chmod(0o755)


def test_a_directory_in_which_nothing_may_be_written_will_do(read_only: Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(NOBODY)  # Nothing is denied to root.
        try:
            with pytest.raises(PermissionError):
                (read_only / "probe").touch()
            found = recovery.inspect(read_only)
            assert recovery.salvage(read_only, Path(home) / "new").head == found.head > 0
            with pytest.raises(PermissionError):
                recovery.salvage(read_only, read_only.parent / "new")
        finally:
            if root:
                os.seteuid(0)


def test_an_interrupted_salvage_is_known_to_be_unfinished(patient: Patient, tmp_path: Path) -> None:
    def give_up(done: int, total: int) -> None:
        assert 0 <= done <= total
        raise InterruptedError

    with pytest.raises(InterruptedError):
        recovery.salvage(patient.home / "sound", tmp_path / "new", progress=give_up)
    with pytest.raises(cp.StorageError, match="unfinished"):
        cp.open(tmp_path / "new")
    assert recovery.salvage(patient.home / "sound", tmp_path / "new").head == len(patient.events)
    with pytest.raises(InterruptedError):
        recovery.inspect(patient.home / "sound", progress=give_up)


def test_an_unfinished_backup_is_said_to_be(patient: Patient) -> None:
    sick = Path(shutil.copytree(patient.home / "sound", patient.home / "unfinished"))
    (sick / "unfinished").touch()
    found = recovery.inspect(sick)
    assert found.unfinished
    assert not found
    shutil.rmtree(sick)


def test_the_command_says_what_was_found_and_exits_with_it(
    patient: Patient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = str(patient.home / "sound")
    assert recovery.main(["inspect", sound]) == 0
    said = capsys.readouterr().out
    assert f"readable from the beginning: {len(patient.events)} events in 60 appends" in said
    assert "nothing is damaged" in said
    sick, new = tmp_path / "sick", tmp_path / "new"
    shutil.copytree(sound, sick)
    (sick / patient.logs[1]).unlink()
    assert recovery.main(["inspect", str(sick)]) == 1
    said = capsys.readouterr().out
    assert f"damaged: {patient.logs[1]}, offset 0, position {int(patient.logs[1][:20])}" in said
    assert "readable after that: " in said
    assert recovery.main(["salvage", str(sick), str(new)]) == 1
    said = capsys.readouterr().out
    assert f"{new}: a new store with {int(patient.logs[1][:20]) - 1} events, verified" in said
    assert "cursors set back to" in said
    assert recovery.main(["salvage", str(sick), str(new)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert recovery.main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert recovery.main(["salvage", sound, str(tmp_path / "copy")]) == 0
    with pytest.raises(SystemExit) as usage:
        recovery.main(["mend", sound])
    assert usage.value.code == 2


def test_the_command_runs_as_a_module_and_the_package_goes_without_it(patient: Patient) -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "counterpoint.recovery",
        "inspect",
        patient.home / "sound",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing is damaged" in done.stdout
    assert child.run("say('counterpoint.recovery' in sys.modules)") == ["False"]


def test_results_are_values(patient: Patient) -> None:
    found = recovery.inspect(patient.home / "sound")
    assert found == recovery.inspect(patient.home / "sound")
    with pytest.raises(AttributeError):
        found.head = 5  # type: ignore[misc]
    assert isinstance(found.path, str)


def test_times_of_a_salvaged_store_go_on(patient: Patient, tmp_path: Path) -> None:
    recovery.salvage(patient.home / "sound", tmp_path / "new")
    with cp.open(tmp_path / "new") as store:
        store.append([Draft("More").raw()])
        times = [event.recorded_at for event in store.read()]
        assert times[:-1] == patient.times
        assert times == sorted(times)
