"""Measurements, by hand: `python -m tests.bench [PART] [--json]`."""
