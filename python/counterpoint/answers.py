"""Where the answers to asynchronous appends meet the event loops that wait for them."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from weakref import WeakKeyDictionary, ref

from counterpoint._engine import Answers

__all__ = ["answers_in"]

# What a loop watches belongs to it. Kept alive from here, a future that is never resolved would keep its loop
# for ever, closed or forgotten.
_answers: WeakKeyDictionary[AbstractEventLoop, ref[Answers]] = WeakKeyDictionary()


def answers_in(loop: AbstractEventLoop) -> Answers:
    """Return the answers of `loop`, which it watches from the first append on; one for all stores."""
    known = _answers.get(loop)
    answers = known() if known else None
    if answers is None:
        answers = Answers()
        loop.add_reader(answers.fileno(), answers.resolve)
        _answers[loop] = ref(answers)
    return answers
