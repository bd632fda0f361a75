"""The rules of the course subscriptions, and the race for the last seat."""

import counterpoint as cp
import pytest

from examples.course_subscriptions import (
    MAX_COURSES,
    AlreadySubscribed,
    CapacityUnchanged,
    ChangeCourseCapacity,
    CourseAlreadyOffered,
    CourseCapacityChanged,
    CourseFull,
    CourseNotFound,
    CourseOffered,
    OfferCourse,
    StudentSubscribed,
    SubscribeStudent,
    TooManyCourses,
)
from tests.examples.racing import Race
from tests.examples.scenario import Counted, Meddled, Run, given, history, kinds
from tests.racing import race as race_threads


@pytest.fixture
def runner(store: cp.EmbeddedStore) -> cp.CommandRunner:
    return cp.CommandRunner(store)


def test_a_course_is_offered(store, runner):
    runner.run(OfferCourse("c1", capacity=10))
    assert history(store) == [CourseOffered("c1", 10)]


def test_a_course_id_is_unique(store, runner):
    given(store, CourseOffered("c1", 10))
    with pytest.raises(CourseAlreadyOffered, match='"c1" is offered already'):
        runner.run(OfferCourse("c1", capacity=15))


def test_the_capacity_of_a_course_that_does_not_exist_cannot_change(runner):
    with pytest.raises(CourseNotFound, match='"c0" does not exist'):
        runner.run(ChangeCourseCapacity("c0", capacity=15))


def test_a_capacity_changes_only_to_a_different_one(store, runner):
    given(store, CourseOffered("c1", 12))
    with pytest.raises(CapacityUnchanged, match='"c1" has 12 seats already'):
        runner.run(ChangeCourseCapacity("c1", capacity=12))


def test_a_changed_capacity_counts_as_the_present_one(store, runner):
    given(store, CourseOffered("c1", 12), CourseCapacityChanged("c1", 15))
    with pytest.raises(CapacityUnchanged):
        runner.run(ChangeCourseCapacity("c1", capacity=15))
    runner.run(ChangeCourseCapacity("c1", capacity=12))
    assert history(store)[-1] == CourseCapacityChanged("c1", 12)


def test_a_capacity_raised_after_bookings_opens_seats(store, runner):
    given(store, CourseOffered("c1", 1), StudentSubscribed("s1", "c1"))
    runner.run(ChangeCourseCapacity("c1", capacity=2))
    runner.run(SubscribeStudent("s2", "c1"))
    with pytest.raises(CourseFull):
        runner.run(SubscribeStudent("s3", "c1"))


def test_a_capacity_lowered_after_bookings_closes_the_course_and_evicts_nobody(store, runner):
    given(store, CourseOffered("c1", 3), StudentSubscribed("s1", "c1"), StudentSubscribed("s2", "c1"))
    runner.run(ChangeCourseCapacity("c1", capacity=1))
    with pytest.raises(CourseFull, match="2 of 1 seats taken"):
        runner.run(SubscribeStudent("s3", "c1"))


def test_bookings_do_not_hide_that_the_capacity_is_unchanged(store, runner):
    given(store, CourseOffered("c1", 3), StudentSubscribed("s1", "c1"))
    with pytest.raises(CapacityUnchanged):
        runner.run(ChangeCourseCapacity("c1", capacity=3))


def test_a_student_subscribes(store, runner):
    given(store, CourseOffered("c1", 10))
    runner.run(SubscribeStudent("s1", "c1"))
    assert history(store)[-1] == StudentSubscribed("s1", "c1")


def test_a_subscription_is_in_the_history_of_the_student_and_of_the_course(store, runner):
    given(store, CourseOffered("c1", 10))
    position = runner.run(SubscribeStudent("s1", "c1"))
    for tag in ("student:s1", "course:c1"):
        *_, last = store.read(cp.Query().add_item(tags=[tag]))
        assert last.position == position


def test_a_student_cannot_subscribe_to_a_course_that_does_not_exist(runner):
    with pytest.raises(CourseNotFound, match='"c0" does not exist'):
        runner.run(SubscribeStudent("s1", "c0"))


def test_a_full_course_takes_nobody(store, runner):
    given(store, CourseOffered("c1", 3), *(StudentSubscribed(f"s{n}", "c1") for n in (1, 2, 3)))
    with pytest.raises(CourseFull, match='"c1" is fully booked: 3 of 3 seats taken'):
        runner.run(SubscribeStudent("s4", "c1"))


def test_a_student_cannot_subscribe_twice_to_one_course(store, runner):
    given(store, CourseOffered("c1", 10), StudentSubscribed("s1", "c1"))
    with pytest.raises(AlreadySubscribed, match='"s1" takes course "c1" already'):
        runner.run(SubscribeStudent("s1", "c1"))


def test_a_student_takes_five_courses_at_most(store, runner):
    given(store, CourseOffered("c6", 10), *(StudentSubscribed("s1", f"c{n}") for n in range(1, 6)))
    with pytest.raises(TooManyCourses, match='"s1" takes 5 courses already'):
        runner.run(SubscribeStudent("s1", "c6"))


def test_a_full_course_is_named_before_a_second_subscription(store, runner):
    given(store, CourseOffered("c1", 1), StudentSubscribed("s1", "c1"))
    with pytest.raises(CourseFull):
        runner.run(SubscribeStudent("s1", "c1"))


def test_a_second_subscription_is_named_before_too_many_courses(store, runner):
    given(store, CourseOffered("c5", 10), *(StudentSubscribed("s1", f"c{n}") for n in range(1, 6)))
    with pytest.raises(AlreadySubscribed):
        runner.run(SubscribeStudent("s1", "c5"))


def test_a_refused_command_stores_nothing(store, runner):
    given(store, CourseOffered("c1", 0))
    with pytest.raises(CourseFull):
        runner.run(SubscribeStudent("s1", "c1"))
    assert history(store) == [CourseOffered("c1", 0)]


@pytest.mark.parametrize(
    "meanwhile",
    [StudentSubscribed("s2", "c1"), StudentSubscribed("s1", "c2"), CourseCapacityChanged("c1", 1)],
    ids=["the course has one seat less", "the student has one course more", "the capacity has changed"],
)
def test_a_subscription_is_stopped_by_whatever_it_depends_on(store, meanwhile):
    given(store, CourseOffered("c1", 10), CourseOffered("c2", 10))
    with pytest.raises(cp.AppendConditionFailed):
        SubscribeStudent("s1", "c1").run(Meddled(store, meanwhile))


@pytest.mark.parametrize(
    "meanwhile", [StudentSubscribed("s2", "c2"), CourseCapacityChanged("c2", 1), CourseOffered("c3", 1)]
)
def test_a_subscription_is_stopped_by_nothing_else(store, meanwhile):
    given(store, CourseOffered("c1", 10), CourseOffered("c2", 10))
    SubscribeStudent("s1", "c1").run(Meddled(store, meanwhile))


def test_two_students_on_two_courses_at_once_do_not_conflict(store):
    given(store, *(CourseOffered(f"c{n}", 10) for n in range(16)))
    for turn in range(5):
        commands = [Counted(SubscribeStudent(f"s{turn}-{n}", f"c{n}")) for n in range(16)]
        race_threads([lambda c=command: cp.CommandRunner(store).run(c) for command in commands])
        assert [command.attempts for command in commands] == [1] * 16


def test_of_many_who_race_for_the_last_seat_one_gets_it(race: Race):
    race.alone(fill_all_seats_but_one)
    outcomes = race.at_once([Run(SubscribeStudent(f"s{n}", "c1")) for n in range(30)])
    assert kinds(outcomes) == {int: 1, CourseFull: 29}
    assert len(race.alone(history)) == 51


def fill_all_seats_but_one(store: cp.EmbeddedStore) -> None:
    given(store, CourseOffered("c1", 50), *(StudentSubscribed(f"early{n}", "c1") for n in range(49)))


def test_of_many_who_race_for_one_course_id_one_gets_it(race: Race):
    outcomes = race.at_once([Run(OfferCourse("c1", capacity=n)) for n in range(30)])
    assert kinds(outcomes) == {int: 1, CourseAlreadyOffered: 29}


def test_a_student_who_races_for_ten_courses_gets_five(race: Race):
    for n in range(10):
        race.alone(Run(OfferCourse(f"c{n}", capacity=10)))
    outcomes = race.at_once([Run(SubscribeStudent("s1", f"c{n}")) for n in range(10)])
    assert kinds(outcomes) == {int: MAX_COURSES, TooManyCourses: 10 - MAX_COURSES}
    assert len(race.alone(history)) == 10 + MAX_COURSES
