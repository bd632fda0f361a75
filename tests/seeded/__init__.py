"""Bugs put into the engine on purpose, one at a time, to see that the suite goes red. F9."""
