"""A disk that fails to read. An index file is mapped: the kernel has no error for that but a signal. F2."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.budget import tries
from tests.disks import mounts, writers
from tests.disks.needs import need

pytestmark = [pytest.mark.timeout(tries(120, 0)), need("mounting", "loop", "fuse", "ext4")]

MAKE = """
    with cp.open(sys.argv[1]) as store:
        numbers = range(20_000)
        store.append([cp.RawEvent("A", f"reads.{n * 3}.0".encode(), [f"n:{n % 5000}"]) for n in numbers])
    assert any(name.endswith(".idx") for name in os.listdir(sys.argv[1]))
"""

READ = """
    def read(n):
        try:
            say("read", *[event.position for event in store.read(cp.Query().add_item(tags=[f"n:{n}"]))])
        except cp.StorageError as error:
            say(type(error).__name__, error.errno)
    store = cp.open(sys.argv[1], read_cache_bytes=0)
    read(77)
    for line in sys.stdin:
        read(int(line))
    say("closing", bool(store.verify()))
    store.close()
"""


@pytest.mark.parametrize("again", [False, True])
def test_an_index_page_that_cannot_be_read_is_an_error_and_ends_nobody(
    tmp_path: Path, checker: writers.Checker, again: bool
) -> None:
    """Neither when it is first needed nor when it was pushed out of memory and is read again.

    No answer lacks what could not be read.
    """
    image, at = mounts.make("ext4", tmp_path / "image", 64 << 20), tmp_path / "mount"
    events = {n: "read " + " ".join(str(n + 1 + more) for more in range(0, 20_000, 5000)) for n in (77, 1234)}
    with mounts.disk(tmp_path, image) as disk, ExitStack() as mounted:
        with mounts.mounted(disk.file, "ext4", at), writers.talking(MAKE, at / "store") as process:
            assert process.ends() == 0
        # From here on nothing of it is in memory.
        mounted.enter_context(mounts.mounted(disk.file, "ext4", at))
        with writers.talking(READ, at / "store") as process:
            assert process.line() == events[77]
            n = 77 if again else 1234
            mounts.forget_pages(at / "store", process.process.pid)
            disk.page.fail_reads(1 << 30)
            process.say(n)
            assert process.line() == "StorageError 5"
            assert disk.page.failures
            disk.page.heal()
            process.say(n)
            assert process.line() == events[n]
            process.process.stdin.close()
            assert process.line() == "closing True"
            assert process.ends() == 0
        assert checker.check(at / "store", [], tmp_path / "told") == 20_000
