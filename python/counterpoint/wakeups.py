"""Waiting for new events in asyncio, without a thread for each who waits.

One daemon thread for each event loop waits on the store and wakes all who wait in that loop. It starts with
the first of them, and ends when the loop or the store is closed, or when nobody has waited for a second.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from weakref import WeakSet

__all__ = ["Wakeups"]

WAIT_SECONDS = 0.1
"""How long one wait on the store takes at most: so often a thread looks whether its loop is still there."""

IDLE_SECONDS = 1.0
"""How long a thread stays when nobody waits."""

Wait = Callable[[int, float], int]


class Wakeups:
    """The asyncio side of one store's ``wait``."""

    def __init__(self, wait: Wait) -> None:
        """Take `wait(after, seconds)`, which blocks until the head is past `after` and returns the head."""
        self._wait = wait
        self._lock = Lock()
        self._loops: dict[asyncio.AbstractEventLoop, _LoopWakeups] = {}

    @contextmanager
    def waiting(self, after: int) -> Iterator[asyncio.Future[None]]:
        """Give a future of the running loop that is done once the head may be past `after`.

        It raises what waiting on the store raises.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            # Under the lock, so that a thread does not end just when somebody comes.
            wakeups = self._loops.get(loop)
            if wakeups is None:
                wakeups = self._loops[loop] = _LoopWakeups(loop, self._wait, self._retire)
            wakeups.add(future, after)
        try:
            yield future
        finally:
            wakeups.discard(future)

    def _retire(self, wakeups: _LoopWakeups, force: bool) -> bool:
        with self._lock:
            if wakeups.waiting and not force:
                return False
            if self._loops.get(wakeups.loop) is wakeups:
                del self._loops[wakeups.loop]
            return True


class _LoopWakeups:
    """Those who wait in one event loop, and the thread that wakes them."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wait: Wait, retire: Callable[[_LoopWakeups, bool], bool]
    ) -> None:
        self.loop = loop
        self.waiting: dict[asyncio.Future[None], int] = {}
        self._wait = wait
        self._retire = retire
        self._head = 0
        self._posted = False
        self._somebody = Event()
        self._stopped = False
        self._thread = Thread(target=self._run, name="counterpoint-wakeups", daemon=True)
        _running.add(self)
        self._thread.start()

    # In the loop's thread.

    def add(self, future: asyncio.Future[None], after: int) -> None:
        self.waiting[future] = after
        self._somebody.set()
        # The thread sets the head before it posts: either it is seen here, or the post comes after this.
        if self._head > after:
            future.set_result(None)

    def discard(self, future: asyncio.Future[None]) -> None:
        self.waiting.pop(future, None)

    def _wake(self) -> None:
        self._posted = False
        head = self._head
        for future, after in self.waiting.items():
            if after < head and not future.done():
                future.set_result(None)

    def _fail(self, error: Exception) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_exception(error)

    # In the thread of this object.

    def _run(self) -> None:
        try:
            while not self._stopped and not self.loop.is_closed():
                if self._nobody_came():
                    if self._retire(self, False):
                        return
                    continue
                head = self._wait(self._head, WAIT_SECONDS)
                if head > self._head:
                    self._head = head
                    if not self._posted:
                        self._posted = True
                        self._post(self._wake)
        except Exception as error:
            # First out of the way: whoever waits from now on gets a new thread.
            self._retire(self, True)
            self._post(self._fail, error)
        finally:
            self._retire(self, True)

    def _nobody_came(self) -> bool:
        if self.waiting:
            return False
        self._somebody.clear()
        # Again, for the one who came just before the clearing.
        return not self.waiting and not self._somebody.wait(IDLE_SECONDS)

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        # A closed loop takes no more callbacks, and nobody in it waits any longer.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback, *arguments)

    # In the thread that ends the process.

    def stop(self) -> None:
        self._stopped = True
        self._somebody.set()

    def join(self) -> None:
        self._thread.join(10 * WAIT_SECONDS)


_running: WeakSet[_LoopWakeups] = WeakSet()


@atexit.register
def _stop_all() -> None:
    # A daemon thread that comes back from native code while the interpreter goes down can abort the process.
    running = list(_running)
    for wakeups in running:
        wakeups.stop()
    for wakeups in running:
        wakeups.join()
