"""A reader changes nothing, so it works where nothing can be changed. Needs root for the file systems."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import counterpoint as cp
import pytest

from tests import child
from tests.opener import SMALL_SEGMENT

NOBODY = 65534

USES_EVERYTHING = """
    import asyncio, io
    store = cp.open(sys.argv[1], read_only=True)
    query = cp.Query().add_item(types=["A"], tags=["t"])
    read = [list(store.read()), list(store.read(query)), list(store.read(query, reverse=True, limit=3))]
    assert len(read[0]) == store.head() == store.wait(0) == store.stats()["head"]
    assert store.verify().ok and store.verify().events == store.head()
    assert len(store.why(store.head()).conditions) == 0 and store.get_cursor("c") == 2

    async def follow():
        async for event in store.subscribe(query):
            return event.position

    assert next(store.subscribe(query)).position == asyncio.run(follow()) == 1
    assert store.wait(store.head(), timeout=0.02) == store.head()
    for write in (lambda: store.append([event("x")]), lambda: store.set_cursor("c", 3)):
        try:
            write()
        except io.UnsupportedOperation:
            continue
        say("was not refused")
    say("used", store.head())
"""


def fill(store: cp.EmbeddedStore, count: int) -> None:
    for n in range(count):
        store.append([cp.RawEvent(type="A", data=bytes(100), tags=["t", f"n:{n}"])])


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that everybody may enter, unlike pytest's own."""
    home = Path(tempfile.mkdtemp(prefix="counterpoint-"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def path(home: Path) -> Path:
    """A store of several segments, with index files, that was closed."""
    with cp.open(home / "store", segment_bytes=SMALL_SEGMENT) as store:
        fill(store, 100)
        store.append([cp.RawEvent(type="B", data=bytes(10)) for _ in range(20_000)])
        store.set_cursor("c", 2)
    assert list((home / "store").glob("*.idx")) != []
    return home / "store"


def about(path: Path) -> dict[str, tuple[bytes, int, int, int]]:
    """Names, bytes and times of all files and of the directory, taken without an access of its own."""

    def content(file: Path) -> bytes:
        if not file.is_file():
            return b""
        descriptor = os.open(file, os.O_RDONLY | os.O_NOATIME)
        try:
            return os.read(descriptor, file.stat().st_size)
        finally:
            os.close(descriptor)

    files = {file: content(file) for file in [*path.iterdir(), path]}
    stats = {file: file.stat() for file in files}
    return {
        file.name: (files[file], stat.st_mtime_ns, stat.st_ctime_ns, stat.st_atime_ns)
        for file, stat in stats.items()
    }


def unchanged(path: Path, before: dict[str, tuple[bytes, int, int, int]]) -> None:
    now = about(path)
    assert now.keys() == before.keys()
    assert [name for name in now if now[name] != before[name]] == []


@functools.cache
def why_no_mounts() -> str | None:
    """None if this process may mount file systems of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "mounting needs root and unshare"
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else f"no mounts here: {tried.stderr.strip()}"


def mounted(home: Path, mount: str, program: str, *arguments: object) -> "subprocess.Popen[str]":
    """Runs a program in a mount namespace of its own, which goes with it, after some shell commands."""
    if (why := why_no_mounts()) is not None:
        pytest.skip(why)
    command = child.command(program, arguments)
    script = f'set -e; cd {home}; {mount}; exec "$@"'
    return subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script, "sh", *command],
        env=child.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> list[str]:
    out, _ = process.communicate(timeout=child.PATIENCE)
    return out.splitlines()


def test_nothing_about_the_files_changes_when_the_store_is_read(path: Path) -> None:
    before = about(path)
    assert child.run(USES_EVERYTHING, path) == ["used 20100"]
    unchanged(path, before)


def test_nothing_changes_beside_a_writer_but_what_the_writer_does(path: Path) -> None:
    with cp.open(path, segment_bytes=SMALL_SEGMENT) as writer:
        before = about(path)
        assert child.run(USES_EVERYTHING, path) == ["used 20100"]
        unchanged(path, before)
        fill(writer, 1)


def test_no_system_call_of_a_reader_could_change_a_file(path: Path, tmp_path: Path) -> None:
    """As the kernel sees it: everything under the store is opened to be read."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    calls = (
        "open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,"
        "symlink,symlinkat,truncate,ftruncate,fallocate,pwrite64,pwritev,pwritev2,fsync,fdatasync,msync,"
        "chmod,fchmod,fchmodat,utimensat,setxattr,fsetxattr,mmap"
    )
    command = ["strace", "-f", "-y", "-o", trace, "-e", f"trace={calls}"]
    done = subprocess.run(
        [*command, *child.command(USES_EVERYTHING, (path,))],
        env=child.environment(),
        capture_output=True,
        text=True,
        timeout=child.PATIENCE,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("this system does not let one process trace another")
    assert (done.returncode, done.stdout) == (0, "used 20100\n"), done.stderr
    lines = [line for line in trace.read_text().splitlines() if str(path) in line]
    assert any("openat" in line and ".log" in line for line in lines)
    assert any("mmap" in line and ".idx" in line for line in lines), "index files are used"
    harmless = ("O_RDONLY", "PROT_READ, MAP")
    assert [line for line in lines if not any(word in line for word in harmless)] == []
    assert [line for line in lines if "O_CREAT" in line or "PROT_WRITE" in line] == []


@pytest.mark.parametrize("times", [1, 2])
def test_it_works_on_a_read_only_mount_of_the_store_and_follows_writers_beside_it(
    home: Path, path: Path, times: int
) -> None:
    (home / "mnt").mkdir()
    program = """
        try:
            cp.open(sys.argv[1])
        except OSError as error:
            say(type(error).__name__, error.errno)
        store = cp.open(sys.argv[1], read_only=True)
        say("open", store.head())
        say(store.wait(store.head(), timeout=60) > 20100, len(list(store.read(after=20100))))
    """
    with mounted(
        home, "mount --bind store mnt; mount -o remount,bind,ro mnt", program, home / "mnt"
    ) as reader:
        try:
            if times == 1:
                assert [child.line(reader), child.line(reader)] == ["OSError 30", "open 20100"]
                with cp.open(path, segment_bytes=SMALL_SEGMENT) as writer:
                    fill(writer, 1)
            else:
                with cp.open(path, segment_bytes=SMALL_SEGMENT) as writer:
                    assert [child.line(reader), child.line(reader)] == ["OSError 30", "open 20100"]
                    fill(writer, 1)
            assert said(reader) == ["True 1"]
        finally:
            reader.kill()


def test_it_works_on_a_file_system_that_is_read_only(home: Path, path: Path) -> None:
    """Also with the marks of another boot, with index files that are missing, and after a kill."""
    (home / "mnt").mkdir()
    shutil.copytree(path, home / "other-boot")
    with (home / "other-boot" / "marks").open("r+b") as marks:
        marks.seek(24)
        marks.write(bytes(16))
    shutil.copytree(path, home / "bare", ignore=shutil.ignore_patterns("*.idx", "*.lock", "marks"))
    with cp.open(path, segment_bytes=SMALL_SEGMENT):
        shutil.copytree(path, home / "killed")
    mount = "mount -t tmpfs none mnt; cp -a store other-boot bare killed mnt; mount -o remount,ro mnt"
    for name in ("store", "other-boot", "bare", "killed"):
        with mounted(home, mount, USES_EVERYTHING, home / "mnt" / name) as reader:
            assert (said(reader), reader.returncode) == (["used 20100"], 0), name


def test_it_works_for_one_who_may_only_read(path: Path) -> None:
    """Not the owner, in a directory that cannot be written to: with nobody there, and beside a writer."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    step_down = f"""
        os.setgroups([])
        os.setgid({NOBODY})
        os.setuid({NOBODY})
        try:
            cp.open(sys.argv[1])
            say("was let in")
        except PermissionError:
            pass
    """
    program = dedent(step_down) + dedent(USES_EVERYTHING)
    path.chmod(0o555)
    for file in path.iterdir():
        file.chmod(0o444)
    before = about(path)
    assert child.run(program, path) == ["used 20100"]
    now = about(path)
    # Who does not own a file cannot leave the time of its last access.
    assert {name: of[:3] for name, of in now.items()} == {name: of[:3] for name, of in before.items()}
    with cp.open(path, segment_bytes=SMALL_SEGMENT) as writer:
        fill(writer, 1)
        assert child.run(program, path) == ["used 20101"]


def test_what_may_not_be_read_is_a_permission_error(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    program = f"""
        os.setgroups([])
        os.setgid({NOBODY})
        os.setuid({NOBODY})
        try:
            cp.open(sys.argv[1], read_only=True)
        except PermissionError as error:
            say("refused", error.filename)
    """
    log = path / "00000000000000000001.log"
    log.chmod(0)
    assert child.run(program, path) == [f"refused {log}"]
    path.chmod(0)
    [refused] = child.run(program, path)
    assert refused.startswith(f"refused {path}")
    path.chmod(0o755)
