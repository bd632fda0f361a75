"""The seeded bugs fit the engine as it is: `make seeded` runs them, which takes a while."""

import pytest

from tests.seeded.bug import ROOT, Bug
from tests.seeded.bugs import BUGS


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_seeded_bug_changes_text_that_is_there_once(bug: Bug) -> None:
    for edit in bug.edits:
        assert edit.occurrences(ROOT) == 1, edit.file
        assert edit.instead != edit.anchor
    assert bug.tests


def test_no_two_seeded_bugs_have_the_same_name() -> None:
    names = [bug.name for bug in BUGS]
    assert len(set(names)) == len(names)
