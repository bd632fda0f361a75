"""Damage at rest: a damaged store has identical data, or says where it is damaged. F3.

Never a wrong answer, never a crash. The stores here were closed cleanly, so everything in them was
acknowledged and nothing may vanish.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import counterpoint as cp
import pytest

from tests.budget import SEED, SOAK, tries
from tests.model import Draft, Stored, log_of
from tests.opener import SMALL_SEGMENT

pytestmark = pytest.mark.timeout(tries(120, 0))

FIRST = "00000000000000000001.log"
Damage = Callable[[Path], None]


class Patient:
    """A sound store, copies of which are damaged."""

    def __init__(self, home: Path, batches: int, size: int) -> None:
        self.home = home
        with cp.open(home / "sound", segment_bytes=SMALL_SEGMENT) as store:
            for n in range(batches):
                guard = cp.AppendCondition(cp.Query().add_item(types=["Nope"], tags=[f"n:{n}"]), after=n // 2)
                drafts = [
                    Draft("A", (f"n:{n}", f"i:{i}"), bytes([n + 1]) * size, b"m") for i in range(n % 3 + 1)
                ]
                store.append([draft.raw() for draft in drafts], guard if n % 2 else None)
            self.events = log_of(store)

    def logs(self) -> list[Path]:
        """The segments that hold something, first to last. A prepared one, still empty, is not among them."""
        files = sorted((self.home / "sound").glob("*.log"))
        return [file for file in files if int(file.stem) <= len(self.events)]

    def used(self, file: Path) -> int:
        """Bytes of a segment up to where its zeros begin."""
        return -(-len(file.read_bytes().rstrip(b"\x00")) // 8) * 8

    def is_sound_after(self, damage: Damage) -> bool:
        """True: identical data, and it still appends. False: a `CorruptionError` that says where."""
        sick = self.home / "sick"
        shutil.copytree(self.home / "sound", sick)
        damage(sick)
        try:
            self.use(sick)
        except cp.CorruptionError as error:
            names_the_place(error, {file.name for file in (self.home / "sound").iterdir()})
            return False
        finally:
            shutil.rmtree(sick)
        return True

    def use(self, sick: Path) -> None:
        """Reads what must be there, appends one event, and finds both after reopening."""
        more = Stored(len(self.events) + 1, "More", (), b"more", None, None)
        with cp.open(sick, segment_bytes=SMALL_SEGMENT) as store:
            assert log_of(store) == self.events
            assert store.head() == len(self.events)
            assert store.append([cp.RawEvent(more.type, more.data)]) == more.position
        with cp.open(sick, segment_bytes=SMALL_SEGMENT) as store:
            assert log_of(store) == [*self.events, more]


def names_the_place(error: cp.CorruptionError, files: set[str]) -> None:
    """Somebody has to find it: the file and the offset are in the error, and in its text."""
    name = Path(error.file).name
    assert name in files
    assert type(error.offset) is int
    assert error.offset >= 0
    assert name in str(error)
    assert str(error.offset) in str(error)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """One segment of a few batches."""
    return Patient(tmp_path_factory.mktemp("small"), batches=6, size=9)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """Several segments."""
    return Patient(tmp_path_factory.mktemp("long"), batches=24, size=400)


def places(used: int, size: int, stride: int) -> Iterator[int]:
    """Bytes to damage: all of them in a soak, else every `stride`th that is used, and some that are not."""
    if SOAK:
        yield from range(size)
    else:
        yield from range(0, used, stride)
        yield from range(used, size, max(1, (size - used) // 8))


def overwrite(name: str, offset: int, content: bytes) -> Damage:
    def damage(store: Path) -> None:
        with (store / name).open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return damage


def truncate(name: str, size: int) -> Damage:
    def damage(store: Path) -> None:
        with (store / name).open("r+b") as file:
            file.truncate(size)

    return damage


def test_the_patients_are_sound_and_as_meant(small: Patient, long: Patient) -> None:
    assert [file.name for file in small.logs()] == [FIRST]
    assert len(long.logs()) >= 4
    for patient in (small, long):
        assert patient.is_sound_after(lambda store: None)


def test_a_flipped_bit_is_never_a_wrong_answer(small: Patient) -> None:
    (file,) = small.logs()
    content = file.read_bytes()
    found = 0
    for place in places(small.used(file), len(content), stride=5):
        for bit in range(8) if SOAK else [place % 8]:
            flipped = bytes([content[place] ^ 1 << bit])
            sound = small.is_sound_after(overwrite(FIRST, place, flipped))
            found += not sound
    assert found > 50


@pytest.mark.parametrize("kind", ["zeros", "garbage", "older bytes", "ones"])
def test_overwritten_bytes_are_never_a_wrong_answer(small: Patient, kind: str) -> None:
    (file,) = small.logs()
    content, chance = file.read_bytes(), random.Random(SEED)
    for place in places(small.used(file), len(content), stride=29):
        size = chance.choice([1, 8, 16, 24])
        older = max(0, place // 8 * 8 - chance.randrange(8, 400, 8))
        written = {
            "zeros": bytes(size),
            "ones": b"\xff" * size,
            "garbage": chance.randbytes(size),
            "older bytes": content[older : older + size],
        }[kind]
        small.is_sound_after(overwrite(FIRST, place, written[: len(content) - place]))


def test_a_truncated_log_is_never_a_shorter_answer(small: Patient) -> None:
    """A peer reset a corrupt ledger to 0 without a word."""
    (file,) = small.logs()
    size = file.stat().st_size
    for place in places(small.used(file), size, stride=23):
        small.is_sound_after(truncate(FIRST, place))


def test_garbage_after_the_last_frame_is_never_an_event(small: Patient) -> None:
    (file,) = small.logs()
    content, used, chance = file.read_bytes(), small.used(file), random.Random(SEED)
    for _ in range(tries(15, 2000)):
        garbage = chance.randbytes(chance.choice([1, 8, 64, 500]))
        small.is_sound_after(overwrite(FIRST, used, garbage))
        small.is_sound_after(overwrite(FIRST, len(content), garbage))
    for start in range(0, used, 8 if SOAK else 48):  # Stale bytes: whole old frames among them.
        small.is_sound_after(overwrite(FIRST, used, content[start:used][: len(content) - used]))


def test_damage_in_a_sealed_segment_is_found_too(long: Patient) -> None:
    chance, found = random.Random(SEED), 0
    for file in long.logs()[:-1]:
        content = file.read_bytes()
        for _ in range(tries(5, 1000)):
            place = chance.randrange(long.used(file) - 8)
            found += not long.is_sound_after(overwrite(file.name, place, bytes([content[place] ^ 0xFF])))
        assert not long.is_sound_after(truncate(file.name, 0))
        assert not long.is_sound_after(truncate(file.name, long.used(file) // 2))
    assert found > 0


def test_a_missing_segment_is_found(long: Patient) -> None:
    for file in long.logs()[:-1]:
        assert not long.is_sound_after(lambda store, name=file.name: (store / name).unlink())  # type: ignore[misc]


def test_segments_that_changed_places_are_found(long: Patient) -> None:
    first, second, *_, last = [file.name for file in long.logs()]

    def swap(one: str, other: str) -> Damage:
        def damage(store: Path) -> None:
            held = (store / one).read_bytes()
            shutil.copyfile(store / other, store / one)
            (store / other).write_bytes(held)

        return damage

    assert not long.is_sound_after(swap(first, second))
    assert not long.is_sound_after(swap(second, last))


def test_a_segment_of_another_store_is_found(long: Patient, tmp_path: Path) -> None:
    """Frames carry the store's identity in their checksums, so even equal positions do not fit."""
    stranger = Patient(tmp_path, batches=24, size=400)
    assert [file.name for file in stranger.logs()] == [file.name for file in long.logs()]
    for file in stranger.logs():
        assert not long.is_sound_after(lambda store, file=file: shutil.copyfile(file, store / file.name))  # type: ignore[misc]


def test_an_empty_file_where_the_next_segment_would_be_does_not_block_opening(
    small: Patient, long: Patient
) -> None:
    """A full disk leaves one behind. In a peer it blocked reopening for ever."""
    for patient in (small, long):
        name = f"{len(patient.events) + 1:020}.log"
        assert patient.is_sound_after(lambda store, name=name: (store / name).write_bytes(b""))  # type: ignore[misc]


def test_everything_but_the_log_is_derived(long: Patient) -> None:
    """I7."""

    def delete(store: Path) -> None:
        for file in store.rglob("*"):
            if file.is_file() and file.suffix != ".log":
                file.unlink()

    assert long.is_sound_after(delete)


@pytest.mark.parametrize("size", [0, 1, 64, 10_000])
def test_damage_in_what_is_derived_is_repaired(long: Patient, size: int) -> None:
    """I7."""
    chance = random.Random(SEED + size)

    def scramble(store: Path) -> None:
        for file in store.rglob("*"):
            if file.is_file() and file.suffix != ".log":
                file.write_bytes(chance.randbytes(size))

    assert long.is_sound_after(scramble)


def test_damaged_cursors_say_so_and_harm_nothing_else(tmp_path: Path) -> None:
    with cp.open(tmp_path / "store") as store:
        store.append([cp.RawEvent("A", b"")] * 3)
        store.set_cursor("orders", 2)
        logs = set((tmp_path / "store").glob("*.log"))
    derived = [file for file in (tmp_path / "store").iterdir() if file not in logs and file.stat().st_size]
    for file in derived:
        content = file.read_bytes()
        for place in range(0, min(len(content), 256), tries(7, 1)):
            file.write_bytes(
                content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
            )
            with cp.open(tmp_path / "store") as store:
                assert len(log_of(store)) == store.head() == 3
                try:
                    assert store.get_cursor("orders") == 2
                except cp.CorruptionError as error:
                    names_the_place(error, {file.name})
        file.write_bytes(content)


def test_files_of_others_in_the_directory_do_no_harm(small: Patient) -> None:
    def litter(store: Path) -> None:
        (store / "notes.txt").write_text("not ours")
        (store / "1.log").write_text("not ours either")
        (store / "00000000000000000001.log.bak").write_bytes(b"\x00")
        (store / "folder").mkdir()

    assert small.is_sound_after(litter)
