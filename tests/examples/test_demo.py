"""The demo runs, its check finds what it looks for, and it removes no store but its own."""

import signal
import sys
import time
from pathlib import Path

import counterpoint as cp
import pytest

from examples import demo
from examples.course_subscriptions import CourseOffered, StudentSubscribed
from tests import child
from tests.examples.scenario import given


@pytest.fixture(autouse=True)
def a_small_demo(monkeypatch):
    for name, value in {"STUDENTS": 40, "COURSES": 30, "REQUESTS": 300, "THREADS": 8}.items():
        monkeypatch.setattr(demo, name, value)


def test_the_demo_fills_a_store_that_keeps_its_rules(tmp_path, capsys):
    assert demo.run(tmp_path / "store") == 0
    with cp.open(tmp_path / "store") as store:
        assert store.head() > 30
        assert demo.broken_rules(store, []) == []


def test_the_demo_runs_again_in_its_own_directory(tmp_path, capsys):
    assert demo.run(tmp_path / "store") == 0
    assert demo.run(tmp_path / "store") == 0


def test_the_demo_fails_when_a_rule_is_broken(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "MAX_COURSES", 1)
    assert demo.run(tmp_path / "store") == 1


def test_a_directory_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("the only copy")
    assert demo.run(tmp_path) == 2
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


def test_a_store_of_somebody_else_is_left_alone(tmp_path, capsys):
    with cp.open(tmp_path / "store") as store:
        store.append([cp.RawEvent("OrderPlaced", b"{}")])
    assert demo.run(tmp_path / "store") == 2
    with cp.open(tmp_path / "store") as store:
        assert store.head() == 1


def test_a_store_with_the_same_event_types_that_the_demo_did_not_make_is_left_alone(tmp_path, capsys):
    with cp.open(tmp_path / "store") as store:
        given(store, COURSE)
    assert demo.run(tmp_path / "store") == 2
    with cp.open(tmp_path / "store") as store:
        assert store.head() == 1


def test_a_store_that_somebody_has_open_is_left_alone(tmp_path, capsys):
    assert demo.run(tmp_path / "store") == 0
    with cp.open(tmp_path / "store") as store:
        head = store.head()
        assert demo.run(tmp_path / "store") == 2
        assert store.head() == head


@pytest.mark.parametrize("name", ["thesis.txt", "00000000000000000001.log.bak", "cursors.bak", "1.log"])
def test_a_file_beside_a_store_of_the_demo_is_left_alone(tmp_path, capsys, name):
    assert demo.run(tmp_path) == 0
    (tmp_path / name).write_text("the only copy")
    before = sorted(tmp_path.iterdir())
    assert demo.run(tmp_path) == 2
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / name).read_text() == "the only copy"


def test_a_file_beside_an_empty_store_is_left_alone(tmp_path, capsys):
    cp.open(tmp_path).close()
    (tmp_path / "thesis.txt").write_text("the only copy")
    assert demo.run(tmp_path) == 2
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


@pytest.mark.parametrize("name", ["append.lock", "00000000000000009999.log"])
def test_a_directory_or_a_link_that_is_named_as_a_file_of_a_store_is_left_alone(tmp_path, capsys, name):
    (tmp_path / "store").mkdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / "store" / name).symlink_to(tmp_path / "precious")
    assert demo.run(tmp_path / "store") == 2
    assert (tmp_path / "store" / name).is_symlink()


def test_it_explains_itself(capsys):
    with pytest.raises(SystemExit) as exited:
        demo.main(["--help"])
    assert exited.value.code == 0
    assert ".demo" in capsys.readouterr().out


def test_it_says_which_python_opens_the_store(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    assert demo.interpreter() == str(Path(".venv", "bin", "python"))
    monkeypatch.chdir("/usr")
    assert demo.interpreter() == sys.executable
    assert demo.main([str(tmp_path / "store")]) == 0
    assert f"Open it with {sys.executable}:" in capsys.readouterr().out


SLOW = """
import runpy, sys, time, counterpoint
run = counterpoint.CommandRunner.run
def run_slowly(*arguments):
    time.sleep(0.05)
    return run(*arguments)
counterpoint.CommandRunner.run = run_slowly
sys.argv[1:] = [sys.argv[1]]
runpy.run_module("examples.demo", run_name="__main__")
"""


def test_ctrl_c_ends_it_without_a_traceback(tmp_path):
    with child.running(SLOW, tmp_path / "store") as process:
        while not (tmp_path / "store" / "marks").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


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
