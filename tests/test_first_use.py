"""The first use of an event class, by many threads at once."""

from tests import child


def test_threads_that_meet_in_the_first_event_of_a_class_do_not_bring_the_process_down() -> None:
    """Found in a race of processes: one of them died in msgspec, of a decoder that two threads made at
    once."""
    program = """
        from datetime import datetime
        from typing import Annotated

        sys.setswitchinterval(1e-6)
        registry = cp.EventRegistry()
        DATA = b'{"name": "a", "at": "2025-01-01T00:00:00Z", "of": []}'

        def first_use(number):
            fields = {"name": "Annotated[str, 1]", "at": "datetime", "of": "tuple[str, ...]"}
            body = {"__annotations__": fields, "__module__": __name__}
            made = type(cp.Event)(f"Made{number}", (cp.Event,), body)
            registry.register(made)
            barrier = threading.Barrier(8)

            def decode():
                barrier.wait()
                registry.decode(cp.SequencedEvent(1, made.__name__, DATA))

            threads = [threading.Thread(target=decode) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        for number in range(400):
            first_use(number)
        say("alive")
    """
    assert child.run(program) == ["alive"]
