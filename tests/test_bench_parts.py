"""The parts of the measurements, without the peers: what is left out and why, servers, growth, plots."""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benches import engines, growth, install, plots
from benches.machine import Others, watch_others
from benches.peers import OURS, PEERS, Cannot, Peer, load, postgres
from benches.peers.server import HOST, Server, free_port
from benches.report import Report
from benches.results import LIMIT, Measured, Row, Target, judge
from benches.run import Run, Settings
from benches.subscribing import middle_delay
from benches.table import available
from benches.workload import PER_ORDER, History

LISTEN = """
import socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listening.accept()[0].close()
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Settings(rounds=3), {name: load(name) for name in (OURS, "sqlite")}, tmp_path)


def test_a_free_port_is_one_to_listen_on() -> None:
    port = free_port()
    with socket.create_server((HOST, port)), socket.create_connection((HOST, port)):
        pass


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_a_server_listens_when_it_is_there_and_its_processes_are_gone_when_it_is_killed(
    tmp_path: Path, end: Callable[[Server], None]
) -> None:
    port = free_port()
    server = Server([sys.executable, "-c", LISTEN, str(port)], port, tmp_path / "log")
    with socket.create_connection((HOST, port)):
        processes = server.processes
    assert len(processes) == 2
    end(server)
    assert not Path(f"/proc/{processes[0]}").exists()
    with pytest.raises(OSError):  # noqa: PT011  which one is the system's affair
        socket.create_connection((HOST, port))


def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the disk is missing')"]
    with pytest.raises(Cannot, match="ended with 1: the disk is missing"):
        Server(command, free_port(), tmp_path / "log")


def test_a_peer_that_is_not_installed_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(PEERS, "missing", "benches.peers.nowhere")
    peers, lines = available([OURS, "missing", OURS], tmp_path)
    assert list(peers) == [OURS]
    assert lines == ["all of missing: benches.peers.nowhere is not installed"]


def test_without_postgresql_there_is_a_line_that_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Cannot, match="PostgreSQL is not installed: there is no initdb"):
        postgres.check(tmp_path)
    assert install.postgresql() == (
        "PostgreSQL is not installed: there is no initdb, and there is no apt-get to install it with"
    )


def test_the_newest_postgresql_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    for version in ("9.6", "15", "8"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
    assert postgres.program("initdb") == str(tmp_path / "15" / "bin" / "initdb")


def test_a_command_that_fails_is_told_by_its_last_line() -> None:
    assert install.failure([sys.executable, "-c", "print('one'); raise SystemExit('two')"]) == "two"
    assert install.failure([sys.executable, "-c", "print('one')"]) is None


def test_what_a_store_cannot_do_is_said_once_and_not_tried_again(run: Run) -> None:
    tried: list[str] = []

    def cannot() -> Measured:
        tried.append("cannot")
        raise Cannot(f"{run.path('sqlite', 'empty')} is\ntoo small")

    run.interleave("a row", {"sqlite": cannot, OURS: lambda: {"row": 1.0}})
    run.interleave("a row", {"sqlite": cannot})
    assert run.left_out == ["a row: SQLite: sqlite-empty is too small"]
    assert len(tried) == 2
    assert run.samples == {"row": {OURS: [1.0] * 3}}


def test_another_store_that_fails_does_not_end_the_run_but_ours_does(run: Run) -> None:
    def fail() -> Measured:
        raise ConnectionError("gone")

    run.interleave("a row", {"sqlite:filled": fail})
    assert run.left_out == ["a row: SQLite: ConnectionError: gone"]
    for name in (OURS, LIMIT):
        with pytest.raises(ConnectionError):
            run.interleave("a row", {name: fail})


def test_stores_take_turns_and_one_that_takes_too_long_is_measured_once(run: Run) -> None:
    turns: list[str] = []

    def take(name: str) -> Callable[[], Measured]:
        return lambda: turns.append(name) or {"row": float(len(turns))}

    run.interleave("a row", {OURS: take(OURS), "sqlite": take("sqlite")})
    assert turns == [OURS, "sqlite"] * 3
    run.interleave("a row", {LIMIT: take(LIMIT)}, patience=-1)
    assert run.samples["row"] == {OURS: [1.0, 3.0, 5.0], "sqlite": [2.0, 4.0, 6.0], LIMIT: [7.0]}


def test_a_store_that_cannot_be_opened_is_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Peer, path: Path) -> None:
        raise Cannot("no room")

    monkeypatch.setattr(type(run.peers["sqlite"]), "open", refuse)
    with run.opened("a row", "empty") as stores:
        assert list(stores) == [OURS]
    assert run.left_out == ["a row: SQLite: no room"]


def test_what_others_do_is_a_share_and_a_rate(tmp_path: Path) -> None:
    others = watch_others(tmp_path, 0.05)
    assert 0 <= others.processors <= 1
    assert others.disk >= 0
    assert str(Others(0.25, 2e6)) == "25% of the processors, 2.0 MB/s written"


@pytest.mark.parametrize(
    ("others", "disturb"), [(Others(0.1, 1e5), False), (Others(0.5, 0), True), (Others(0, 1e7), True)]
)
def test_others_disturb_by_the_processors_or_by_the_disk(others: Others, disturb: bool) -> None:
    assert others.disturb() == disturb


def test_a_delay_is_the_one_in_the_middle() -> None:
    assert middle_delay([1000, 2000, 3000], [2000, 2500, 9000]) == 1.0


def test_each_stretch_of_a_growing_store_has_orders_of_its_own() -> None:
    first, second = History(1000), History(2000, first_order=100)
    assert first.orders == 100
    tags = [{event.tags[0] for event in history.slice(0, 1)} for history in (first, second)]
    assert not tags[0] & tags[1]
    assert len(tags[1]) == 2000 / PER_ORDER


def test_the_short_table_has_ratios_where_both_were_measured() -> None:
    rows = [
        Row("fast", "fast", "per s", "more", Target(">= 5", 5)),
        Row("later", "later", "µs", "less", Target("<= 5 µs", 5)),
    ]
    samples = {"fast": {OURS: [10.0], "sqlite": [4.0]}, "later": {"sqlite": [7.0]}}
    text = Report(judge(rows, samples, OURS, 0), {OURS: "Ours", "sqlite": "SQLite"}, {}).short()
    assert "| fast | per s | 10.0 | 4.00 (2.50 x) | >= 5: met |" in text
    assert "| later | µs | - | 7.00 | <= 5 µs: not measured |" in text


def test_the_engines_are_compared_by_what_the_program_prints(tmp_path: Path) -> None:
    program = tmp_path / "engines"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "print('{\"bulk\": 300}' if sys.argv[1] == 'counterpoint' else '{\"bulk\": 100}')\n"
    )
    program.chmod(0o755)
    assert engines.main(["--quick", "--program", str(program), "--directory", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "engines.json").read_text())
    (bulk,) = (row for row in results["rows"] if row["key"] == "bulk")
    assert bulk["ratio"] == {"tephra": 3.0}
    assert results["facts"]["tephra"] == engines.locked("tephra")


def test_a_program_that_fails_says_so(run: Run) -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        engines.one_round(Path("/bin/false"), "tephra", run, (1,))
    assert not run.path("tephra", "engine").exists()


def test_growth_is_measured_at_each_size_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert growth.main(["--quick", "--directory", str(tmp_path)]) == 0
    grown = json.loads((tmp_path / "growth.json").read_text())
    assert len(grown["points"]) == len(growth.QUICK_SIZES)
    assert (tmp_path / "growth.md").read_text().strip() in capsys.readouterr().out
    for point, size in zip(grown["points"], growth.QUICK_SIZES, strict=True):
        assert point["events"] == pytest.approx(size, rel=0.2)
        for name in (OURS, "sqlite"):
            assert point["of limit"][name] > 0
            anonymous = point["median"]["memory.opened.anonymous"][name]
            assert 0 < anonymous < point["median"]["memory.opened"][name]
    assert plots.main(["--directory", str(tmp_path), "--plots", str(tmp_path)]) == 0
    assert is_png(tmp_path / "growth.png")
    assert not (tmp_path / "throughput.png").exists()


def test_growth_stops_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUNTERPOINT_SOAK", raising=False)
    assert growth.sizes(None)[-1] == growth.MOST
    assert growth.sizes(100_000) == (10_000, 30_000, 100_000)
    monkeypatch.setitem(os.environ, "COUNTERPOINT_SOAK", "1")
    assert growth.sizes(None)[-1] == growth.MOST_IN_SOAK


def results() -> dict[str, Any]:
    medians = {
        "append": {OURS: 8000.0, "umadb": 1400.0, LIMIT: 9000.0},
        "append.full": {OURS: 7000.0},
        "append.32": {OURS: 40000.0, "umadb": 6000.0},
        "append.tasks": {OURS: 80000.0},
        "append.processes.1": {OURS: 8000.0},
        "append.processes.8": {OURS: 20000.0, "umadb": 4000.0},
    }
    return {
        "facts": dict.fromkeys(("processor", "file system", "kernel", "date"), "some"),
        "titles": {OURS: "Counterpoint", "umadb": "UmaDB"},
        "rows": [{"key": key, "median": median} for key, median in medians.items()],
    }


def test_throughput_is_drawn_over_threads_and_over_processes(tmp_path: Path) -> None:
    assert plots.throughput(results(), "threads") == {
        OURS: [(1, 8000.0), (32, 40000.0)],
        "umadb": [(1, 1400.0), (32, 6000.0)],
        LIMIT: [(1, 9000.0)],
    }
    processes = plots.throughput(results(), "processes")
    assert processes == {OURS: [(1, 8000.0), (8, 20000.0)], "umadb": [(8, 4000.0)]}
    assert plots.scaling(processes) == {OURS: [(1, 1.0), (8, 2.5)]}

    (tmp_path / "results.json").write_text(json.dumps(results()))
    assert plots.main(["--directory", str(tmp_path), "--plots", str(tmp_path / "plots")]) == 0
    assert is_png(tmp_path / "plots" / "throughput.png")
    assert is_png(tmp_path / "plots" / "scaling.png")


def is_png(file: Path) -> bool:
    return file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 10_000
