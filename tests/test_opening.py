"""Opening in odd places and with odd options."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import counterpoint as cp
import pytest

from tests.model import Draft, log_of
from tests.opener import Opener

NOBODY = 65534


@contextmanager
def powerless(directory: Path) -> Iterator[None]:
    """Takes every right on `directory` away. No mode denies anything to root, so root steps down."""
    directory.chmod(0)
    try:
        if os.geteuid() != 0:
            yield
            return
        try:
            os.seteuid(NOBODY)
        except PermissionError:
            pytest.skip("this root cannot step down, and nothing can be denied to it")
        try:
            yield
        finally:
            os.seteuid(0)
    finally:
        directory.chmod(0o700)


def test_a_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    with cp.open(tmp_path / "some" / "where" / "orders") as store:
        assert store.append([Draft("A").raw()]) == 1
    assert (tmp_path / "some" / "where" / "orders").is_dir()


def test_a_path_may_be_a_str_or_a_path(tmp_path: Path) -> None:
    with cp.open(str(tmp_path / "orders")) as store:
        store.append([Draft("A").raw()])
    with cp.open(tmp_path / "orders") as store:
        assert store.head() == 1


def test_a_path_need_not_be_ascii(tmp_path: Path) -> None:
    with cp.open(tmp_path / "bestell ungen \u20ac \U0001f600") as store:
        assert store.append([Draft("A").raw()]) == 1


def test_a_relative_path_stays_the_same_store_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with cp.open("orders", segment_bytes=4096) as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        for _ in range(20):
            store.append([Draft("A", data=bytes(1000)).raw()])
    assert list((tmp_path / "elsewhere").iterdir()) == []
    with cp.open(tmp_path / "orders", segment_bytes=4096) as store:
        assert store.head() == 20


def test_a_path_that_is_a_file_is_an_os_error_and_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "orders"
    file.write_bytes(b"precious")
    with pytest.raises(OSError, match="orders"):
        cp.open(file)
    with pytest.raises(OSError, match="orders"):
        cp.open(file / "below")
    assert file.read_bytes() == b"precious"


def test_a_dangling_link_is_an_os_error_or_a_store_at_its_target(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="loop"):
        cp.open(tmp_path / "loop")


def test_a_path_without_permission_is_a_permission_error(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    with powerless(locked), pytest.raises(PermissionError):
        cp.open(locked / "orders")
    with cp.open(locked / "orders") as store:
        assert store.append([Draft("A").raw()]) == 1


def test_a_store_that_may_not_be_entered_is_a_permission_error_and_keeps_its_events(tmp_path: Path) -> None:
    with cp.open(tmp_path / "orders") as store:
        store.append([Draft("A").raw()])
        expected = log_of(store)
    with powerless(tmp_path / "orders"), pytest.raises(PermissionError):
        cp.open(tmp_path / "orders")
    with cp.open(tmp_path / "orders") as store:
        assert log_of(store) == expected


@pytest.mark.parametrize("path", [None, 1, b"bytes", 1.5, ["a"], object()])
def test_a_path_is_a_str_or_path_like(path: Any) -> None:
    with pytest.raises(TypeError):
        cp.open(path)


@pytest.mark.parametrize("path", ["", "nul\x00inside"])
def test_a_path_that_cannot_be_is_refused(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError)):
        cp.open(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("durability", "FSYNC"),
        ("durability", ""),
        ("durability", None),
        ("durability", 1),
        ("sync_interval", -1.0),
        ("sync_interval", float("nan")),
        ("sync_interval", "soon"),
        ("segment_bytes", 0),
        ("segment_bytes", -4096),
        ("segment_bytes", 1.5),
        ("segment_bytes", "4096"),
        ("segment_bytes", 2**70),
        ("read_cache_bytes", -1),
        ("read_cache_bytes", 1.5),
        ("read_cache_bytes", "32 MiB"),
        ("nonsense", 1),
    ],
)
def test_a_wrong_option_is_refused_and_leaves_nothing_behind(tmp_path: Path, option: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        cp.open(tmp_path / "orders", **{option: wrong})
    with pytest.raises((TypeError, ValueError)):
        cp.open("memory:", **{option: wrong})
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_other_databases_have_for_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="did you mean 'memory:'"):
        cp.open(":memory:")
    assert list(tmp_path.iterdir()) == []


def test_an_error_at_opening_names_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with cp.open("orders") as store:
        store.append([Draft("A").raw()])
        with pytest.raises(cp.StoreLocked, match=r"^orders: the store is open elsewhere"):
            cp.open("orders", exclusive=True)
    (tmp_path / "orders" / "00000000000000000001.log").write_bytes(b"damaged")
    with pytest.raises(cp.CorruptionError, match=r"^orders: ") as damaged:
        cp.open("orders")
    assert damaged.value.file == "00000000000000000001.log"


def test_two_memory_stores_are_two_stores() -> None:
    with cp.open("memory:") as one, cp.open("memory:") as other:
        one.append([Draft("A").raw()])
        assert (one.head(), other.head()) == (1, 0)


def test_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with cp.open("memory:", segment_bytes=4096) as store:
        store.append([Draft("A", data=bytes(2000)).raw() for _ in range(10)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("record", [True, False])
def test_conditions_guard_whether_or_not_they_are_recorded(open_store: Opener, record: bool) -> None:
    store = open_store(record_conditions=record)
    free = cp.AppendCondition(cp.Query().add_item(types=["Claimed"], tags=["name:ada"]))
    assert store.append([Draft("Claimed", ("name:ada",)).raw()], free) == 1
    with pytest.raises(cp.AppendConditionFailed):
        store.append([Draft("Claimed", ("name:ada",)).raw()], free)
    assert store.append([Draft("Claimed", ("name:bob",)).raw()], cp.AppendCondition(free.query, after=1)) == 2


def test_recorded_at_never_decreases_and_is_one_for_each_batch(store: cp.EmbeddedStore) -> None:
    for _ in range(20):
        store.append([Draft("A").raw()] * 3)
    times = [e.recorded_at for e in store.read()]
    assert times == sorted(times)
    assert all(type(time) is int for time in times)
    assert [times[n] == times[n + 1] == times[n + 2] for n in range(0, 60, 3)] == [True] * 20


def test_stats_are_ints_and_know_the_head(store: cp.EmbeddedStore) -> None:
    store.append([Draft("A").raw()] * 7)
    stats = store.stats()
    assert stats["head"] == 7
    assert all(type(value) is int for value in stats.values())
