"""Course subscriptions: one event in two boundaries.

A course has so many seats, and a student may take so many courses. A subscription is bound by both rules, and
no aggregate could own both. Here the decision reads what it must know of the course *and* of the student, in
one read; the append is refused if any of that has changed meanwhile, and then the command simply runs again.

After https://dcb.events/examples/course-subscriptions/.
"""

from typing import Annotated

import counterpoint as cp

MAX_COURSES = 5

# What happened. A tag marks the events of one course, or of one student.


class CourseOffered(cp.Event):
    """A course can be subscribed to from now on."""

    course_id: Annotated[str, cp.Tag("course")]
    capacity: int


class CourseCapacityChanged(cp.Event):
    """A course has more seats, or fewer; whoever has a seat keeps it."""

    course_id: Annotated[str, cp.Tag("course")]
    capacity: int


class StudentSubscribed(cp.Event):
    """A student took a seat: it belongs to the student's history and to the course's."""

    student_id: Annotated[str, cp.Tag("student")]
    course_id: Annotated[str, cp.Tag("course")]


# What a decision must know. Each projection asks for its own events, and sees no others.


class CourseCapacity(cp.Projection[int | None]):
    """How many seats the course has; None: there is no such course."""

    course_id: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(
            types=[CourseOffered, CourseCapacityChanged], tags=[f"course:{self.course_id}"]
        )

    def init(self) -> int | None:
        return None

    def apply(self, state: int | None, envelope: cp.Envelope) -> int | None:
        match envelope.event:
            case CourseOffered(capacity=capacity) | CourseCapacityChanged(capacity=capacity):
                return capacity
        return state


class SeatsTaken(cp.Projection[int]):
    """How many students the course has."""

    course_id: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(types=[StudentSubscribed], tags=[f"course:{self.course_id}"])

    def init(self) -> int:
        return 0

    def apply(self, state: int, envelope: cp.Envelope) -> int:
        return state + 1


class CoursesOfStudent(cp.Projection[frozenset[str]]):
    """Which courses the student takes."""

    student_id: str

    def query(self) -> cp.Query:
        return cp.Query().add_item(types=[StudentSubscribed], tags=[f"student:{self.student_id}"])

    def init(self) -> frozenset[str]:
        return frozenset()

    def apply(self, state: frozenset[str], envelope: cp.Envelope) -> frozenset[str]:
        return state | {envelope.event.course_id}


# Why the answer can be no.


class SubscriptionError(Exception):
    """A rule of this example refuses the command."""


class CourseAlreadyOffered(SubscriptionError):
    """A course id is unique."""


class CourseNotFound(SubscriptionError):
    """The course was never offered."""


class CapacityUnchanged(SubscriptionError):
    """The course has just that capacity already."""


class CourseFull(SubscriptionError):
    """Every seat is taken."""


class AlreadySubscribed(SubscriptionError):
    """The student has a seat in this course."""


class TooManyCourses(SubscriptionError):
    """The student takes as many courses as a student may."""


# The decisions: read, decide, append. Each returns the position of its event.


class OfferCourse(cp.Command):
    """Offers a course, under an id that no course has had before."""

    course_id: str
    capacity: int

    def run(self, ra: cp.ReadAppender) -> int:
        if ra.fold(CourseCapacity(self.course_id)) is not None:
            raise CourseAlreadyOffered(f'course "{self.course_id}" is offered already')
        return ra.append_event(CourseOffered(self.course_id, self.capacity))


class ChangeCourseCapacity(cp.Command):
    """Changes how many seats a course has."""

    course_id: str
    capacity: int

    def run(self, ra: cp.ReadAppender) -> int:
        match ra.fold(CourseCapacity(self.course_id)):
            case None:
                raise CourseNotFound(f'course "{self.course_id}" does not exist')
            case self.capacity:
                raise CapacityUnchanged(f'course "{self.course_id}" has {self.capacity} seats already')
        return ra.append_event(CourseCapacityChanged(self.course_id, self.capacity))


class SubscribeStudent(cp.Command):
    """Gives a student a seat in a course."""

    student_id: str
    course_id: str

    def run(self, ra: cp.ReadAppender) -> int:
        capacity, taken, courses = ra.fold(
            CourseCapacity(self.course_id), SeatsTaken(self.course_id), CoursesOfStudent(self.student_id)
        )
        if capacity is None:
            raise CourseNotFound(f'course "{self.course_id}" does not exist')
        if taken >= capacity:
            raise CourseFull(f'course "{self.course_id}" is fully booked: {taken} of {capacity} seats taken')
        if self.course_id in courses:
            raise AlreadySubscribed(f'student "{self.student_id}" takes course "{self.course_id}" already')
        if len(courses) >= MAX_COURSES:
            raise TooManyCourses(f'student "{self.student_id}" takes {MAX_COURSES} courses already')
        return ra.append_event(StudentSubscribed(self.student_id, self.course_id))


def main() -> None:
    """Fills a course of two seats, then finds a third one."""
    with cp.open("memory:") as store:
        runner = cp.CommandRunner(store)
        runner.run(OfferCourse("harmony", capacity=2))
        for student in ("ada", "bela", "clara"):
            try:
                print(f"{student}: position {runner.run(SubscribeStudent(student, 'harmony'))}")
            except SubscriptionError as refusal:
                print(f"{student}: {refusal}")
        runner.run(ChangeCourseCapacity("harmony", capacity=3))
        print(f"clara, once there are 3 seats: position {runner.run(SubscribeStudent('clara', 'harmony'))}")


if __name__ == "__main__":
    main()
