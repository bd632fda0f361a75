"""Seven small systems, one module each: the examples of https://dcb.events on Counterpoint.

Run one with `python -m examples.course_subscriptions`; `python -m examples.demo` puts that one under load.
"""
