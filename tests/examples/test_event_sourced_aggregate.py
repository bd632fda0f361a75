"""The rules of the aggregate, without a store and with one, and stale saves."""

import counterpoint as cp
import pytest

from examples.event_sourced_aggregate import (
    CapacityRefused,
    Course,
    CourseBookedOut,
    CourseCreated,
    CourseExists,
    CourseMissing,
    CourseResized,
    Courses,
    CourseSeatTaken,
    TakeSeat,
)
from tests.examples.racing import Race
from tests.examples.scenario import Run, given, history, kinds
from tests.racing import race as race_threads


@pytest.fixture
def courses(store: cp.EmbeddedStore) -> Courses:
    return Courses(cp.ReadAppender(store))


def test_an_aggregate_records_what_happens_to_it():
    course = Course("c1").create("Course 01", 10).change_capacity(15)
    assert course.changes == [CourseCreated("c1", "Course 01", 10), CourseResized("c1", 15)]


def test_a_course_is_created_once():
    with pytest.raises(CourseExists, match='"c1" exists already'):
        Course("c1").create("Course 01", 10).create("Course 01", 10)


def test_a_course_that_was_not_created_can_do_nothing():
    for change in (lambda: Course("c0").change_capacity(3), lambda: Course("c0").subscribe("s1")):
        with pytest.raises(CourseMissing, match='"c0" does not exist'):
            change()


def test_a_capacity_changes_only_to_a_different_one_with_room_for_everybody():
    course = Course("c1").create("Course 01", 10).subscribe("s1").subscribe("s2")
    with pytest.raises(CapacityRefused, match="has 10 seats already"):
        course.change_capacity(10)
    with pytest.raises(CapacityRefused, match="has 2 students"):
        course.change_capacity(1)
    assert course.change_capacity(2).capacity == 2


def test_a_full_course_takes_nobody():
    with pytest.raises(CourseBookedOut, match='"c1" is fully booked'):
        Course("c1").create("Course 01", 1).subscribe("s1").subscribe("s2")


def test_what_was_saved_is_loaded(store, courses):
    courses.save(courses.load("c1").create("Course 01", 10).subscribe("s1"))
    courses.save(Courses(cp.ReadAppender(store)).load("c1").change_capacity(15))
    course = courses.load("c1")
    assert (course.capacity, course.students, course.changes) == (15, 1, [])


def test_a_loaded_course_keeps_its_rules(store, courses):
    given(store, CourseCreated("c1", "Course 01", 10), CourseResized("c1", 15))
    with pytest.raises(CapacityRefused):
        courses.load("c1").change_capacity(15)


def test_saving_an_unchanged_course_stores_nothing(store, courses):
    given(store, CourseCreated("c1", "Course 01", 10))
    courses.save(courses.load("c1"))
    assert len(history(store)) == 1


def test_a_course_can_be_saved_again_and_again(store, courses):
    course = courses.load("c1").create("Course 01", 10)
    courses.save(course)
    courses.save(course.subscribe("s1"))
    courses.save(course.subscribe("s2"))
    assert len(history(store)) == 3


def test_a_stale_save_is_refused_and_names_what_came_first(store, courses):
    given(store, CourseCreated("c1", "Course 01", 10))
    stale = courses.load("c1")
    given(store, CourseSeatTaken("c1", "s1"))
    with pytest.raises(cp.AppendConditionFailed) as conflict:
        courses.save(stale.change_capacity(15))
    assert conflict.value.position == 2
    assert len(history(store)) == 2


def test_a_course_that_somebody_else_created_meanwhile_is_stale(store, courses):
    new = courses.load("c1")
    given(store, CourseCreated("c1", "Course 01", 10))
    with pytest.raises(cp.AppendConditionFailed):
        courses.save(new.create("Course 01", 20))


def test_a_change_of_another_course_makes_nothing_stale(store, courses):
    given(store, CourseCreated("c1", "Course 01", 10))
    course = courses.load("c1")
    given(store, CourseCreated("c2", "Course 02", 10))
    courses.save(course.subscribe("s1"))


def test_of_many_who_loaded_the_same_course_one_saves(store):
    given(store, CourseCreated("c1", "Course 01", 10))
    units = [Courses(cp.ReadAppender(store)) for _ in range(20)]
    loaded = [unit.load("c1").subscribe(f"s{n}") for n, unit in enumerate(units)]

    def save(unit: Courses, course: Course) -> bool:
        try:
            unit.save(course)
        except cp.AppendConditionFailed:
            return False
        return True

    saved = race_threads(
        [lambda u=unit, c=course: save(u, c) for unit, course in zip(units, loaded, strict=True)]
    )
    assert saved.count(True) == 1
    assert len(history(store)) == 2


def test_racers_take_just_as_many_seats_as_there_are(race: Race):
    race.alone(create_course)
    outcomes = race.at_once([Run(TakeSeat("c1", f"s{n}")) for n in range(20)])
    assert kinds(outcomes) == {type(None): 3, CourseBookedOut: 17}
    assert len(race.alone(history)) == 4


def create_course(store: cp.EmbeddedStore) -> None:
    given(store, CourseCreated("c1", "Course 01", 3))
