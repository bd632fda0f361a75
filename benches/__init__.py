"""Measurements, all by `make bench`; docs/performance.md says which there are and how to read them."""
