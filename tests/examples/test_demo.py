"""The demo runs, its check finds what it looks for, and it removes no store but its own."""

import counterpoint as cp
import pytest

from examples import demo
from examples.course_subscriptions import CourseOffered, StudentSubscribed
from tests.examples.scenario import given


@pytest.fixture(autouse=True)
def a_small_demo(monkeypatch):
    for name, value in {"STUDENTS": 40, "COURSES": 30, "REQUESTS": 300, "THREADS": 8}.items():
        monkeypatch.setattr(demo, name, value)


def test_the_demo_fills_a_store_that_keeps_its_rules(tmp_path, capsys):
    assert demo.main(tmp_path / "store") == 0
    with cp.open(tmp_path / "store") as store:
        assert store.head() > 30
        assert demo.broken_rules(store, []) == []


def test_the_demo_runs_again_in_its_own_directory(tmp_path, capsys):
    assert demo.main(tmp_path / "store") == 0
    assert demo.main(tmp_path / "store") == 0


def test_the_demo_fails_when_a_rule_is_broken(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "MAX_COURSES", 1)
    assert demo.main(tmp_path / "store") == 1


def test_a_directory_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("the only copy")
    assert demo.main(tmp_path) == 2
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


def test_a_store_of_somebody_else_is_left_alone(tmp_path, capsys):
    with cp.open(tmp_path / "store") as store:
        store.append([cp.RawEvent("OrderPlaced", b"{}")])
    assert demo.main(tmp_path / "store") == 2
    with cp.open(tmp_path / "store") as store:
        assert store.head() == 1


COURSE = CourseOffered("c1", 1)


@pytest.mark.parametrize(
    ("events", "broken"),
    [
        ([COURSE, StudentSubscribed("s1", "c1")], []),
        ([COURSE, COURSE], ["c1 is offered twice"]),
        ([COURSE, *(StudentSubscribed(s, "c1") for s in ("s1", "s2"))], ["c1 is overbooked at position 3"]),
        ([StudentSubscribed("s1", "c0")], ["c0 is overbooked at position 1"]),
        ([COURSE, *[StudentSubscribed("s1", "c1")] * 2], ["s1 has two seats in c1"]),
        (
            [e for n in range(6) for e in (CourseOffered(f"c{n}", 1), StudentSubscribed("s1", f"c{n}"))],
            ["s1 takes too many courses at position 12"],
        ),
    ],
)
def test_the_check_finds_every_broken_rule(store, events, broken):
    given(store, *events)
    assert demo.broken_rules(store, []) == broken


def test_the_check_finds_what_was_acknowledged_and_is_not_there(store):
    given(store, COURSE)
    assert demo.broken_rules(store, [1, 2]) == ["position 2 was acknowledged and is not in the log"]
