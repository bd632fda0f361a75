"""Event-sourced aggregate: the classic pattern, as the simplest of all boundaries.

Who likes aggregates keeps them. The aggregate is plain Python and knows no store; loading it reads the events
of one tag, and saving it appends what it recorded, guarded by that very read. What other stores call the
expected version of a stream is here what the `ReadAppender` remembers: a save on top of somebody else's is
refused.

After https://dcb.events/examples/event-sourced-aggregate/.
"""

from typing import Annotated, Self

import counterpoint as cp


class CourseCreated(cp.Event):
    """There is a new course."""

    course_id: Annotated[str, cp.Tag("course")]
    title: str
    capacity: int


class CourseResized(cp.Event):
    """The course has more seats, or fewer."""

    course_id: Annotated[str, cp.Tag("course")]
    capacity: int


class CourseSeatTaken(cp.Event):
    """A student has a seat in the course."""

    course_id: Annotated[str, cp.Tag("course")]
    student_id: str


class CourseError(Exception):
    """A rule of the aggregate refuses the change."""


class CourseExists(CourseError):
    """The course was created before."""


class CourseMissing(CourseError):
    """The course was never created."""


class CapacityRefused(CourseError):
    """The course has this capacity already, or more students than that."""


class CourseBookedOut(CourseError):
    """Every seat is taken."""


class Course:
    """A course: its rules, and the changes it went through since it was loaded."""

    def __init__(self, course_id: str) -> None:
        self.course_id = course_id
        self.capacity: int | None = None
        self.students = 0
        self.changes: list[cp.Event] = []

    def create(self, title: str, capacity: int) -> Self:
        """Makes it a course. Raises CourseExists if it is one."""
        if self.capacity is not None:
            raise CourseExists(f'course "{self.course_id}" exists already')
        return self._record(CourseCreated(self.course_id, title, capacity))

    def change_capacity(self, capacity: int) -> Self:
        """Changes the number of seats, to no fewer than are taken."""
        if capacity == self._existing_capacity():
            raise CapacityRefused(f'course "{self.course_id}" has {capacity} seats already')
        if capacity < self.students:
            raise CapacityRefused(
                f'course "{self.course_id}" has {self.students} students, and needs their seats'
            )
        return self._record(CourseResized(self.course_id, capacity))

    def subscribe(self, student_id: str) -> Self:
        """Gives a student a seat."""
        if self.students >= self._existing_capacity():
            raise CourseBookedOut(f'course "{self.course_id}" is fully booked')
        return self._record(CourseSeatTaken(self.course_id, student_id))

    def apply(self, event: object) -> None:
        """Brings the state up to date with an event that has happened."""
        match event:
            case CourseCreated(capacity=capacity) | CourseResized(capacity=capacity):
                self.capacity = capacity
            case CourseSeatTaken():
                self.students += 1

    def _record(self, event: cp.Event) -> Self:
        self.apply(event)
        self.changes.append(event)
        return self

    def _existing_capacity(self) -> int:
        if self.capacity is None:
            raise CourseMissing(f'course "{self.course_id}" does not exist')
        return self.capacity


class Courses:
    """The repository: one unit of work, in which courses are loaded, changed and saved."""

    def __init__(self, ra: cp.ReadAppender) -> None:
        self._ra = ra

    def load(self, course_id: str) -> Course:
        """The course with its whole history; without any, an empty one that can be created."""
        course = Course(course_id)
        for envelope in self._ra.read_events(cp.Query().add_item(tags=[f"course:{course_id}"])):
            course.apply(envelope.event)
        return course

    def save(self, course: Course) -> None:
        """Appends the changes, if there are any. Raises AppendConditionFailed if what was loaded is stale."""
        if course.changes:
            self._ra.append_events(course.changes)
            course.changes.clear()


class TakeSeat(cp.Command):
    """Loads, changes and saves: as a command, a stale save is retried on the course as it is then."""

    course_id: str
    student_id: str

    def run(self, ra: cp.ReadAppender) -> None:
        courses = Courses(ra)
        courses.save(courses.load(self.course_id).subscribe(self.student_id))


def main() -> None:
    """Saves on top of somebody else's change, and then as a command."""
    with cp.open("memory:") as store:
        mine, yours = Courses(cp.ReadAppender(store)), Courses(cp.ReadAppender(store))
        mine.save(mine.load("fugue").create("The art of fugue", capacity=2))

        stale = mine.load("fugue")
        yours.save(yours.load("fugue").subscribe("ada"))
        try:
            mine.save(stale.change_capacity(3))
        except cp.AppendConditionFailed as conflict:
            print(f"stale: the event at position {conflict.position} came first")

        cp.CommandRunner(store).run(TakeSeat("fugue", "bela"))
        print(f"students: {Courses(cp.ReadAppender(store)).load('fugue').students}")


if __name__ == "__main__":
    main()
