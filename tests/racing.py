"""Threads that start together, and a failure of any that fails the test."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds until a thread counts as hung. No test measures time: this only turns a hang into a failure."""


def start(job: Callable[[], T]) -> Callable[[], T]:
    """Runs `job` in a thread, and returns a function that waits for its result, or raises what it raised."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(job())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()

    def result() -> T:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{job} hangs"
        if errors:
            raise errors[0]
        return results[0]

    return result


def race(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Runs all jobs at once, each in its thread, released by one barrier; their results in order."""
    barrier = threading.Barrier(len(jobs))

    def at_once(job: Callable[[], T]) -> T:
        barrier.wait(PATIENCE)
        return job()

    results = [start(lambda job=job: at_once(job)) for job in jobs]  # type: ignore[misc]
    return [result() for result in results]
