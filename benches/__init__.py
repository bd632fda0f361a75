"""Measurements: `python -m benches.table` beside other stores, `pytest benches --benchmark-enable` alone."""
